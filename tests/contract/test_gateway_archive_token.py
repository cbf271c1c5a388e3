"""The gateway's own token at an archive: got once, kept to its end, renewed once, and never a caller's (issue 5; group 20)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Response

from fhir_imaging.clients.archive_credentials import ClientCredentials, FixedCredential, credential_of
from fhir_imaging.clients.breaker import BreakerSettings, Outcome, State
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import PacsSettings
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive, UpstreamRequest
from tests.conftest import free_port_number, serving
from tests.contract.cloud_archives import CLIENT_SECRET, CloudArchive, GoogleStore, TokenEndpoint
from tests.security.gateway_actors import a_world
from tests.security.gateway_stubs import METADATA

ANYTHING = UpstreamRequest(resource=STUDY_SEARCH, accept="application/dicom+json")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Cloud:
    """An archive behind a token endpoint, and the gateway's side of it."""

    tokens: TokenEndpoint
    archive: CloudArchive
    clock: Clock = field(default_factory=Clock)

    def settings(self, **changes: str) -> PacsSettings:
        return self.archive.settings(**self.tokens.settings(**changes))

    @contextmanager
    def opened(self, **changes: str) -> Iterator[Archive]:
        settings = self.settings(**changes)
        archive = Archive(settings, ClientCredentials(settings, self.tokens.url, monotonic=self.clock))
        try:
            yield archive
        finally:
            archive.close()

    def sent(self) -> list[str]:
        """The tokens that the archive was shown, in their order."""
        return [one.headers["Authorization"].removeprefix("Bearer ") for one in self.archive.asked]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    tokens, archive = TokenEndpoint(), GoogleStore()
    with serving(tokens.app(), free_port_number()) as tokens.base, serving(archive.app(), free_port_number()) as archive.base:
        yield Cloud(tokens, archive)


def status_of(archive: Archive) -> int:
    answer = archive.ask(ANYTHING)
    answer.close()
    return answer.status


def test_one_token_serves_until_a_minute_before_its_end(cloud: Cloud) -> None:
    with cloud.opened() as archive:
        for cloud.clock.now in (1000.0, 1001.0, 1000.0 + 3600 - 61, 1000.0 + 3600 - 59, 1000.0 + 3600):
            assert status_of(archive) == 200

    assert cloud.sent() == ["archive-token-1"] * 3 + ["archive-token-2"] * 2


@pytest.mark.parametrize(("stated", "kept_s"), [(60, 30), (None, 240), ("soon", 240), (-1, 240), (True, 240), (10**9, 240)])
def test_short_and_unstated_lives(cloud: Cloud, stated: object, kept_s: float) -> None:
    """Half of a life that is shorter than two minutes; 300 s where nothing usable is stated."""
    cloud.tokens.lifetime_s = stated
    with cloud.opened() as archive:
        for cloud.clock.now in (1000.0, 1000.0 + kept_s - 1, 1000.0 + kept_s + 1):
            status_of(archive)

    assert len(cloud.tokens.issued) == 2


def test_many_requests_at_once_get_one_token(cloud: Cloud) -> None:
    cloud.tokens.delay_s = 0.3
    with cloud.opened() as archive:
        at_once(lambda: status_of(archive), 8)

    assert len(cloud.tokens.asked) == 1
    assert cloud.sent() == ["archive-token-1"] * 8


def test_secret_goes_by_basic_encoded_and_stands_in_no_address(cloud: Cloud) -> None:
    """RFC 6749 §2.3.1: also a secret with marks that Basic itself would misread."""
    with cloud.opened(token_scope="read write", token_audience="urn:archive") as archive:
        status_of(archive)

    asked = cloud.tokens.asked[0]
    assert asked.target == "/oauth2/token"
    assert parse_qs(asked.body) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "audience": ["urn:archive"],
        "resource": ["urn:archive"],
    }
    assert CLIENT_SECRET not in repr(cloud.settings())


def test_refused_token_is_renewed_once_and_the_request_repeated(cloud: Cloud) -> None:
    with cloud.opened() as archive:
        status_of(archive)
        cloud.archive.accepts = lambda token: token == "archive-token-2"
        cloud.clock.now += 60

        assert status_of(archive) == 200
        assert status_of(archive) == 200

    assert cloud.sent() == ["archive-token-1", "archive-token-1", "archive-token-2", "archive-token-2"]


