"""The grammar of DICOMweb resources (PS3.18 §10.4.1, §10.6.1): parsed pieces print to the same path, nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid
from imaging_server.resource import (
    BULK_STORES,
    MAX_FRAMES_PER_REQUEST,
    DicomResource,
    Kind,
    Level,
    from_pieces,
    is_bulk_path,
    parse_frames,
    parse_path,
)
from imaging_server.routes import ROUTES, add_converters

STUDY, SERIES, INSTANCE = StudyInstanceUID("2.25.1"), SeriesInstanceUID("2.25.1.2"), SopInstanceUID("2.25.1.2.3")
BASES = {
    Level.STUDY: "/studies/2.25.1",
    Level.SERIES: "/studies/2.25.1/series/2.25.1.2",
    Level.INSTANCE: "/studies/2.25.1/series/2.25.1.2/instances/2.25.1.2.3",
}
LEGAL = [
    "/studies",
    "/studies/2.25.1/series",
    "/studies/2.25.1/instances",
    "/studies/2.25.1/series/2.25.1.2/instances",
    *BASES.values(),
    *(f"{base}/{ending}" for base in BASES.values() for ending in ("metadata", "rendered", "thumbnail", *BULK_STORES)),
    *(f"{base}/{store}/7FE00010/0/x_y-z.bin" for base in BASES.values() for store in BULK_STORES),
    f"{BASES[Level.INSTANCE]}/frames/1",
    f"{BASES[Level.INSTANCE]}/frames/1,2,30",
    f"{BASES[Level.INSTANCE]}/frames/4/rendered",
    f"{BASES[Level.INSTANCE]}/frames/4/thumbnail",
]
ILLEGAL = [
    "",
    "/",
    "studies",
    "/series",
    "/instances",
    "/studies/",
    "/studies/x",
    "/studies/2.25.1/",
    "/studies/2.25.1/series/",
    "/studies/2.25.1/series/x",
    "/studies/2.25.1/studies",
    "/studies/2.25.1/series/2.25.1.2/series",
    f"{BASES[Level.INSTANCE]}/instances",
    "/studies/2.25.1/frames/1",
    "/studies/2.25.1/series/2.25.1.2/frames/1",
    f"{BASES[Level.INSTANCE]}/frames",
    f"{BASES[Level.INSTANCE]}/frames/0",
    f"{BASES[Level.INSTANCE]}/frames/1/metadata",
    f"{BASES[Level.INSTANCE]}/frames/1/frames",
    f"{BASES[Level.INSTANCE]}/frames/1/bulkdata",
    f"{BASES[Level.INSTANCE]}/frames/1/rendered/x",
    f"{BASES[Level.INSTANCE]}/metadata/x",
    f"{BASES[Level.INSTANCE]}/bulkdata/..",
    f"{BASES[Level.INSTANCE]}/bulkdata/a//b",
    "/studies/2.25.1/instances/2.25.1.2.3",
    "/metadata",
    "/bulkdata/1",
    "/../studies/2.25.1",
    "/studies/2.25.1/../2.25.2",
]


@pytest.mark.parametrize("path", LEGAL)
def test_legal_path_parses_and_prints_to_itself(path: str) -> None:
    resource = parse_path(path)

    assert resource is not None
    assert resource.path == path


@pytest.mark.parametrize("path", ILLEGAL)
def test_illegal_path_is_no_resource(path: str) -> None:
    assert parse_path(path) is None


def test_level_and_kind_are_what_the_path_says() -> None:
    frames = parse_path(f"{BASES[Level.INSTANCE]}/frames/3,1/rendered")

    assert frames == DicomResource(
        kind=Kind.RENDERED, level=Level.INSTANCE, study=STUDY, series=SERIES, instance=INSTANCE, frames=(3, 1)
    )


@pytest.mark.parametrize(
    "pieces",
    [
        {"kind": Kind.SEARCH, "level": Level.STUDY, "study": STUDY},
        {"kind": Kind.SEARCH, "level": Level.SERIES},
        {"kind": Kind.SEARCH, "level": Level.SERIES, "study": STUDY, "series": SERIES},
        {"kind": Kind.SEARCH, "level": Level.INSTANCE},
        {"kind": Kind.SEARCH, "level": Level.INSTANCE, "series": SERIES},
        {"kind": Kind.SEARCH, "level": Level.INSTANCE, "study": STUDY, "instance": INSTANCE},
        {"kind": Kind.SEARCH, "level": Level.SERIES, "study": STUDY, "frames": (1,)},
        {"kind": Kind.SEARCH, "level": Level.SERIES, "study": STUDY, "bulk_store": "bulk"},
        {"kind": Kind.SEARCH, "level": Level.SERIES, "study": STUDY, "bulk_path": "x"},
        {"kind": Kind.METADATA, "level": Level.STUDY},
        {"kind": Kind.METADATA, "level": Level.STUDY, "study": STUDY, "series": SERIES},
        {"kind": Kind.METADATA, "level": Level.SERIES, "study": STUDY},
        {"kind": Kind.METADATA, "level": Level.INSTANCE, "study": STUDY, "instance": INSTANCE},
        {"kind": Kind.METADATA, "level": Level.STUDY, "study": "x"},
        {"kind": Kind.METADATA, "level": Level.STUDY, "study": "2.25.1\n"},
        {"kind": Kind.METADATA, "level": Level.STUDY, "study": STUDY, "bulk_path": "a"},
        {"kind": Kind.METADATA, "level": Level.STUDY, "study": STUDY, "bulk_store": "bulk"},
        {"kind": Kind.BULK_DATA, "level": Level.STUDY, "study": STUDY},
        {"kind": Kind.BULK_DATA, "level": Level.STUDY, "study": STUDY, "bulk_store": "metadata"},
        {"kind": Kind.BULK_DATA, "level": Level.STUDY, "study": STUDY, "bulk_store": "bulk", "bulk_path": "../x"},
        {"kind": Kind.RENDERED, "level": Level.STUDY, "study": STUDY, "frames": (1,)},
        {"kind": Kind.FRAMES, "level": Level.INSTANCE, "study": STUDY, "series": SERIES, "instance": INSTANCE},
        {
            "kind": Kind.FRAMES,
            "level": Level.INSTANCE,
            "study": STUDY,
            "series": SERIES,
            "instance": INSTANCE,
            "frames": (0,),
        },
        {
            "kind": Kind.FRAMES,
            "level": Level.INSTANCE,
            "study": STUDY,
            "series": SERIES,
            "instance": INSTANCE,
            "frames": (1,) * (MAX_FRAMES_PER_REQUEST + 1),
        },
        {
            "kind": Kind.METADATA,
            "level": Level.INSTANCE,
            "study": STUDY,
            "series": SERIES,
            "instance": INSTANCE,
            "frames": (1,),
        },
    ],
    ids=lambda pieces: "-".join(map(str, pieces.values()))[:80],
)
def test_resource_that_does_not_exist_cannot_be_made(pieces: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no such DICOMweb resource|not a DICOM UID"):
        DicomResource(**pieces)  # type: ignore[arg-type]


def test_pieces_of_a_route_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="frame numbers"):
        from_pieces(
            Kind.FRAMES,
            Level.INSTANCE,
            {"study": STUDY, "series": SERIES, "instance": INSTANCE, "frames": "0"},
        )


@pytest.mark.parametrize(
    "text", ["", "0", "1,", "١", "1\n", "1" * 9, ",".join("1" * (MAX_FRAMES_PER_REQUEST + 1)), "1," * 5000]
)
def test_what_is_no_list_of_frames(text: str) -> None:
    assert parse_frames(text) is None


@pytest.mark.parametrize(
    "text", ["", "/", "a/", "/a", "a//b", ".", "..", "a/..", "a..b", ".a", "a.", "a b", "a\n", "ä", "a%2e", "a" * 513]
)
def test_what_is_no_bulk_path(text: str) -> None:
    assert not is_bulk_path(text)


# Property tests

uids = st.from_regex(r"[0-9]{1,10}(\.[0-9]{1,10}){0,4}", fullmatch=True)
near_uids = st.one_of(uids, st.text(alphabet="0123456789.٣\n *,;%/\\", max_size=70))
words = st.sampled_from(
    ["studies", "series", "instances", "metadata", "frames", "bulkdata", "rendered", "..", ".", "", "1,2", "%2e"]
)


@given(st.lists(st.one_of(words, near_uids, st.text(max_size=8)), max_size=9))
@example(["", "studies", "2.25.1", "..", "2.25.2"])
def test_every_parsed_path_prints_to_itself_and_holds_uids_only(segments: list[str]) -> None:
    path = "/".join(segments)

    resource = parse_path(path)

    if resource is not None:
        assert resource.path == path
        assert all(is_uid(uid) for uid in (resource.study, resource.series, resource.instance) if uid is not None)
        assert not {"", ".", ".."} & set(path.split("/")[1:])
        assert path.isascii()
        assert "%" not in path


@given(uids, uids, uids, st.lists(st.integers(1, 9_999_999), min_size=1, max_size=20))
def test_frames_round_trip(study: str, series: str, instance: str, frames: list[int]) -> None:
    path = f"/studies/{study}/series/{series}/instances/{instance}/frames/{','.join(map(str, frames))}"

    resource = parse_path(path)

    assert resource is not None
    assert (resource.frames, resource.path) == (tuple(frames), path)


@given(
    uids, uids, near_uids, st.one_of(near_uids, st.lists(st.integers(1, 9_999_999)).map(lambda some: ",".join(map(str, some))))
)
@example("2.25.1", "2.25.1.2", "2.25.1.2.3", "1,2")
@example("2.25.1", "2.25.1.2", "2.25.1.2.3\n", "1")
@example("2.25.1", "2.25.1.2", "2.25.1.2.3", "01")
def test_frames_of_a_series_are_those_that_the_pieces_name(study: str, series: str, instance: str, frames: str) -> None:
    """Also what is none: the study and the series alone are not looked at once more."""
    of_series = from_pieces(Kind.RETRIEVE, Level.SERIES, {"study": study, "series": series})
    try:
        named = from_pieces(
            Kind.FRAMES, Level.INSTANCE, {"study": study, "series": series, "instance": instance, "frames": frames}
        )
    except ValueError:
        with pytest.raises(ValueError, match="not an instance and a list of frame numbers"):
            of_series.frames_of(instance, frames)
        return
    made = of_series.frames_of(instance, frames)

    assert (made, made.path, hash(made)) == (named, named.path, hash(named))


@pytest.mark.parametrize("path", ["/studies/2.25.1", BASES[Level.INSTANCE], f"{BASES[Level.SERIES]}/metadata"])
def test_only_a_series_has_frames_of_instances(path: str) -> None:
    resource = parse_path(path)
    assert resource is not None

    with pytest.raises(ValueError, match="in a series"):
        resource.frames_of(INSTANCE, "1")


def _routed() -> Map:
    routed = Map(merge_slashes=False)
    add_converters(routed)
    for number, route in enumerate(ROUTES):
        routed.add(Rule(route.rule, endpoint=str(number)))
    return routed


ROUTER = _routed().bind("gateway.example")


@given(st.lists(st.one_of(words, near_uids, st.text(max_size=8)), max_size=9))
@example(["studies", "2.25.1\n", "metadata"])
@example(["studies", "2.25.1", "bulkdata", "a", "..", "b"])
def test_routes_and_grammar_agree_about_every_path(segments: list[str]) -> None:
    """What Werkzeug's routes let pass is exactly what the grammar of the resources knows."""
    path = "/" + "/".join(segments)
    try:
        endpoint, pieces = ROUTER.match(path)
    except HTTPException:
        routed = None
    else:
        route = ROUTES[int(endpoint)]
        routed = from_pieces(route.kind, route.level, pieces) if route.bound else None

    assert routed == parse_path(path) or path == "/studies"
