"""``imaging-cds check --imaging``: which tokens it writes into addresses, and which it finds in a server's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import request

from imaging_cds.check_gateway import check_server
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_report import ImagingReport, Verdict
from imaging_cds.check_gateway_subject import TOKEN_MEANINGS, Subject, TokenKind
from tests.conftest import free_port_number, serving
from tests.faulty_imaging import FaultyImaging
from tests.faulty_tokens import a_token

IN_QUERY = ("F5:in-query", "W3:in-query")


@pytest.fixture
def seen() -> list[str]:
    """The addresses that the server was asked for."""
    return []


@pytest.fixture
def server(seen: list[str], caplog: pytest.LogCaptureFixture) -> Iterator[FaultyImaging]:
    caplog.set_level("ERROR", "werkzeug")
    port = free_port_number()
    made = FaultyImaging(base_url=f"http://127.0.0.1:{port}")
    app = made.app()
    app.before_request_funcs[None].insert(0, lambda: seen.append(str(request.environ["RAW_URI"])))
    with serving(app, port):
        yield made


def report_on(server: FaultyImaging, tokens: dict[TokenKind, str]) -> ImagingReport:
    with closing(Probe([server.base_url], sleep=lambda _: None)) as probe:
        return check_server(Subject(base=server.imaging, tokens=tokens, patient="pat-a", budget_ms=2000), probe)


def verdicts(report: ImagingReport) -> dict[str, Verdict]:
    return {row.key: row.outcome.verdict for row in report.rows}


def test_no_token_stands_in_an_address_unless_one_is_lent_for_that(server: FaultyImaging, seen: list[str]) -> None:
    """Group 1: and then none but that one."""
    tokens = {kind: a_token(jti=kind.value) for kind in TOKEN_MEANINGS}
    to_show = tokens.pop(TokenKind.IN_QUERY)

    without = report_on(server, tokens)
    before = len(seen)
    report_on(server, tokens | {TokenKind.IN_QUERY: to_show})

    assert {verdicts(without)[key] for key in IN_QUERY} == {Verdict.NOT_TRIED}
    assert not any(token in address for token in tokens.values() for address in seen)
    assert not any("token=" in address for address in seen[:before])
    assert any(to_show in address for address in seen[before:])


@pytest.mark.parametrize("lent", [a_token(exp=1), a_token("pat-b"), a_token(scope="patient/Patient.r")])
def test_the_refusal_of_a_token_that_opens_nothing_anyway_proves_nothing(server: FaultyImaging, lent: str) -> None:
    """F5, W3: in the header it is tried first."""
    report = report_on(server, {TokenKind.GOOD: a_token(), TokenKind.IN_QUERY: lent})

    assert {verdicts(report)[key] for key in IN_QUERY} == {Verdict.NOT_TRIED}


def test_a_server_that_takes_either_name_is_seen(server: FaultyImaging) -> None:
    """F5, W3: with an address that has a query already, since it carries a capability."""
    server.capability, server.faults = True, frozenset({"F5:in-query", "W3:in-query"})

    report = report_on(server, {TokenKind.GOOD: a_token(), TokenKind.IN_QUERY: a_token(jti="to-show")})

    assert {verdicts(report)[key] for key in IN_QUERY} == {Verdict.FAULT}