def test_many_refused_at_once_renew_once(cloud: Cloud) -> None:
    with cloud.opened() as archive:
        status_of(archive)
        cloud.archive.accepts = lambda token: token == "archive-token-2"
        cloud.clock.now += 60
        cloud.tokens.delay_s = 0.2
        statuses = at_once(lambda: status_of(archive), 6)

    assert statuses == [200] * 6
    assert len(cloud.tokens.issued) == 2


def test_archive_that_refuses_every_token_is_not_asked_on_and_on(cloud: Cloud) -> None:
    """The client itself has no right there: one renewal, then the refusal stands until the token is older."""
    with cloud.opened() as archive:
        status_of(archive)
        cloud.archive.accepts = lambda token: False
        cloud.clock.now += 60
        statuses = [status_of(archive) for _ in range(5)]

    assert statuses == [401] * 5
    assert len(cloud.tokens.issued) == 2


def test_refusal_without_another_token_keeps_no_place_in_the_pool(cloud: Cloud) -> None:
    settings = cloud.archive.settings(**cloud.tokens.settings(), max_connections=1, connect_timeout_s=2.0)
    archive = Archive(settings, ClientCredentials(settings, cloud.tokens.url, monotonic=cloud.clock))
    try:
        assert status_of(archive) == 200
        cloud.archive.accepts = lambda token: False
        cloud.tokens.answer = FAILURES["down"]
        for _ in range(3):
            cloud.clock.now += 60
            with pytest.raises(UpstreamError, match="could not sign in"):
                archive.ask(ANYTHING)
        cloud.tokens.answer, cloud.archive.accepts = (lambda: None), (lambda token: True)
        cloud.clock.now += 60

        assert status_of(archive) == 200
    finally:
        archive.close()


