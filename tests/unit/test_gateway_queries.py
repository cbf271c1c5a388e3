"""Query parameters as values (PS3.18 §8.3.4, §8.3.5): what is understood, and that nothing else passes."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.errors import InvalidRequest
from imaging_server.queries import SearchQuery, parse_query, parse_retrieval, parse_search
from imaging_server.resource import DicomResource, Level, parse_path

INSTANCE = "/studies/2.25.1/series/2.25.2/instances/2.25.3"


def a_resource(path: str) -> DicomResource:
    resource = parse_path(path)
    assert resource is not None
    return resource


def test_keyword_and_tag_mean_the_same() -> None:
    by_keyword = parse_search([("PatientID", "1"), ("StudyInstanceUID", "2.25.1,2.25.2")], Level.STUDY)
    by_tag = parse_search([("00100020", "1"), ("0020000d", "2.25.1\\2.25.2")], Level.STUDY)

    assert by_keyword == by_tag
    assert by_keyword.studies == ("2.25.1", "2.25.2")
    assert by_keyword.matches == (("PatientID", "1"),)


def test_options_are_read() -> None:
    query = parse_search(
        [
            ("includefield", "00081030,PatientName"),
            ("includefield", "PatientName"),
            ("includefield", "00101002.00100020"),
            ("limit", "10"),
            ("offset", "5"),
            ("fuzzymatching", "true"),
            ("accept", "application/dicom+json"),
            ("StudyDate", "20260101-20261231"),
            ("PatientName", ""),
        ],
        Level.STUDY,
    )

    assert query == SearchQuery(
        matches=(("StudyDate", "20260101-20261231"),),
        include=("00081030", "PatientName", "00101002.00100020"),
        limit=10,
        offset=5,
        fuzzy=True,
        accept="application/dicom+json",
    )
    assert ("limit", "10") in query.upstream(paged=True)
    assert ("offset", "5") in query.upstream(paged=True)
    assert not {"limit", "offset"} & {name for name, _ in query.upstream(paged=False)}


@pytest.mark.parametrize(
    ("path", "query", "passed"),
    [
        (f"{INSTANCE}/rendered", "quality=90&viewport=512,512&window=-600,1500,linear", True),
        (f"{INSTANCE}/rendered", "annotation=patient,technique&iccprofile=srgb", True),
        (f"{INSTANCE}/thumbnail", "viewport=100,100", True),
        (f"{INSTANCE}/thumbnail", "quality=90", False),
        (f"{INSTANCE}/rendered", "quality=0", False),
        (f"{INSTANCE}/rendered", "quality=101", False),
        (f"{INSTANCE}/rendered", "window=1,2,cubic", False),
        (f"{INSTANCE}/rendered", "viewport=a,b", False),
        (f"{INSTANCE}/rendered", "viewport=512", False),
        (f"{INSTANCE}/rendered", "viewport=9999,9999,0,0,-512,512.5", True),
        (f"{INSTANCE}/rendered", "presentationSeriesUID=1", False),
        (f"{INSTANCE}/rendered", "quality=1&quality=2", False),
        (f"{INSTANCE}/metadata", "accept=application/dicom%2Bjson", True),
        (f"{INSTANCE}/metadata", "includefield=all", False),
        (INSTANCE, "quality=90", False),
        (INSTANCE, "requestType=WADO&objectUID=2.25.9", False),
    ],
)
def test_retrieval_takes_the_parameters_of_its_kind(path: str, query: str, passed: bool) -> None:
    pairs = parse_query(query.encode())
    if not passed:
        with pytest.raises(InvalidRequest):
            parse_retrieval(pairs, a_resource(path))
    else:
        sent = parse_retrieval(pairs, a_resource(path))
        assert all(name != "accept" for name, _ in sent.options)


def test_refusal_does_not_echo_what_cannot_be_a_name() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_search([("<script>", "1")], Level.STUDY)

    assert "<script>" not in refusal.value.detail


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5), st.sampled_from(Level))
def test_any_query_is_understood_or_refused(pairs: list[tuple[str, str]], level: Level) -> None:
    try:
        query = parse_search(parse_query(urlencode(pairs, errors="replace").encode()), level)
    except InvalidRequest:
        return

    names = {name for name, _ in query.upstream(paged=True)}
    assert all(name.isascii() and name.isalnum() for name in names)


@given(st.binary(max_size=60))
def test_any_bytes_are_understood_or_refused(raw: bytes) -> None:
    try:
        pairs = parse_query(raw)
    except InvalidRequest:
        return

    assert all(mark.isprintable() for name, value in pairs for mark in name + value)
