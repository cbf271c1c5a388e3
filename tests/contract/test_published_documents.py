"""Configurations and keys from servers that drip, never end or break off (SMART Imaging Access groups 5 and 23; SBX faults)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response

from fhir_imaging.clients.documents import read_document
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from tests.conftest import free_port_number, serving


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 64 * 1024


def dripping() -> Iterator[bytes]:
    """Never silent for as long as a read may take."""
    while True:
        time.sleep(0.05)
        yield b" "


@pytest.fixture
def published() -> Iterator[tuple[str, dict[str, Callable[[], Response]]]]:
    """A server's address, and what it answers to anything."""
    app, answers = Flask("publisher"), {"any": lambda: Response("{}")}
    app.add_url_rule("/<path:path>", view_func=lambda path: answers["any"]())
    with serving(app, free_port_number()) as base:
        yield base, answers


@pytest.fixture
def session(published: tuple[str, object]) -> Iterator[OutboundSession]:
    with OutboundSession([published[0]], timeout_s=1.5, retries=0) as made:
        yield made


def test_a_document_is_read_whole(published: tuple[str, dict[str, Callable[[], Response]]], session: OutboundSession) -> None:
    base, answers = published
    answers["any"] = lambda: Response(b"x" * 100, headers={"X-Said": "so"})

    exactly = read_document(session, f"{base}/document", accept="application/json", max_bytes=100)

    assert (exactly.status, exactly.body, exactly.headers["X-Said"]) == (200, b"x" * 100, "so")
    assert read_document(session, f"{base}/document", accept="application/json", max_bytes=99).body is None


def test_an_answer_that_is_no_success_is_not_read(
    published: tuple[str, dict[str, Callable[[], Response]]], session: OutboundSession
) -> None:
    base, answers = published
    answers["any"] = lambda: Response(endless(), 404)

    answer = read_document(session, f"{base}/document", accept="application/json", max_bytes=100)

    assert (answer.status, answer.body) == (404, None)


def test_what_never_ends_is_given_up_at_its_size(
    published: tuple[str, dict[str, Callable[[], Response]]], session: OutboundSession
) -> None:
    base, answers = published
    answers["any"] = lambda: Response(endless(), content_type="application/json")

    with pytest.raises(UpstreamError):
        JwksClient(f"{base}/jwks", session).candidates("k1", "RS256")
    with pytest.raises(UpstreamError, match="smart-configuration"):
        SmartMetadataClient(session).of(f"{base}/fhir")


def test_what_drips_is_given_up_at_its_time(
    published: tuple[str, dict[str, Callable[[], Response]]], session: OutboundSession
) -> None:
    """A socket's own time limit begins anew with every byte."""
    base, answers = published
    answers["any"] = lambda: Response(dripping(), content_type="application/json")

    with pytest.raises(UpstreamTimeout):
        JwksClient(f"{base}/jwks", session).candidates("k1", "RS256")
    with pytest.raises(UpstreamTimeout):
        SmartMetadataClient(session).of(f"{base}/fhir")


def test_what_breaks_off_is_an_outage(
    published: tuple[str, dict[str, Callable[[], Response]]], session: OutboundSession
) -> None:
    base, answers = published
    answers["any"] = lambda: Response([b'{"keys": ['], headers={"Content-Length": "500"})

    with pytest.raises(UpstreamError) as seen:
        JwksClient(f"{base}/jwks", session).candidates("k1", "RS256")

    assert seen.value.retryable