FAILURES: dict[str, Callable[[], Response]] = {
    "invalid client": lambda: Response('{"error":"invalid_client"}', 401, content_type="application/json"),
    "bad request": lambda: Response('{"error":"invalid_scope"}', 400, content_type="application/json"),
    "down": lambda: Response(status=503),
    "broken": lambda: Response("stack trace", 500),
    "redirect": lambda: Response(status=302, headers={"Location": "http://evil.example/token"}),
    "HTML": lambda: Response("<html>"),
    "list": lambda: Response("[]"),
    "empty": lambda: Response("{}"),
    "not bearer": lambda: Response('{"access_token":"x","token_type":"mac"}'),
    "no type": lambda: Response('{"access_token":"x"}'),
    "number": lambda: Response('{"access_token":7,"token_type":"Bearer"}'),
    "line break": lambda: Response('{"access_token":"x\\r\\nHost: evil","token_type":"Bearer"}'),
    "too much": lambda: Response('{"access_token":"' + "x" * 100_000 + '","token_type":"Bearer"}'),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_without_a_token_the_archive_is_not_asked(cloud: Cloud, failure: Callable[[], Response]) -> None:
    cloud.tokens.answer = failure
    with cloud.opened() as archive:
        with pytest.raises(UpstreamError) as refusal:
            archive.ask(ANYTHING)
        cloud.tokens.answer = lambda: None
        cloud.clock.now += 6
        again = status_of(archive)

    assert refusal.value.retryable
    assert again == 200
    assert cloud.sent() == ["archive-token-1"]


def test_endpoint_that_is_down_is_left_alone_for_a_while(cloud: Cloud) -> None:
    """Group 23: who waits for it holds a thread of the worker."""
    with cloud.opened() as archive:

        def refused() -> int:
            with pytest.raises(UpstreamError) as refusal:
                archive.ask(ANYTHING)
            assert refusal.value.retryable
            return len(cloud.tokens.asked)

        cloud.tokens.answer = FAILURES["down"]
        assert [refused() for _ in range(8)] == [1, 2, 3, 4, 5, 5, 5, 5]
        cloud.tokens.answer = lambda: None
        cloud.clock.now += 6
        assert status_of(archive) == 200


@pytest.mark.parametrize("failure", ["invalid client", "bad request", "redirect", "HTML"])
def test_client_that_is_refused_a_token_for_good_does_not_storm_the_endpoint(cloud: Cloud, failure: str) -> None:
    """RFC 6749 §5.2, group 23: one question in five seconds, however many images are asked for."""
    cloud.tokens.answer = FAILURES[failure]
    with cloud.opened() as archive:
        for _ in range(20):
            with pytest.raises(UpstreamError, match="could not sign in"):
                archive.ask(ANYTHING)
            cloud.clock.now += 0.5

    assert len(cloud.tokens.asked) == 2
    assert cloud.sent() == []


@pytest.mark.parametrize("fault", ["refuses", "down", "slow"])
def test_caller_is_told_to_wait_when_the_gateway_cannot_sign_in(tmp_path: Path, fault: str) -> None:
    """Fails closed: 503 with Retry-After, no DICOM, and no other credential in its place."""
    tokens, archive = TokenEndpoint(), GoogleStore()
    archive.accepts = lambda token: token in tokens.issued
    with serving(tokens.app(), free_port_number()) as tokens.base:
        settings: dict[str, Any] = tokens.settings()
        if fault == "refuses":
            tokens.answer = FAILURES["invalid client"]
        elif fault == "down":
            settings["token_url"] = f"http://127.0.0.1:{free_port_number()}/token"
        else:
            tokens.delay_s, settings["connect_timeout_s"] = 6, 0.3
        with a_world(tmp_path, pacs=archive, archive=settings) as world:
            started = time.monotonic()
            answer = world.get(METADATA, world.north.token())

            assert time.monotonic() - started < 5
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert answer.json()["type"].startswith("urn:imaging-cds:problem:")
            assert archive.asked == []


def test_token_endpoint_stands_among_the_servers_that_are_watched_with_the_sites_own_limits(tmp_path: Path) -> None:
    """What readiness and metrics show is ``services.breakers``."""
    tokens, archive = TokenEndpoint(answer=FAILURES["down"]), GoogleStore()
    breaker = BreakerSettings(outages=2, window_s=30, cool_down_s=60)
    with (
        serving(tokens.app(), free_port_number()) as tokens.base,
        a_world(tmp_path, pacs=archive, archive=tokens.settings(), server={"breaker": breaker}) as world,
    ):
        told: list[tuple[str, Outcome]] = []
        world.services.watched_by(lambda server, outcome, _seconds, _state: told.append((server, outcome)))
        statuses = [world.get(METADATA, world.north.token()).status for _ in range(4)]
        states = {one.server: one.state for one in world.services.breakers}

    assert statuses == [503] * 4
    assert states == {
        "north-fhir": State.CLOSED,
        "north-authorization": State.CLOSED,
        "south-fhir": State.CLOSED,
        "south-authorization": State.CLOSED,
        "main-archive": State.CLOSED,
        "main-token": State.OPEN,
    }
    assert [outcome for server, outcome in told if server == "main-token"] == [Outcome.OUTAGE] * 2 + [Outcome.NOT_ASKED] * 2
    assert archive.asked == []


def test_tokens_stand_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens, archive = TokenEndpoint(), GoogleStore()
    archive.accepts = lambda token: False
    caplog.set_level("DEBUG")
    with (
        serving(tokens.app(), free_port_number()) as tokens.base,
        a_world(tmp_path, pacs=archive, archive=tokens.settings()) as world,
    ):
        answer = world.get(METADATA, world.north.token())

    assert answer.status == 503
    assert answer.headers["WWW-Authenticate"] is None
    assert "archive-token-" not in caplog.text
    assert CLIENT_SECRET not in caplog.text
    assert "archive-token-" not in str(answer.headers) + answer.body.decode()


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({}, {}),
        ({"bearer_token": "fixed"}, {"Authorization": "Bearer fixed"}),
        ({"user": "gateway", "password": "pw"}, {"Authorization": "Basic Z2F0ZXdheTpwdw=="}),
    ],
)
def test_fixed_credentials_stay_what_they_are(changes: dict[str, str], headers: dict[str, str]) -> None:
    credential = credential_of(PacsSettings(name="main", dicomweb_root="https://pacs.example/x", **changes))  # type: ignore[arg-type]

    assert isinstance(credential, FixedCredential)
    assert credential.headers() == headers
    assert credential.renewed(headers) is None
    assert "fixed" not in repr(credential)


def at_once(work: Callable[[], int], number: int) -> list[int]:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return found
