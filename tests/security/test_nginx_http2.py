"""Bodies that nothing asked for, over HTTP/2: there is no length that must be true, and a request may end in the middle.

nginx tells the application in HTTP/1.1, so what is told of a body is what follows (group 20; RFC 9113 §10.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

import pytest

from imaging_cds.nginx_plan import Mode
from tests.announced_bodies import MOST, TARGET, VICTIM, Behind, behind_nginx
from tests.contract.tls_actors import TestAuthority
from tests.http2_caller import Http2Caller
from tests.nginx_actors import OCTETS

FIELDS = {"authorization": "Bearer some-token", "accept": OCTETS}


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A request as somebody might send it."""

    method: str = "GET"
    target: str = TARGET
    stated: str | None = None
    pieces: tuple[bytes, ...] = ()
    ends: bool = False
    then: str = "waits"


ODD = {
    "too large, and none comes": Odd(stated=f"{MOST + 70}"),
    "too large, and most of it comes": Odd(stated=f"{MOST + 70}", pieces=(MOST * b"z",)),
    "too large, and all of it comes": Odd(stated=f"{MOST + 70}", pieces=((MOST + 70) * b"z",), ends=True),
    "too large without a length": Odd(pieces=(MOST * b"z", 70 * b"z")),
    "nothing of what is stated": Odd(stated="40"),
    "nothing of what is stated, then reset": Odd(stated="40", then="resets"),
    "a part of what is stated, then reset": Odd(stated="40", pieces=(b"some",), then="resets"),
    "a part of what is stated, then gone": Odd(stated="40", pieces=(b"some",), then="goes"),
    "less than is stated": Odd(stated="40", pieces=(b"some",), ends=True),
    "more than is stated": Odd(stated="4", pieces=(40 * b"z",), ends=True),
    "no length and no end": Odd(pieces=(b"some",)),
    "no length, then reset": Odd(pieces=(b"some",), then="resets"),
    "another method": Odd(method="POST", stated=f"{MOST + 70}"),
    "another method, a part": Odd(method="POST", stated="40", pieces=(b"some",), then="resets"),
    "a query": Odd(target=TARGET + "?a=b", stated=f"{MOST + 70}"),
    "a query, a part": Odd(target=TARGET + "?a=b", stated="40", pieces=(b"some",), then="goes"),
}


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    home = tmp_path_factory.mktemp("nginx")
    with behind_nginx(request.param, home, TestAuthority.in_folder(home / "authority")) as behind:
        yield behind


@pytest.fixture
def behind(running: Behind) -> Behind:
    running.application.asked.clear()
    return running


def a_caller(behind: Behind) -> Http2Caller:
    connected = behind.connected("h2")
    connected.settimeout(1)
    return Http2Caller(connected)


def say(caller: Http2Caller, odd: Odd) -> None:
    stated = {"content-length": odd.stated} if odd.stated else {}
    number = caller.ask(odd.method, odd.target, {**FIELDS, **stated}, ends=False)
    for place, piece in enumerate(odd.pieces, 1):
        caller.more(number, piece, ends=odd.ends and place == len(odd.pieces))
    if odd.then == "resets":
        caller.reset(number)
    elif odd.then == "waits":
        with suppress(TimeoutError):
            assert caller.answer(number).status in (None, 400, 401, 413)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("is_kept", [False, True], ids=["", "kept"])
def test_no_body_is_announced_that_does_not_come(behind: Behind, odd: Odd, is_kept: bool) -> None:
    with closing(a_caller(behind)) as attacker:
        if is_kept:
            assert attacker.answer(attacker.ask("GET", TARGET, FIELDS, ends=True)).status
            behind.application.asked.clear()
        say(attacker, odd)
        if odd.then == "goes":
            attacker.close()
        with behind.say(VICTIM) as victim:
            assert victim.recv(65536).startswith(b"HTTP/1.1 401")

    assert behind.asked()[-1] == (VICTIM.partition("\r\n")[0].encode(), 7, b"{victim")
    assert [(line, length) for line, length, came in behind.asked() if len(came) != length] == []
