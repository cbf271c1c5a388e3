"""WADO-URI queries as the WADO-RS requests that they mean (PS3.18 §9; issue 5, group 12)."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.errors import InvalidRequest, NotSupported
from imaging_server.resource import Kind
from imaging_server.wado_uri import WadoUriRequest, parse_wado_uri

UIDS = "requestType=WADO&studyUID=2.25.1&seriesUID=2.25.2&objectUID=2.25.3"
INSTANCE = "/studies/2.25.1/series/2.25.2/instances/2.25.3"


def parsed(query: str, accept: str | None = None) -> WadoUriRequest:
    return parse_wado_uri(parse_qsl(query, keep_blank_values=True), accept)


@pytest.mark.parametrize(
    ("query", "accept", "path", "first_accept", "options"),
    [
        # Files: any archive's form first, then the one that only some have.
        ("contentType=application/dicom", None, "", 'multipart/related; type="application/dicom"', {}),
        (
            "contentType=application/dicom&transferSyntax=1.2.840.10008.1.2.4.90",
            None,
            "",
            'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90',
            {},
        ),
        (
            "contentType=application/dicom&transferSyntax=*",
            None,
            "",
            'multipart/related; type="application/dicom"; transfer-syntax=*',
            {},
        ),
        (
            "contentType=application/dicom;transfer-syntax=*",
            None,
            "",
            'multipart/related; type="application/dicom"; transfer-syntax=*',
            {},
        ),
        ("", "application/dicom", "", 'multipart/related; type="application/dicom"', {}),
        # contentType outranks the header (§8.7.8.1 says the same of accept).
        ("contentType=image/png", "application/dicom", "/rendered", "image/png", {}),
        # Nothing said means the default picture (§9.3).
        ("", None, "/rendered", "image/jpeg", {}),
        ("", "text/html, image/avif, */*;q=0.8", "/rendered", "image/jpeg", {}),
        ("contentType=image/*", None, "/rendered", "image/jpeg", {}),
        # The most wanted that is offered, and in their order among equals.
        ("contentType=image/png;q=0.5,image/gif;q=0.7", None, "/rendered", "image/gif", {}),
        ("contentType=text/html,image/png,image/jpeg", None, "/rendered", "image/png", {}),
        ("contentType=image/jpeg;q=0,image/png;q=0.1", None, "/rendered", "image/png", {}),
        ("frameNumber=7", None, "/frames/7/rendered", "image/jpeg", {}),
        ("rows=100&columns=200", None, "/rendered", "image/jpeg", {"viewport": "200,100"}),
        ("rows=100", None, "/rendered", "image/jpeg", {"viewport": "100,100"}),
        ("columns=64", None, "/rendered", "image/jpeg", {"viewport": "64,64"}),
        ("windowCenter=-600&windowWidth=1500.5", None, "/rendered", "image/jpeg", {"window": "-600,1500.5,linear"}),
        ("imageQuality=90", None, "/rendered", "image/jpeg", {"quality": "90"}),
    ],
)
def test_query_means_the_same_object_of_wado_rs(
    query: str, accept: str | None, path: str, first_accept: str, options: dict[str, str]
) -> None:
    asked = parsed(f"{UIDS}&{query}" if query else UIDS, accept)

    assert (asked.resource.path, asked.ways[0].accept, dict(asked.options)) == (INSTANCE + path, first_accept, options)
    assert asked.ways[0].unwraps is (asked.resource.kind is Kind.RETRIEVE) is (path == "")


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        # All three UIDs: archives would answer with anybody's object.
        ("requestType=WADO&studyUID=2.25.1&seriesUID=2.25.2", "uids-missing"),
        ("requestType=WADO&objectUID=2.25.3", "uids-missing"),
        ("requestType=WADO&studyUID=&seriesUID=2.25.2&objectUID=2.25.3", "not-a-uid"),
        (UIDS.replace("2.25.3", "2.25.3,2.25.4"), "not-a-uid"),
        (UIDS.replace("2.25.3", "2.25.3\n"), "not-a-uid"),
        (UIDS.replace("2.25.3", "../2.25.3"), "not-a-uid"),
        (UIDS.replace("2.25.3", "2.25.*"), "not-a-uid"),
        (UIDS.replace("2.25.3", "2.25." + "1" * 60), "not-a-uid"),
        # The names are as the standard writes them, each once.
        (UIDS.replace("studyUID", "StudyUID"), "parameter-not-offered"),
        (UIDS.replace("studyUID", "studyuid"), "parameter-not-offered"),
        (UIDS.replace("requestType", "requesttype"), "parameter-not-offered"),
        (f"{UIDS}&studyUID=2.25.9", "parameter-repeated"),
        (f"{UIDS}&objectUID=2.25.3", "parameter-repeated"),
        (f"{UIDS}&contentType=image/png&contentType=image/jpeg", "parameter-repeated"),
        (UIDS.replace("=WADO", "=wado"), "request-type"),
        (UIDS.removeprefix("requestType=WADO&"), "request-type"),
        # Known to the standard, not offered: they would be ignored in silence, which may show more than was asked for.
        (f"{UIDS}&anonymize=yes", "parameter-not-offered"),
        (f"{UIDS}&region=0,0,1,1", "parameter-not-offered"),
        (f"{UIDS}&annotation=patient", "parameter-not-offered"),
        (f"{UIDS}&presentationUID=2.25.5", "parameter-not-offered"),
        (f"{UIDS}&charset=utf-8", "parameter-not-offered"),
        (f"{UIDS}&accept=image/png", "parameter-not-offered"),
        (f"{UIDS}&access_token=abc", "parameter-not-offered"),
        (f"{UIDS}&PatientID=1", "parameter-not-offered"),
        # Values that cannot be, and what does not go together.
        (f"{UIDS}&frameNumber=0", "value-not-understood"),
        (f"{UIDS}&frameNumber=1,2", "value-not-understood"),
        (f"{UIDS}&frameNumber=%D9%A1", "value-not-understood"),
        (f"{UIDS}&rows=-1", "value-not-understood"),
        (f"{UIDS}&rows=", "value-not-understood"),
        (f"{UIDS}&columns=10000", "value-not-understood"),
        (f"{UIDS}&columns=100000", "value-not-understood"),
        (f"{UIDS}&imageQuality=101", "value-not-understood"),
        (f"{UIDS}&windowCenter=1e3&windowWidth=1", "value-not-understood"),
        (f"{UIDS}&windowCenter=40", "parameters-contradict"),
        (f"{UIDS}&windowWidth=40", "parameters-contradict"),
        (f"{UIDS}&windowCenter=40&windowWidth=0", "value-not-understood"),
        (f"{UIDS}&contentType=application/dicom&frameNumber=1", "parameters-contradict"),
        (f"{UIDS}&contentType=application/dicom&rows=10", "parameters-contradict"),
        (f"{UIDS}&contentType=image/png&transferSyntax=1.2.840.10008.1.2.1", "parameters-contradict"),
        (f"{UIDS}&transferSyntax=1.2.x", "value-not-understood"),
    ],
)
def test_query_that_is_not_exact_is_refused(query: str, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parsed(query)

    assert refusal.value.code == problem


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/dicom%2Bxml", "application/dicom%2Bjson", "image/svg%2Bxml", "image/png;q=0"]
)
def test_type_that_is_not_offered_is_406(content_type: str) -> None:
    with pytest.raises(NotSupported) as refusal:
        parsed(f"{UIDS}&contentType={content_type}")

    assert refusal.value.status == 406


NAMES = st.sampled_from(
    ["requestType", "studyUID", "seriesUID", "objectUID", "contentType", "frameNumber", "rows", "windowCenter", "accept", "x"]
)
VALUES = st.one_of(st.sampled_from(["WADO", "2.25.1", "application/dicom", "image/png", "1", "*", ""]), st.text(max_size=20))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.one_of(st.none(), st.text(max_size=40)))
def test_any_query_is_understood_or_refused(pairs: list[tuple[str, str]], accept: str | None) -> None:
    try:
        asked = parse_wado_uri(pairs, accept)
    except (InvalidRequest, NotSupported):
        return
    assert {asked.resource.study, asked.resource.series, asked.resource.instance} <= {value for _, value in pairs}
