"""The list on paper: findings and conclusions, no buttons, and the patient's identity on every sheet."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.list_actors import ListServer, a_browser, opened_list
from tests.browser.listed_studies import many_studies

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened_list(browser, ListServer(studies=many_studies(40))) as opened:
        yield opened


def drawn_sheets(page: Page) -> list[bytes]:
    """What each sheet of the printed page draws."""
    printed = page.pdf(format="A4")
    streams = [
        zlib.decompress(one) for one in re.findall(rb"/FlateDecode[^>]*>>\s*stream\r?\n(.*?)endstream", printed, re.DOTALL)
    ]
    return [one for one in streams if b"BT" in one and b"Tj" in one]


def test_the_patients_identity_is_on_every_sheet(page: Page) -> None:
    with_identity = drawn_sheets(page)
    same_again = drawn_sheets(page)
    page.evaluate("document.querySelector('.banner .name').classList.add('unseen')")
    page.evaluate(
        "(() => { const style = new CSSStyleSheet(); style.replaceSync('.unseen { visibility: hidden }');"
        " document.adoptedStyleSheets = [style]; })()"
    )
    without_name = drawn_sheets(page)

    assert len(with_identity) == len(without_name) > 2
    assert with_identity == same_again
    assert all(one != other for one, other in zip(with_identity, without_name, strict=True))


def test_paper_has_findings_and_conclusions_and_no_controls(page: Page) -> None:
    page.locator("li.study").nth(1).locator("summary").click()
    page.emulate_media(media="print")

    expect(page.get_by_text("Lung nodule 16")).to_be_visible()
    expect(page.get_by_text("No change.").first).to_be_visible()
    expect(page.get_by_text("Findings: none new.").first).to_be_visible()
    expect(page.locator("details.report-text:visible")).to_have_count(1)
    assert page.locator("a.button:visible, button:visible, input:visible, #timeline:visible, .thumbnail:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.study')).contentVisibility") == "visible"
