"""R22: looking up a server's name takes no longer than its answer may; the resolver is a fake that hangs."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient
from fhir_imaging.clients.name_lookup import NameLookups, is_address
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_cds_service, a_hook, a_lung_rads, a_store, whole_prefetch

Serve = Callable[[Flask, int], str]
NAMED = "http://ehr.example:8000"
"""A name that only the fakes know."""
AT_ONCE_S = 5.0
"""Far less than the resolver hangs, and far more than a busy machine needs."""
SOFT_S, HARD_S = 0.2, 2.0


class HungResolver:
    """Answers nobody until it is let go; then every name is this machine."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        self.go.wait(20)
        return ("127.0.0.1",)


@pytest.fixture
def hung() -> Iterator[HungResolver]:
    resolver = HungResolver()
    yield resolver
    resolver.go.set()
    for thread in threading.enumerate():
        if thread.name == "name-lookup":
            thread.join(5)


def lookups() -> int:
    return sum(1 for thread in threading.enumerate() if thread.name == "name-lookup")


@pytest.mark.parametrize("timeout_s", [None, 0.2])
def test_a_name_that_nobody_resolves_is_a_timeout(hung: HungResolver, timeout_s: float | None) -> None:
    with OutboundSession([NAMED], timeout_s=0.2, retries=0, resolver=hung) as session:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            session.ask(NAMED + "/fhir/Patient/p", headers={}, timeout_s=timeout_s)

    assert time.monotonic() - began < AT_ONCE_S


def test_however_many_wait_for_one_name_one_thread_asks_for_it(hung: HungResolver) -> None:
    before = lookups()
    with OutboundSession([NAMED], timeout_s=0.05, retries=0, resolver=hung) as session:
        for _ in range(5):
            with pytest.raises(UpstreamTimeout):
                session.get(NAMED + "/")

        assert (lookups() - before, hung.asked) == (1, [("ehr.example", 8000)])


def test_a_name_is_reached_at_the_first_of_its_addresses_that_answers(free_port: int, serve: Serve) -> None:
    app = Flask("named")
    app.add_url_rule("/", view_func=lambda: "here")
    serve(app, free_port)
    base = f"http://ehr.example:{free_port}"

    with OutboundSession([base], timeout_s=2, resolver=lambda *_: ("127.0.0.2", "127.0.0.1")) as session:
        assert session.get(base + "/").text == "here"


@pytest.mark.parametrize(
    "failure", [socket.gaierror(-2, "unknown"), UnicodeError("label too long"), None], ids=["unknown", "unwritable", "none"]
)
def test_a_name_without_an_address_is_an_upstream_error(failure: Exception | None) -> None:
    def refuse(host: str, port: int) -> Sequence[str]:
        if failure is not None:
            raise failure
        return ()

    session = OutboundSession([NAMED], timeout_s=2, retries=0, resolver=refuse)
    with session, pytest.raises(UpstreamError) as raised:
        session.get(NAMED + "/")

    assert isinstance(raised.value.__cause__, requests.ConnectionError)


def test_what_is_an_address_is_nobody_asked_for(hung: HungResolver, free_port: int, serve: Serve) -> None:
    app = Flask("plain")
    app.add_url_rule("/", view_func=lambda: "here")
    base = serve(app, free_port)

    with OutboundSession([base], timeout_s=2, resolver=hung) as session:
        assert session.get(base + "/").text == "here"
    assert hung.asked == []
    assert [is_address(one) for one in ("[::1]", "fe80::1%eth0", "10.0.0.1", "ehr.example")] == [True, True, True, False]


def test_a_lookup_that_failed_is_asked_anew() -> None:
    answers: list[Any] = [socket.gaierror(-3, "try again"), ("127.0.0.1",)]

    def once_wrong(host: str, port: int) -> Sequence[str]:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return tuple(found)

    names = NameLookups(once_wrong)
    with pytest.raises(socket.gaierror):
        names.addresses("ehr.example", 80, 2)
    assert names.addresses("ehr.example", 80, 2) == ("127.0.0.1",)


def test_a_machine_without_a_free_thread_fails_once_and_not_until_it_is_restarted() -> None:
    refusals = [RuntimeError("can't start new thread")]

    def begin(work: Callable[[], None]) -> None:
        if refusals:
            raise refusals.pop()
        work()

    names = NameLookups(lambda *_: ("127.0.0.1",), begin)
    with pytest.raises(OSError, match="no lookup could begin"):
        names.addresses("ehr.example", 80, 2)
    assert names.addresses("ehr.example", 80, 2) == ("127.0.0.1",)


# --- the hook


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path, hung: HungResolver) -> Iterator[CdsActor]:
    """A service whose FHIR server has a name that the resolver never answers for."""
    budgets = {"soft_budget_ms": int(SOFT_S * 1000), "hard_budget_ms": int(HARD_S * 1000)}
    actor = a_cds_service(store, tmp_path, trust={"fhir_servers": (f"{NAMED}/fhir",)}, **budgets)
    with OutboundSession([NAMED], retries=0, resolver=hung) as outbound:
        services = replace(actor.services, outbound=outbound)
        app = Flask("cds-with-hung-resolver")
        app.register_blueprint(create_blueprint(services))
        web.install(app, [error_surface(services)])
        yield replace(actor, app=app, services=services)


def a_request(**prefetch: Any) -> dict[str, Any]:
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "imaging-cds"}
    sent = a_hook(prefetch, fhirServer=f"{NAMED}/fhir", fhirAuthorization=grant | {"patient": "p"})
    return sent if prefetch else {name: member for name, member in sent.items() if name != "prefetch"}


def asking() -> int:
    """Threads of the service that are still inside a question."""
    kept = {one.ident for one in threading.enumerate() if one.name.startswith("gather")}
    names = [names_of(frame) for ident, frame in sys._current_frames().items() if ident in kept]
    return sum("_fetch" in one for one in names)


def nobody_asks_by(deadline: float) -> bool:
    """Whether all questions end before that moment of the monotonic clock."""
    while asking() and time.monotonic() < deadline:
        time.sleep(0.02)
    return asking() == 0


def names_of(frame: Any) -> set[str]:
    found = set()
    while frame is not None:
        found.add(frame.f_code.co_name)
        frame = frame.f_back
    return found


def test_r22_optional_data_behind_a_hung_resolver_is_left_out_at_the_soft_budget(cds: CdsActor) -> None:
    began = time.monotonic()
    sent = whole_prefetch(a_lung_rads("3"))
    del sent["orders"]
    (card,) = cds.cards(a_request(**sent))

    assert time.monotonic() - began < HARD_S
    assert "open orders could not be looked up" in card["detail"]
    assert nobody_asks_by(began + HARD_S), "no thread of the service waits on for the name"


def test_r19_required_data_behind_a_hung_resolver_is_412_at_the_hard_budget(cds: CdsActor) -> None:
    began = time.monotonic()
    answer = cds.call(a_request())

    assert answer.status_code == 412
    assert time.monotonic() - began < AT_ONCE_S
    assert nobody_asks_by(began + AT_ONCE_S)


def test_r37_keys_behind_a_hung_resolver_hold_nobody_beyond_their_time(hung: HungResolver) -> None:
    with OutboundSession([NAMED], timeout_s=0.2, retries=0, resolver=hung) as session:
        keys = JwksClient(f"{NAMED}/jwks.json", session)
        began = time.monotonic()
        with pytest.raises(UpstreamError):
            keys.candidates("any", "ES384")

    assert time.monotonic() - began < AT_ONCE_S
