"""What nginx looks after is part of what our own parser takes: one grammar, from one source (groups 12 and 13)."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_imaging.settings import HandOver
from imaging_server.handover import is_handed
from imaging_server.resource import Kind, parse_path
from imaging_server.routes import ROUTES, Route, address_pattern

HANDED = [route for route in ROUTES if is_handed(HandOver.RETRIEVALS, route.kind)]

_PIECES = st.one_of(
    st.from_regex(r"[0-9.]{1,70}", fullmatch=True),
    st.sampled_from(["studies", "series", "instances", "frames", "1", "1,2", "01", "0", "..", ".", "", "metadata", "rendered"]),
    st.text(alphabet="0123456789.,%/\n\r\x00 ;?#aA\u0661", max_size=12),
)
_PATHS = st.lists(_PIECES, max_size=9).map(lambda pieces: "/" + "/".join(pieces))
_UIDS = st.from_regex(r"[0-9]{1,8}(\.[0-9]{1,8}){0,9}", fullmatch=True)
_NEAR = st.builds(
    lambda study, series, instance, frames, end: f"/studies/{study}/series/{series}/instances/{instance}/frames/{frames}{end}",
    _UIDS,
    _UIDS,
    _UIDS,
    st.from_regex(r"[0-9,]{1,30}", fullmatch=True),
    st.sampled_from(["", "/", "\n", ".", "%0a", "?x", "/rendered", "/1"]),
)


def matching(path: str) -> list[Route]:
    return [route for route in HANDED if re.fullmatch(address_pattern(route, prefix="handed_"), path)]


@given(_PATHS | _NEAR)
@example("/studies/1." + "2" * 62)
@example("/studies/1." + "2" * 63)
@example("/studies/1.2\n")
def test_what_nginx_takes_is_what_the_parser_takes(path: str) -> None:
    for route in matching(path):
        parsed = parse_path(path)
        assert parsed is not None, path
        assert (parsed.kind, parsed.level, parsed.path) == (route.kind, route.level, path)


@given(_NEAR)
def test_no_plain_address_of_a_handed_kind_is_missed(path: str) -> None:
    parsed = parse_path(path)

    if parsed is not None and parsed.kind in (Kind.FRAMES, Kind.RETRIEVE) and parsed.path == path and len(parsed.frames) <= 100:
        assert len(matching(path)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/studies/1.2.3",
        "/studies/1.2.3/series/1.2.4",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/1",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/1,2,3",
    ],
)
def test_each_handed_address_has_one_pattern(path: str) -> None:
    assert len(matching(path)) == 1


@given(_NEAR)
@example("/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/1")
@example("/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/1,2")
def test_one_frame_is_known_from_several(path: str) -> None:
    (frames,) = (route for route in HANDED if route.kind is Kind.FRAMES)
    one = re.fullmatch(address_pattern(frames, prefix="handed_", one_frame=True), path)

    several = [route for route in matching(path) if route.kind is Kind.FRAMES]
    assert (one is not None) is (several == [frames] and "," not in path)


@pytest.mark.parametrize(
    "path",
    [
        "/studies",
        "/studies/1.2.3/metadata",
        "/studies/1.2.3/series",
        "/studies/1.2.3/rendered",
        "/studies/1.2.3/thumbnail",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5/bulkdata/1",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/1/rendered",
        "/studies/1.2.3/",
        "/Studies/1.2.3",
        "/studies/1.2.3.",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/0",
        "/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/" + ",".join(["1"] * 101),
    ],
)
def test_everything_else_stays_with_the_application(path: str) -> None:
    """Metadata, searches, rendered pictures and bulk data are rewritten or negotiated."""
    assert matching(path) == []


@pytest.mark.parametrize("hand_over", list(HandOver))
def test_kinds_that_are_handed_over(hand_over: HandOver) -> None:
    handed = {kind for kind in Kind if is_handed(hand_over, kind)}

    expected = {HandOver.OFF: set(), HandOver.FRAMES: {Kind.FRAMES}, HandOver.RETRIEVALS: {Kind.FRAMES, Kind.RETRIEVE}}
    assert handed == expected[hand_over]
