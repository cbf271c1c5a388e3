"""``imaging-cds check --imaging`` at a deliberately faulty server: each fault turns its rows red and no other (issue 5)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from imaging_cds.check_gateway import REQUIREMENTS, check_server
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_report import ImagingReport, Verdict
from imaging_cds.check_gateway_subject import Subject, TokenKind
from imaging_cds.check_gateway_unseen import UNSEEN_REQUIREMENTS
from tests.conftest import free_port_number, serving
from tests.faulty_archive import CLOSED_A, STUDIES, STUDY_B
from tests.faulty_imaging import FaultyImaging
from tests.faulty_tokens import a_token

OF_BACKEND = {"F7:backend", "F7:left-out"}
NOT_OFFERED = OF_BACKEND | {"F12:local", "W6:capability", "M8:bound"}
"""Needs a server that has the feature."""
UNSEEN = {one.key for one in UNSEEN_REQUIREMENTS}


@pytest.fixture(scope="module")
def running() -> Iterator[FaultyImaging]:
    port = free_port_number()
    server = FaultyImaging(base_url=f"http://127.0.0.1:{port}")
    with serving(server.app(), port):
        yield server


@pytest.fixture
def server(running: FaultyImaging, caplog: pytest.LogCaptureFixture) -> FaultyImaging:
    caplog.set_level("ERROR", "werkzeug")
    running.__dict__.update(FaultyImaging(base_url=running.base_url).__dict__)
    return running


def tokens() -> dict[TokenKind, str]:
    observations = "patient/Observation.rs system/ImagingStudy.rs"
    return {
        TokenKind.GOOD: a_token(),
        TokenKind.ENDED: a_token(exp=int(time.time()) - 60),
        TokenKind.FOREIGN: a_token(aud="https://other.example"),
        TokenKind.UNSCOPED: a_token(scope="patient/Patient.r"),
        TokenKind.PATIENTLESS: a_token(None),
        TokenKind.SYSTEM: a_token(None, scope="system/ImagingStudy.rs"),
        TokenKind.MIXED: a_token(scope=observations),
        TokenKind.WIDE: a_token(scope="patient/ImagingStudy.cruds"),
        TokenKind.FILTERED: a_token(scope="patient/ImagingStudy.rs?modality=CT"),
        TokenKind.SECOND: a_token(jti="second"),
        TokenKind.IN_QUERY: a_token(jti="in-query"),
    }


def report_on(server: FaultyImaging, **subject: Any) -> ImagingReport:
    values: dict[str, Any] = {
        "base": server.imaging,
        "tokens": tokens(),
        "patient": "pat-a",
        "other_patient": "pat-b",
        "other_study": STUDY_B,
        "other_series": STUDIES[STUDY_B].series,
        "other_instance": STUDIES[STUDY_B].instances[0],
        "restricted_study": CLOSED_A,
        "backend_mode": server.backend,
        # A busy machine is slow for a moment; only the row about cost keeps to the real budget.
        "budget_ms": 2000,
    }
    probe = Probe([server.base_url], sleep=lambda _: None)
    try:
        return check_server(Subject(**{**values, **subject}), probe)
    finally:
        probe.close()


def red(report: ImagingReport) -> set[str]:
    return {row.key for row in report.of(Verdict.FAULT)}


def test_a_right_server_is_green_in_every_row(server: FaultyImaging) -> None:
    report = report_on(server)

    assert [(row.key, row.outcome.seen) for row in report.rows if row.outcome.verdict is Verdict.FAULT] == []
    assert {row.key for row in report.rows if row.outcome.verdict is not Verdict.OK} == NOT_OFFERED | UNSEEN
    assert report.exit_code == 0


def test_a_right_server_with_capabilities_is_green(server: FaultyImaging) -> None:
    server.capability, server.endpoint_form = True, "local"
    report = report_on(server)

    assert [(row.key, row.outcome.seen) for row in report.rows if row.outcome.verdict is Verdict.FAULT] == []
    assert {row.key for row in report.rows if row.outcome.verdict is not Verdict.OK} == OF_BACKEND | UNSEEN


@pytest.mark.parametrize("form", ["contained", "local"])
def test_every_form_of_endpoint_leads_to_the_images(server: FaultyImaging, form: str) -> None:
    """C4: contained, or local to the answer."""
    server.endpoint_form = form
    report = report_on(server)

    assert red(report) == set()
    assert "W1:study" in {row.key for row in report.of(Verdict.OK)}


def test_a_right_server_of_backend_services_is_green(server: FaultyImaging) -> None:
    server.backend = True
    report = report_on(server)

    assert [(row.key, row.outcome.seen) for row in report.rows if row.outcome.verdict is Verdict.FAULT] == []
    assert {row.key for row in report.of(Verdict.OK)} >= OF_BACKEND


FAULTS: dict[str, set[str]] = {
    "M1": {"M1:traversal"},
    "M1:redirect": {"M1:traversal"},
    "M2": {"M2:native"},
    "M3": {"M3:missing"},
    "M4": {"M4:intact"},
    "M5": {"M5:addresses"},
    "M5:nested": {"M5:addresses"},
    "M5:retrieve-uri": {"M5:addresses"},
    "M5:part": {"M5:addresses"},
    "M5:header": {"M5:addresses"},
    "M6": {"F6:repeated"},
    "M7": {"M7:settings-in-address"},
    "M9": {"F5:altered", "F5:unsigned", "F5:ended", "F5:foreign", "W3:forged", "W3:ended", "W3:foreign"},
    "M10:wildcard": {"M10:wildcard"},
    "M10:mapping": {"M10:mapping", "F6:other-study"},
    "M11": {
        "F1:last-updated",
        "F1:identifier",
        "F1:reference",
        "F3:bundle",
        "F3:media-type",
        "F3:empty",
        "F4:endpoint",
    },
    "M12:wide": {"M12:wide"},
    "M12:filtered": {"M12:filtered"},
    "M13": {"P4:no-credentials", "P4:invalid-token", "P4:insufficient-scope", "M13:outcome"},
    "M14": {"M14:strangers"},
    "M14:echo": {"M14:strangers"},
    "M15": {"M15:cost"},
    "M16": {"M16:address"},
    "F1:patient": {"F1:patient"},
    "F1:last-updated": {"F1:last-updated"},
    "F1:last-updated-text": {"F1:last-updated"},
    "F1:last-updated-year": {"F1:last-updated"},
    "F1:identifier": {"F1:identifier"},
    "F1:identifier-part": {"F1:identifier"},
    "F1:include": {"F1:include"},
    "F1:include-second": {"F1:include"},
    "F1:paging": {"F1:paging"},
    "F1:paging-round": {"F1:paging"},
    "F1:post": {"F1:post"},
    "F2:subject": {"F2:subject"},
    "F3:bundle": {"F3:bundle"},
    "F3:total": {"F3:bundle"},
    "F3:full-url": {"F3:bundle"},
    "F3:media-type": {"F3:media-type"},
    "F3:study": {"F3:study"},
    "F3:modality": {"F3:study", "M12:filtered"},
    "F3:series": {"F3:study"},
    "F3:instance": {"F3:study"},
    "F3:empty": {"F3:empty"},
    "F4:endpoint": {"F4:endpoint"},
    "F5:no-token": {"F5:no-token", "P4:no-credentials"},
    "F5:sign-in": {"F5:no-token", "P4:no-credentials"},
    "F5:open-door": {"F5:no-token", "P4:no-credentials"},
    "F5:elsewhere": {"F5:no-token", "P4:no-credentials"},
    "F5:unknown-token": {"F5:unknown-token", "P4:invalid-token"},
    "F5:ended": {"F5:ended"},
    "F5:foreign": {"F5:foreign"},
    "F5:scope": {"F5:scope", "F9:mixed", "P4:insufficient-scope"},
    "F5:in-query": {"F5:in-query"},
    "F6:other-patient": {"F6:other-patient", "F6:post"},
    "F6:post": {"F6:post"},
    "F6:nobody-named": {"F6:nobody-named"},
    "F6:identifier-alone": {"F6:nobody-named"},
    "F6:otherwise-named": {"F6:otherwise-named"},
    "F5:read": {"F5:read", "F6:read"},
    "F6:read": {"F6:read"},
    "F6:compartment": {"F6:nobody-named"},
    "F6:chain": {"F6:nobody-named"},
    "F6:post-mixed": {"F6:post"},
    "F6:other-study": {"F6:other-study"},
    "F8:no-patient": {"F8:no-patient"},
    "F8:system": {"F8:system"},
    "F9:mixed": {"F9:mixed"},
    "F10:delay": {"F10:delay"},
    "F12:token-in-self-link": {"F12:token-repeated"},
    "F12:token-in-address": {"F12:token-repeated", "W6:capability", "M8:bound"},
    "F12:token-in-bulk": {"F12:token-repeated"},
    "F12:token-in-header": {"F12:token-repeated"},
    "F12:token-in-error": {"F12:token-repeated"},
    "W1:study": {"W1:study"},
    "W1:cut": {"W1:study"},
    "W1:no-dicom": {"W1:study"},
    "W1:no-parts": {"W1:study", "W2:levels", "W5:partial"},
    "W1:other-study": {"W1:study"},
    "W2:metadata": {"W2:metadata"},
    "W2:other-study": {"W2:metadata"},
    "W2:nothing": {"W2:metadata"},
    "W2:levels": {"W2:levels"},
    "W2:frames": {"W2:frames"},
    "W2:rendered": {"W2:rendered"},
    "W2:negotiation": {"W2:negotiation"},
    "W3:no-token": {"W3:no-token", "P4:no-credentials"},
    "W3:afresh": {"W3:no-token", "P4:no-credentials"},
    "W3:sign-in": {"W3:no-token", "W3:large-values", "P5:guard", "P5:wado-uri", "P4:no-credentials"},
    "W3:open-door": {"W3:no-token", "W3:large-values", "P5:guard", "P5:wado-uri", "P4:no-credentials"},
    "W3:elsewhere": {"W3:no-token", "W3:large-values", "P5:guard", "P5:wado-uri", "P4:no-credentials"},
    "W3:unknown-token": {"W3:unknown-token", "P4:invalid-token"},
    "W3:forged": {"W3:forged", "W3:ended", "W3:foreign"},
    "W3:ended": {"W3:ended"},
    "W3:foreign": {"W3:foreign"},
    "W3:scope": {"W3:scope", "P4:insufficient-scope"},
    "W3:no-patient": {"W3:no-patient"},
    "W3:odd-paths": {"W3:odd-paths"},
    "W3:in-query": {"W3:in-query"},
    "W3:filtered": {"W3:filtered"},
    "W3:large-values": {"W3:large-values"},
    "W3:methods": {"W3:methods"},
    "W4:other-study": {"W4:other-study"},
    "W4:parts": {"W4:parts"},
    "W4:unknown-study": {"W4:unknown-study", "W4:hierarchy", "P4:same-answer"},
    "W4:unknown-study-list": {"W4:unknown-study", "W4:hierarchy", "P4:same-answer"},
    "W4:hierarchy": {"W4:hierarchy"},
    "W5:restricted": {"W5:restricted"},
    "W5:metadata": {"W5:restricted"},
    "W5:fewer": {"W5:partial"},
    "W5:more": {"W5:partial"},
    "W5:refusals": {"W5:refusals"},
    "W5:refusal-object": {"W5:refusals"},
    "W5:partial": {"W1:study", "W5:refusals"},
    "W7:delay": {"W7:delay"},
    "P1:flag": {"P1:flag"},
    "P4:no-credentials": {"P4:no-credentials"},
    "P4:invalid-token": {"P4:invalid-token"},
    "P4:insufficient-scope": {"P4:insufficient-scope"},
    "P4:same-answer": {"P4:same-answer"},
    "P4:same-text": {"P4:same-answer"},
    "P4:caching": {"P4:caching"},
    "P4:caching-frames": {"P4:caching"},
    "P5:list": {"P5:list", "P5:evasion"},
    "P5:evasion": {"P5:evasion"},
    "P5:guard": {"P5:guard"},
    "P5:wado-uri": {"P5:wado-uri"},
}
WITH_CAPABILITY = {"M8": {"M8:bound"}, "W6:capability": {"W6:capability"}}


@pytest.mark.parametrize(("fault", "rows"), FAULTS.items(), ids=FAULTS)
def test_each_fault_turns_its_rows_red_and_no_other(server: FaultyImaging, fault: str, rows: set[str]) -> None:
    """M1-M7, M9-M16, F1-F6, F8-F10, W1-W5, W7, P1, P4, P5."""
    server.faults = frozenset({fault})

    report = report_on(server, budget_ms=250 if fault == "M15" else 2000)

    assert red(report) == rows
    assert report.exit_code == 1


@pytest.mark.parametrize("in_path", [False, True])
@pytest.mark.parametrize(("fault", "rows"), WITH_CAPABILITY.items(), ids=WITH_CAPABILITY)
def test_faults_of_capability_addresses_are_seen(server: FaultyImaging, fault: str, rows: set[str], *, in_path: bool) -> None:
    """M8, W6: also of one in the path that is made of the token alone, so that it is the same each time."""
    server.capability, server.capability_in_path, server.faults = True, in_path, frozenset({fault})

    assert red(report_on(server)) == rows


def test_an_endpoint_that_nobody_can_look_for_is_missed(server: FaultyImaging) -> None:
    """F12: with _include it is there, and without it is not."""
    server.endpoint_form, server.faults = "local", frozenset({"F12:local"})

    assert red(report_on(server)) == {"F12:local"}


@pytest.mark.parametrize("fault", sorted(OF_BACKEND))
def test_a_backend_client_that_sees_everybody_is_seen(server: FaultyImaging, fault: str) -> None:
    """F7."""
    server.backend, server.faults = True, frozenset({fault})

    assert red(report_on(server)) == {fault}


def test_a_backend_token_that_opens_nothing_proves_nothing(server: FaultyImaging) -> None:
    """F7: 403 for everybody is no 403 for whom it may not see."""
    server.backend = True

    report = report_on(server, tokens=tokens() | {TokenKind.SYSTEM: a_token(None, scope="system/Patient.rs")})

    assert {row.key for row in report.of(Verdict.NOT_TRIED)} == OF_BACKEND


def test_forgeries_are_tried_with_a_token_that_is_no_jwt(server: FaultyImaging) -> None:
    """W3, F5, M9: a server that takes whatever looks like a PASETO is seen with such a token too."""
    server.faults = frozenset({"F5:unknown-token", "W3:unknown-token"})

    report = report_on(server, tokens={TokenKind.GOOD: "v4.public.eyJzdWIiOiJ1c2VyLTEifXNpZ25hdHVyZQ.Zm9vdGVy"})

    assert {"F5:altered", "W3:forged"} <= red(report)


def test_every_requirement_has_a_fault_that_shows_it_or_says_why_nobody_sees_it() -> None:
    """F1-F13, W1-W7 and M1-M16 are all in the registry, and nothing in it is unproven."""
    asked_for = {f"{letter}{number}" for letter, last in (("F", 13), ("W", 7), ("M", 16)) for number in range(1, last + 1)}
    shown = {key for rows in (*FAULTS.values(), *WITH_CAPABILITY.values(), OF_BACKEND, {"F12:local"}) for key in rows}

    assert asked_for <= {one for requirement in REQUIREMENTS for one in requirement.ids.split()}
    assert {requirement.key for requirement in REQUIREMENTS} == shown | UNSEEN
    assert not shown & UNSEEN
    assert len({requirement.key for requirement in REQUIREMENTS}) == len(REQUIREMENTS)


def test_what_nobody_can_see_says_whom_to_ask_and_is_no_fault(server: FaultyImaging) -> None:
    """F11, F12, F13, M8, M14."""
    report = report_on(server)
    unseen = report.of(Verdict.UNSEEN)

    assert {row.key for row in unseen} == UNSEEN
    assert all("Ask" in row.outcome.seen or "Look" in row.outcome.seen for row in unseen)
    assert report.exit_code == 0
