"""The launch: from the EHR's launch URL, through its sign-in and the token exchange, to the drawn study list."""

from __future__ import annotations

import time

from tests.benchmarks.load import Timing
from tests.benchmarks.report import Report
from tests.benchmarks.stack import Browser, Stack

LAUNCHES = 30


def test_launch_round_trip(stack: Stack, report: Report) -> None:
    """Every launch is a browser that was never there before."""
    whole: list[float] = []
    by_origin: dict[str, list[float]] = {stack.app_url: [], stack.options.ehr_url: []}
    for number in range(LAUNCHES + 3):
        browser = Browser(stack.app_url)
        path = stack.launch_path()
        began = time.perf_counter()
        page = browser.opens(path)
        took = time.perf_counter() - began
        browser.close()
        assert b"SYNTHETIC, Alma" in page
        if number >= 3:  # keys and configurations have been read
            whole.append(took)
            for origin, spent in browser.spent_s.items():
                by_origin[origin].append(spent)
    base = report.add("launch", "launch URL to study list", Timing.of(whole, sum(whole)))
    own, ehr = by_origin[stack.app_url], by_origin[stack.options.ehr_url]
    remark = "with token exchange and the list's questions, which the sandbox answers"
    report.compare(base, "of it waiting for the app", Timing.of(own, sum(own)), remark=remark)
    report.compare(base, "of it the sandbox's sign-in redirect", Timing.of(ehr, sum(ehr)))
