"""What nginx is told of an archive, and what it is not (groups 18 and 20)."""

from __future__ import annotations

import pytest

from fhir_imaging.clients.archive_credentials import FixedCredential
from fhir_imaging.settings import HandOver
from imaging_server.asking import Way
from imaging_server.handover import HandedArchive, Handover
from imaging_server.resource import DicomResource, Kind, Level, parse_path

KEY = "0123456789abcdef" * 4
INSTANCE = "/studies/1.2/series/1.3/instances/1.4"
ONE_WAY = (Way('multipart/related; type="application/octet-stream"'),)


def a_handover(hand_over: HandOver = HandOver.RETRIEVALS, *, keeps_hierarchy: bool = True) -> Handover:
    credential = FixedCredential({"Authorization": "Basic secret"})
    archive = HandedArchive(
        hand_over=hand_over, keeps_hierarchy=keeps_hierarchy, credential=credential, headers=("tenant-1", "key-2")
    )
    return Handover(KEY, {"main": archive})


def resource(path: str) -> DicomResource:
    found = parse_path(path)
    assert found is not None
    return found


@pytest.mark.parametrize("presented", [None, "", KEY[:-1], KEY + "0", KEY.upper(), f" {KEY}", "\udcff" * 64, "ä" * 64])
def test_whoever_has_not_the_key_is_not_nginx(presented: str | None) -> None:
    assert not a_handover().knows(presented)
    assert a_handover().knows(KEY)


def test_directions_name_the_parsed_path_and_hold_what_nginx_needs() -> None:
    told = a_handover().directions("main", resource(f"{INSTANCE}/frames/1,2"), ONE_WAY)

    assert told == {
        "X-Accel-Redirect": f"/_handed/main{INSTANCE}/frames/1,2",
        "X-Imaging-Archive-Accept": ONE_WAY[0].accept,
        "X-Imaging-Archive-Authorization": "Basic secret",
        "X-Imaging-Archive-Header-0": "tenant-1",
        "X-Imaging-Archive-Header-1": "key-2",
    }


@pytest.mark.parametrize(
    ("path", "hand_over", "ways"),
    [
        (f"{INSTANCE}/frames/1", HandOver.OFF, ONE_WAY),
        (INSTANCE, HandOver.FRAMES, ONE_WAY),
        (f"{INSTANCE}/metadata", HandOver.RETRIEVALS, ONE_WAY),
        (f"{INSTANCE}/rendered", HandOver.RETRIEVALS, ONE_WAY),
        (f"{INSTANCE}/frames/1/thumbnail", HandOver.RETRIEVALS, ONE_WAY),
        (f"{INSTANCE}/bulkdata/7FE00010", HandOver.RETRIEVALS, ONE_WAY),
        (f"{INSTANCE}/frames/1", HandOver.RETRIEVALS, (*ONE_WAY, Way("image/jpeg"))),
        (INSTANCE, HandOver.RETRIEVALS, (Way("multipart/related", unwraps=True),)),
    ],
)
def test_what_is_rewritten_or_negotiated_stays_here(path: str, hand_over: HandOver, ways: tuple[Way, ...]) -> None:
    assert a_handover(hand_over).directions("main", resource(path), ways) is None


def test_archive_that_nobody_configured_is_told_to_nobody() -> None:
    assert a_handover().directions("other", resource(INSTANCE), ONE_WAY) is None
    assert not a_handover().may_keep("other")


@pytest.mark.parametrize(
    ("hand_over", "keeps_hierarchy", "may"),
    [
        (HandOver.FRAMES, True, True),
        (HandOver.RETRIEVALS, True, True),
        (HandOver.FRAMES, False, False),
        (HandOver.OFF, True, False),
    ],
)
def test_decisions_are_kept_only_where_the_archive_checks_its_own_hierarchy(
    hand_over: HandOver, keeps_hierarchy: bool, may: bool
) -> None:
    assert a_handover(hand_over, keeps_hierarchy=keeps_hierarchy).may_keep("main") is may


def test_secrets_are_not_printed() -> None:
    archive = HandedArchive(
        hand_over=HandOver.FRAMES,
        keeps_hierarchy=True,
        credential=FixedCredential({"Authorization": "secret"}),
        headers=("key-2",),
    )

    assert "secret" not in repr(archive)
    assert "key-2" not in repr(archive)


def test_search_is_no_retrieval() -> None:
    search = DicomResource(kind=Kind.SEARCH, level=Level.SERIES, study=resource(INSTANCE).study)

    assert a_handover().directions("main", search, ONE_WAY) is None
