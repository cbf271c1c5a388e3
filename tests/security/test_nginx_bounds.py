"""How long a decision outlives its reason behind nginx: a token's end, a revocation, an outage (W3, groups 2 and 6)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from tests.nginx_actors import KEPT_S, OCTETS, a_front
from tests.security.gateway_stubs import FRAME, STUDY_A

_MANY = 24
"""Requests, each on a connection of its own: every process of nginx answers some."""


def test_token_that_has_ended_opens_nothing_within_the_bound(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Group 2: a decision is kept no longer than the token lives."""
    with a_front(tmp_path_factory.mktemp("ending"), Mode.AUTH_REQUEST, server={"token_leeway_s": 0}) as front:
        token = front.world.north.token("pat-a", exp=int(time.time()) + 4)
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        ended = time.time() + 4

        last = _last_success(lambda: front.world.get(FRAME, token, Accept=OCTETS).status == 200, until=time.time() + 6)

        assert last <= ended
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 401


@pytest.mark.parametrize("mode", list(Mode))
def test_revocation_is_noticed_within_the_bound(mode: Mode, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Group 6: what nginx keeps is taken off the application's own time, so that decision_cache_s stays the bound."""
    bound = 2 * KEPT_S
    with a_front(tmp_path_factory.mktemp("revoked"), mode, server={"decision_cache_s": bound}) as front:
        world, token = front.world, "opaque-token-of-pat-a"
        world.south.introspected[token] = {**world.south.claims("pat-a"), "active": True}
        target = f"/imaging/south/dicom-web/main{FRAME}"
        sent = {"Authorization": f"Bearer {token}", "Accept": OCTETS}
        for _ in range(20):
            assert world.send("GET", target, sent).status == 200
        assert world.south.paths().count("/auth/introspect") == 1, "each frame asked the authorization server"
        world.south.introspected[token] = {"active": False}
        revoked = time.time()

        last = _last_success(lambda: world.send("GET", target, sent).status == 200, until=revoked + bound + 2)

        assert last - revoked <= bound
        assert world.send("GET", target, sent).status == 401


def test_outage_opens_nothing_once_the_kept_decision_has_ended(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fail closed: 503 in the application's words, and the archive is not asked."""
    with a_front(tmp_path_factory.mktemp("outage"), Mode.AUTH_REQUEST) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        front.world.north.answers["/"] = lambda: Response("rubbish", 502)
        time.sleep(2 * KEPT_S + 0.5)
        front.world.pacs.asked.clear()

        answer = front.world.get(FRAME, token, Accept=OCTETS)

        assert answer.status == 503
        assert front.world.pacs.asked == []


def test_removed_decision_ends_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For whoever ends somebody's access: nginx looks at the file for each request, in each of its processes."""
    with a_front(tmp_path_factory.mktemp("removed"), Mode.AUTH_REQUEST, server={"decision_cache_s": KEPT_S + 0.1}) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        time.sleep(0.2)  # the application keeps its own decisions for a tenth of a second here
        front.world.north.studies[STUDY_A] = "pat-b"
        assert {front.world.get(FRAME, token, Accept=OCTETS).status for _ in range(_MANY)} == {200}, "nothing is kept"
        for path in front.nginx.decisions():
            path.unlink()

        statuses = {front.world.get(FRAME, token, Accept=OCTETS).status for _ in range(_MANY)}

        assert statuses == {403}


def _last_success(ask: Callable[[], bool], *, until: float) -> float:
    """When it was asked for the last time with success (UTC seconds, before the question)."""
    last = 0.0
    while time.time() < until:
        asked = time.time()
        last = asked if ask() else last
        time.sleep(0.1)
    return last
