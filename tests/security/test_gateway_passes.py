"""What the gate remembers of having let a token through to a series (``passes``): the next frame pays less and is as safe.

Spec: SMART Imaging Access W3, W5; groups 5, 6, 9, 10 and 23; issue 5 ("Speed"). Whatever else a change must do is shown with
frames in ``test_gateway_changes_noticed``.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_imaging.store.engine import SQLITE_FILE
from imaging_server import passes, revocations, settings
from imaging_server.rate_limit import RateLimitSettings
from imaging_server.revocations import Revocation, RevocationLog
from imaging_server.settings import LONGEST_PASS_S, PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import FRAME, INSTANCE, STUDY_A, series_of

EACH_S = 0.02
"""A viewer that reads ahead never lets a pass end for want of use."""
NOTICED_S = 6.0
"""How long a change is waited for; each test says itself how soon it has to show."""
OF_ANOTHER_SERIES = FRAME.replace(series_of(STUDY_A), series_of(STUDY_A, 2))


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of six seconds, a tenth of what is kept: no machine is so slow that they end before what else has to."""
    monkeypatch.setattr(settings, "LONGEST_PASS_S", 60.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    limits = RateLimitSettings(requests_per_second=0.0)
    with a_world(tmp_path, server={"decision_cache_s": 60.0, "rate_limit": limits}) as running:
        yield running


def frames_until(world: World, token: str, status: int) -> tuple[list[int], float]:
    """One frame after the other until one is answered so: all statuses, and the seconds that it took."""
    began, seen = time.monotonic(), []
    while time.monotonic() - began < NOTICED_S:
        seen.append(world.get(FRAME, token).status)
        if seen[-1] == status:
            break
        time.sleep(EACH_S)
    return seen, time.monotonic() - began


def given(world: World, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """From now on, whether each request about frames was let through by a pass."""
    seen: list[bool] = []
    again = passes.FramePasses.again

    def watched(self: passes.FramePasses, *asked: object) -> object:
        found = again(self, *asked)  # type: ignore[arg-type]
        seen.append(found is not None)
        return found

    monkeypatch.setattr(passes.FramePasses, "again", watched)
    return seen


@pytest.mark.usefixtures("lasting")
def test_the_next_frames_of_a_series_pass_and_nobody_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by_pass, token = given(world, monkeypatch), world.north.token()
    first = world.get(FRAME, token).status
    world.north.asked.clear()
    world.pacs.asked.clear()

    assert (first, [world.get(FRAME, token).status for _ in range(3)]) == (200, [200] * 3)
    assert by_pass == [False, True, True, True]
    assert world.north.asked == []
    assert len(world.pacs.asked) == len(world.pacs.retrievals()) == 3


def test_a_pass_ends_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the token is: what is seen is that not each of these had one, the first apart."""
    by_pass, token = given(world, monkeypatch), world.north.token()
    until = time.monotonic() + 10 * LONGEST_PASS_S
    while by_pass.count(False) < 3 and time.monotonic() < until:
        assert world.get(FRAME, token).status == 200
        time.sleep(EACH_S)

    assert by_pass.count(False) >= 3
    assert by_pass.count(True) > 0


@pytest.mark.parametrize("path", [INSTANCE, f"{INSTANCE}/metadata", f"{INSTANCE}/rendered", f"/studies/{STUDY_A}"])
@pytest.mark.usefixtures("lasting")
def test_only_frames_have_passes(world: World, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    by_pass, token = given(world, monkeypatch), world.north.token()
    world.get(FRAME, token)
    world.get(path, token)
    world.get(FRAME, token)
    assert by_pass == [False, False, True]
    del world.north.studies[STUDY_A]
    RevocationLog(world.store).mark(Revocation(marked_at=int(time.time()), study=STUDY_A))
    time.sleep(1.1 * revocations.LOOK_EVERY_S)

    assert world.get(path, token).status == 403


@pytest.mark.parametrize(
    ("whose", "status"),
    [("pat-b", 403), ("pat-a", 200)],
    ids=["another patient's", "another of the same patient"],
)
def test_group_9_a_pass_is_one_tokens_alone(world: World, monkeypatch: pytest.MonkeyPatch, whose: str, status: int) -> None:
    mine, other = world.north.token(), world.north.token(whose)
    assert world.get(FRAME, mine).status == 200
    by_pass = given(world, monkeypatch)

    assert world.get(FRAME, other).status == status
    assert by_pass == [False]


def test_a_pass_of_one_ehr_is_none_of_the_other(world: World) -> None:
    token = world.north.token()
    assert world.get(FRAME, token).status == 200

    elsewhere = world.send("GET", f"/imaging/south/dicom-web/main{FRAME}", {"Authorization": f"Bearer {token}"})

    assert elsewhere.status == 401


@pytest.mark.parametrize(
    "path",
    [OF_ANOTHER_SERIES, FRAME.replace("/instances/", "/instances/9"), FRAME.replace(STUDY_A, "2.25.22")],
    ids=["series that is not in the study", "instance that is not in the series", "another patient's study"],
)
def test_group_10_a_pass_opens_nothing_beside_its_series(world: World, path: str) -> None:
    token = world.north.token()
    without = world.get(path, world.north.token()).status
    assert world.get(FRAME, token).status == 200
    world.pacs.asked.clear()

    assert world.get(path, token).status == without == 403
    assert world.pacs.retrievals() == []
    assert world.audit()[0].outcome == "denied"


def test_each_token_with_a_pass_is_on_record(world: World) -> None:
    tokens = [world.north.token(jti=f"jti-{number}") for number in range(2)]
    for token in (*tokens, *tokens):
        assert world.get(FRAME, token).status == 200

    assert sorted(str(one.token_reference) for one in world.audit()) == ["jti-0", "jti-1"]


def test_group_23_a_pass_is_no_way_round_the_rate_limit(tmp_path: Path) -> None:
    limits = RateLimitSettings(requests_per_second=0.001, request_burst=5)
    with a_world(tmp_path, server={"rate_limit": limits}) as world:
        token = world.north.token()

        assert [world.get(FRAME, token).status for _ in range(7)] == [200] * 5 + [429] * 2
        assert len(world.pacs.retrievals()) == 5


def test_group_23_who_is_refused_too_often_waits_with_a_pass_too(tmp_path: Path) -> None:
    limits = RateLimitSettings(requests_per_second=0.0, refusals_per_minute=3)
    with a_world(tmp_path, server={"rate_limit": limits}) as world:
        token = world.north.token()
        assert world.get(FRAME, token).status == 200
        for _ in range(3):
            assert world.get("/studies/2.25.22/metadata", token).status == 403

        assert world.get(FRAME, token).status == 429


@pytest.mark.usefixtures("lasting")
def test_group_5_a_pass_ends_with_its_token(tmp_path: Path) -> None:
    with a_world(tmp_path, server={"token_leeway_s": 0, "decision_cache_s": 60.0}) as world:
        end = int(time.time()) + 3
        token = world.north.token(exp=end)
        assert world.get(FRAME, token).status == 200
        while time.time() < end - 0.2:
            assert world.get(FRAME, token).status == 200 or time.time() >= end
            time.sleep(EACH_S)
        time.sleep(max(0.0, end - time.time()))
        world.pacs.asked.clear()

        assert world.get(FRAME, token).status == 401
        assert world.pacs.asked == []


def _of_the_patient(world: World) -> Revocation:
    del world.north.studies[STUDY_A]
    return Revocation(marked_at=int(time.time()), patient="pat-a")


def _of_the_token(world: World) -> Revocation:
    return Revocation(marked_at=int(time.time()), token_reference="jti-of-the-stream")


@pytest.mark.parametrize(("ends", "status"), [(_of_the_patient, 403), (_of_the_token, 401)], ids=["patient", "token"])
@pytest.mark.usefixtures("lasting")
def test_group_6_access_that_is_ended_ends_in_the_middle_of_a_series(
    world: World, ends: Callable[[World], Revocation], status: int
) -> None:
    token = world.north.token(jti="jti-of-the-stream")
    assert world.get(FRAME, token).status == 200
    RevocationLog(world.store).mark(ends(world))

    seen, took_s = frames_until(world, token, status)

    assert set(seen) == {200, status}, "it was in the middle"
    assert took_s < revocations.LOOK_EVERY_S + 2, "within about a second, on a slow machine"
    assert world.get(FRAME, token).status == status


@pytest.mark.usefixtures("lasting")
def test_group_6_while_marks_cannot_be_read_a_pass_opens_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "LONGEST_UNREAD_S", 1.5)
    with a_world(tmp_path, server={"decision_cache_s": 60.0}) as world:
        token = world.north.token()
        assert world.get(FRAME, token).status == 200
        with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
            connection.execute("ALTER TABLE revocation RENAME TO elsewhere")
        connection.close()

        seen, _ = frames_until(world, token, 503)

        assert seen[-1] == 503
        assert set(seen) == {200, 503}


@pytest.mark.parametrize("kept_s", [1.0, 5.0])
def test_a_change_at_the_ehr_shows_within_the_bound_however_busy_the_token_is(tmp_path: Path, kept_s: float) -> None:
    """Both together, what was found out and the pass that was made of it at its end, stay within ``decision_cache_s``."""
    unlimited = RateLimitSettings(requests_per_second=0.0)
    with a_world(tmp_path, server={"decision_cache_s": kept_s, "rate_limit": unlimited}) as world:
        # The archive's index is the same for all tokens: so it is not asked again just when the EHR is.
        assert world.get(FRAME, world.north.token()).status == 200
        time.sleep(0.3 * kept_s)
        token = world.north.token()
        before = world.get(FRAME, token).status
        del world.north.studies[STUDY_A]
        changed = time.monotonic()
        late = 0
        while time.monotonic() < changed + kept_s + 0.5:
            asked_at = time.monotonic()
            if world.get(FRAME, token).status == 200 and asked_at > changed + kept_s:
                late += 1
            time.sleep(EACH_S)

        assert (before, late) == (200, 0)
        assert world.get(FRAME, token).status == 403


def test_a_person_that_the_archive_names_anew_shows_within_the_bound(tmp_path: Path) -> None:
    compared = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}}
    with a_world(tmp_path, server={**compared, "decision_cache_s": 1.0}) as world:
        index, _ = Index(world.pacs), PatientRecord(world.north, [identifier("MRN-A")])
        index.holds(a_study(STUDY_A, "MRN-A"))
        token = world.north.token()
        before = world.get(FRAME, token).status
        index.studies[0] = a_study(STUDY_A, "MRN-B")

        seen, took_s = frames_until(world, token, 403)

        assert (before, seen[-1]) == (200, 403)
        assert took_s < 1.0 + 2, "on a slow machine"
