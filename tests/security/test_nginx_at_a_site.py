"""The written configuration inside an http block that says otherwise: what it promises does not hang on what a site has there.

Spec: SMART Imaging Access W3, groups 2, 6 and 23; docs/operations.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Response

from imaging_cds.nginx_plan import Mode
from tests.nginx_actors import FILES, KEPT_S, OCTETS, Front, a_front
from tests.security.gateway_stubs import FRAME, STUDY_A, STUDY_B, only_for

INTRANET = "satisfy any; allow 127.0.0.0/8; deny all;"
CACHES = (
    "proxy_cache_use_stale updating error timeout http_500 http_502 http_503 http_504; proxy_cache_background_update on; "
    "proxy_cache_valid any 10m; proxy_cache_revalidate on; proxy_cache_lock on; open_file_cache max=1000 inactive=60s; "
    "open_file_cache_valid 60s; open_file_cache_errors on; open_file_cache_min_uses 1;"
)


def with_lines(lines: str) -> Callable[[str], str]:
    return lambda text: text.replace("\nhttp {\n", f"\nhttp {{\n    {lines}\n")


@pytest.mark.parametrize("mode", list(Mode))
def test_who_may_come_without_a_password_elsewhere_needs_a_token_here(mode: Mode, tmp_path: Path) -> None:
    """ "From the house, or with a password", as many sites have it."""
    with a_front(tmp_path, mode, changed=with_lines(INTRANET)) as front:
        world, token = front.world, front.world.north.token("pat-a")
        asked = ((FRAME, OCTETS), (f"/studies/{STUDY_A}", FILES))
        assert [world.get(path, token, Accept=accept).status for path, accept in asked] == [200, 200]
        world.pacs.asked.clear()

        for path, accept in asked:
            assert world.get(path, "nonsense", Accept=accept).status == 401
            assert world.send("GET", world.root + path, {"Accept": accept}).status == 401
            assert world.get(path.replace(STUDY_A, STUDY_B), token, Accept=accept).status == 403
        assert world.pacs.retrievals() == []


@pytest.mark.parametrize("lines", ["deny all;", "satisfy any; deny all;", "deny 127.0.0.0/8; allow all;"])
@pytest.mark.parametrize("mode", list(Mode))
def test_who_may_not_come_at_all_does_not_with_a_token_either(mode: Mode, lines: str, tmp_path: Path) -> None:
    """The application is not asked to decide, nor does it answer in nginx's stead."""
    with a_front(tmp_path, mode, changed=with_lines(lines)) as front:
        world, token = front.world, front.world.north.token("pat-a")

        for path, accept in ((FRAME, OCTETS), (f"/studies/{STUDY_A}", FILES), ("/studies", "application/dicom+json")):
            assert world.get(path, token, Accept=accept).status == 403

        assert (world.north.asked, world.pacs.asked) == ([], [])


@pytest.mark.parametrize("mode", list(Mode))
def test_a_site_that_denies_others_says_no_less_to_those_who_may_come(mode: Mode, tmp_path: Path) -> None:
    """What the application or an archive refuses with 403 is still told in the application's words."""
    lines = 'allow 127.0.0.0/8; deny all; auth_basic "house"; auth_basic_user_file /nowhere; satisfy any;'
    with a_front(tmp_path, mode, changed=with_lines(lines)) as front:
        world, token = front.world, front.world.north.token("pat-a")
        refused = world.get(FRAME.replace(STUDY_A, STUDY_B), token, Accept=OCTETS)
        assert (refused.status, refused.problem) == (403, "study-not-of-patient")
        assert [world.get(FRAME, token, Accept=OCTETS).status for _ in range(3)] == [200, 200, 200]

        world.pacs.answer = only_for("/frames/1", lambda: Response("pacs.internal says no", 403))
        told = [world.get(FRAME, token, Accept=OCTETS) for _ in range(2)]

        assert [(answer.status, answer.problem) for answer in told] == [(502, "upstream-failed")] * 2


def _until_refused(front: Front, token: str) -> tuple[int, float]:
    began, status = time.monotonic(), 200
    while status == 200 and time.monotonic() - began < 4 * KEPT_S:
        status = front.world.get(FRAME, token, Accept=OCTETS).status
        time.sleep(0.1)
    return status, time.monotonic() - began


def test_what_is_taken_away_ends_within_the_bound_whatever_is_said_of_caches(tmp_path: Path) -> None:
    with a_front(tmp_path, Mode.AUTH_REQUEST, changed=with_lines(CACHES)) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        front.world.north.studies[STUDY_A] = "pat-b"

        status, seconds = _until_refused(front, token)

        assert status == 403
        assert seconds < 2 * KEPT_S + 1


def test_an_ehr_that_is_not_there_opens_nothing_beyond_the_bound_whatever_is_said_of_caches(tmp_path: Path) -> None:
    with a_front(tmp_path, Mode.AUTH_REQUEST, changed=with_lines(CACHES)) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        front.world.north.answers["/fhir"] = lambda: Response("no", 500)

        status, seconds = _until_refused(front, token)

        assert status == 503
        assert seconds < 2 * KEPT_S + 1


def test_no_refusal_is_kept_whatever_is_said_of_caches(tmp_path: Path) -> None:
    with a_front(tmp_path, Mode.AUTH_REQUEST, changed=with_lines(CACHES)) as front:
        assert front.world.get(FRAME, front.world.north.token("pat-b"), Accept=OCTETS).status == 403
        assert front.nginx.decisions() == []


def test_a_removed_decision_ends_at_once_whatever_is_said_of_files(tmp_path: Path) -> None:
    with a_front(tmp_path, Mode.AUTH_REQUEST, changed=with_lines(CACHES), server={"decision_cache_s": KEPT_S + 0.1}) as front:
        token = front.world.north.token("pat-a")
        assert front.world.get(FRAME, token, Accept=OCTETS).status == 200
        time.sleep(0.2)
        front.world.north.studies[STUDY_A] = "pat-b"
        assert {front.world.get(FRAME, token, Accept=OCTETS).status for _ in range(24)} == {200}
        for path in front.nginx.decisions():
            path.unlink()

        assert {front.world.get(FRAME, token, Accept=OCTETS).status for _ in range(24)} == {403}
