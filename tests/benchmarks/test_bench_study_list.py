"""The study list: the demo's patient A at the sandbox, and a patient with 200 studies at an EHR that answers at once."""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_imaging.scopes import parse_scopes
from smart_app.study_findings import searches_for
from tests.benchmarks.load import Client, Request, Timing, drive
from tests.benchmarks.report import Report
from tests.benchmarks.servers import STUDIES
from tests.benchmarks.stack import PATIENT, Browser, Stack

SECONDS = 3.0
QUESTIONS = (
    f"ImagingStudy?patient={PATIENT}&_include=ImagingStudy:endpoint",
    f"DiagnosticReport?patient={PATIENT}",
    f"Patient/{PATIENT}",
    *(f"{one.resource_type}?{urlencode(one.parameters)}" for one in searches_for(PATIENT, parse_scopes("patient/*.rs"))),
)
"""What one list asks, all at once."""


def list_of(stack: Stack, browser: Browser, launch: str, *, concurrency: int = 1) -> Timing:
    page = browser.opens(launch)
    assert b"Synthetic" in page or b"SYNTHETIC" in page
    shown = Request(path=browser.path, headers=browser.headers())
    drive(stack.app_url, lambda client: client.send(shown), concurrency=2, seconds=2.0, most=6)
    return drive(stack.app_url, lambda client: client.send(shown), concurrency=concurrency, seconds=SECONDS)


def asked_directly(base_url: str, token: str) -> Timing:
    headers = {"Authorization": f"Bearer {token}"}
    paths = [f"/fhir/{one}" for one in QUESTIONS]

    def ask(client: Client) -> None:
        for path in paths:
            client.send(Request(path=path, headers=headers))

    return drive(base_url, ask, seconds=SECONDS / 2)


def test_study_list(stack: Stack, report: Report) -> None:
    browser = Browser(stack.app_url)
    token = stack.token("patient/*.rs")
    base = report.add(
        "list",
        "patient A: its questions asked at the sandbox directly, one after another",
        asked_directly(stack.options.ehr_url, token),
    )
    report.compare(base, "patient A: the list", list_of(stack, browser, stack.launch_path()))
    fake = asked_directly(stack.fake_ehr_url, "access-any")
    crowded = report.add("list", f"{STUDIES} studies: its questions asked at the fake EHR directly, one after another", fake)
    report.compare(crowded, f"{STUDIES} studies: the list", list_of(stack, browser, stack.crowded_launch_path()))
    browser.close()
