"""What ``imaging-cds check --imaging`` makes of a redirect where a refusal is asked for, and where it looks behind one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from flask import Flask, Response, request

from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_probe import Probe, Question, Reply
from imaging_cds.check_gateway_report import Verdict
from imaging_cds.check_gateway_requirement import refused
from imaging_cds.check_gateway_subject import Subject
from tests.conftest import free_port_number, serving


@contextmanager
def recording(places: dict[str, Response]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server of these answers (404 for all else), and the paths and Authorization that it was asked with."""
    asked: list[tuple[str, str]] = []
    app = Flask("recording", static_folder=None)

    @app.before_request
    def _answer() -> Response:
        asked.append((request.path, request.headers.get("Authorization", "")))
        return places.get(request.path, Response(status=404))

    with serving(app, free_port_number()) as base:
        yield base, asked


def ask(base: str, *, token: str | None = None, method: str = "GET") -> Reply:
    with closing(Probe([base])) as probe:
        return Examination(Subject(base=base), probe).ask(Question(url=f"{base}/a", token=token, method=method))


def to(place: str, status: int = 302) -> Response:
    return Response(status=status, headers={"Location": place})


@pytest.mark.parametrize(
    ("there", "verdict", "words"),
    [
        (Response(status=401), Verdict.OK, "1 requests refused (HTTP 401)"),
        (Response(status=500), Verdict.FAULT, "x: HTTP 500"),
        (Response("<p>", mimetype="text/html"), Verdict.FAULT, "sent on to what is served (HTTP 302, then HTTP 200: text/html"),
        (to("/c"), Verdict.FAULT, "is sent on (HTTP 302), which is no refusal"),
    ],
)
def test_a_redirect_is_judged_by_what_is_behind_it(there: Response, verdict: Verdict, words: str) -> None:
    """W3, F5: what refuses behind a redirect refuses; a sign-in page is no refusal for a program, nor is a second redirect."""
    with recording({"/a": to("b"), "/b": there}) as (base, asked):
        outcome = refused([("x", ask(base))])

    assert outcome.verdict is verdict
    assert words in outcome.seen
    assert [path for path, _ in asked] == ["/a", "/b"]


def test_nothing_is_sent_to_where_a_redirect_leads_away() -> None:
    """Group 18: another port is another origin."""
    with recording({}) as (elsewhere, asked_there), recording({"/a": to(f"{elsewhere}/b")}) as (base, _):
        reply = ask(base, token="the-token")

    assert refused([("x", reply)]).verdict is Verdict.FAULT
    assert asked_there == []


@pytest.mark.parametrize(
    "place", ["http://images.example/b", "//pacs.example/b", "https://me@images.example/b", "https://[", "ftp://images.example"]
)
def test_what_is_behind_another_origin_or_no_address_is_not_looked_at(place: str) -> None:
    """Group 18."""
    assert Reply(question=Question(url="https://images.example/a"), status=302, headers={"location": place}).onward is None


def test_what_is_behind_a_redirect_is_asked_as_it_was_and_never_written_to() -> None:
    """F5: with the same token on the same origin, or with none where there was none."""
    with recording({"/a": to("/b", 307)}) as (base, asked):
        ask(base, token="the-token")
        ask(base)
        ask(base, method="DELETE")

    assert asked == [("/a", "Bearer the-token"), ("/b", "Bearer the-token"), ("/a", ""), ("/b", ""), ("/a", "")]
