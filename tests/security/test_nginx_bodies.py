"""Bodies that nothing asked for, on their way through nginx: what the application is told of a body is what it gets of it.

It takes the next words on a connection for what is missing, whoever's they are (group 20; RFC 9112 §11.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from imaging_cds.nginx_plan import Mode
from tests.announced_bodies import FIELDS, MOST, TARGET, VICTIM, Behind, behind_nginx


@pytest.fixture(params=list(Mode), ids=lambda mode: mode.value)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    with behind_nginx(request.param, tmp_path) as running:
        yield running


ODD = {
    "too large, and none comes": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n",
    "too large, and most of it comes": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n" + MOST * "z",
    "pieces, too large": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n{MOST + 70:x}\r\n" + MOST * "z",
    "pieces, broken": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n64\r\n" + 100 * "z" + "\r\nzz\r\n",
    "no pieces at all": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "another method": f"POST {TARGET} HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n",
    "a query": f"GET {TARGET}?a=b HTTP/1.1\r\n{FIELDS}Content-Length: {MOST + 70}\r\n\r\n",
    "what is expected first": f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Expect: 100-continue\r\nContent-Length: {MOST + 70}\r\n\r\n",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("is_kept", [False, True], ids=["", "kept"])
def test_no_body_is_announced_that_does_not_come(behind: Behind, odd: str, is_kept: bool) -> None:
    """Before and after nginx has a decision for the token."""
    if is_kept:
        with behind.say(f"GET {TARGET} HTTP/1.1\r\n{FIELDS}Connection: close\r\n\r\n") as first:
            assert first.recv(65536)
        behind.application.asked.clear()

    with behind.say(odd) as attacker, suppress(TimeoutError, ConnectionError):
        assert attacker.recv(65536).startswith(b"HTTP/1.1 4")
        with behind.say(VICTIM) as victim:
            assert victim.recv(65536).startswith(b"HTTP/1.1 401")

    lines = [line for line, _, _ in behind.asked()]
    assert lines[-1:] == [VICTIM.partition("\r\n")[0].encode()]
    assert behind.asked()[-1][2] == b"{victim"
    assert [(line, length) for line, length, came in behind.asked() if len(came) != length] == []


@pytest.mark.parametrize(
    "body", ["Content-Length: 9\r\n\r\nsome body", "Transfer-Encoding: chunked\r\n\r\n9\r\nsome body\r\n0\r\n\r\n"]
)
def test_a_body_that_is_whole_is_told_as_it_is_or_not_at_all(behind: Behind, body: str) -> None:
    for target in (TARGET, TARGET + "?a=b"):
        with behind.say(f"GET {target} HTTP/1.1\r\n{FIELDS}Connection: close\r\n{body}") as caller:
            assert caller.recv(65536)

    told = [(length, came) for _, length, came in behind.asked()]
    assert told[-1] == (9, b"some body")
    assert {came for _, came in told} <= {b"", b"some body"}
    assert [length == len(came) for length, came in told] == [True] * len(told)
