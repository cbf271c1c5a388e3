"""How long a page may take to be as expected: five seconds are Playwright's own, and a page on a busy machine may need more."""

from playwright.sync_api import expect

expect.set_options(timeout=20_000)  # who sees it goes on at once
