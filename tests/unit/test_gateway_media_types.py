"""Content negotiation (PS3.18 §8.7, §10.4.4): what a caller accepts, what the archive is asked for, what may come down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.errors import InvalidRequest, NotSupported
from imaging_server.media_types import MediaType, may_go_down, parse_media_type, parse_media_types, upstream_accept
from imaging_server.resource import DicomResource, parse_path

INSTANCE = "/studies/2.25.1/series/2.25.2/instances/2.25.3"
DICOM_ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def a_resource(path: str) -> DicomResource:
    resource = parse_path(path)
    assert resource is not None
    return resource


@pytest.mark.parametrize(
    ("path", "accept", "asked"),
    [
        # Whole studies: "anything" means the stored DICOM parts (W1).
        ("/studies/2.25.1", None, DICOM_ANY),
        ("/studies/2.25.1", "*/*", DICOM_ANY),
        ("/studies/2.25.1", "multipart/related; type=application/dicom; transfer-syntax=*", DICOM_ANY),
        (
            "/studies/2.25.1",
            'multipart/related; type="*/*"; transfer-syntax=1.2.840.10008.1.2.1',
            DICOM_ANY.replace("*", "1.2.840.10008.1.2.1"),
        ),
        ("/studies/2.25.1", "text/html, multipart/related", "multipart/related"),
        ("/studies/2.25.1", "application/dicom", None),
        ("/studies/2.25.1", "image/jpeg", None),
        ("/studies/2.25.1", "application/dicom+json", None),
        (INSTANCE, "application/dicom", "application/dicom"),
        (
            INSTANCE,
            "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90",
            "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90",
        ),
        # Frames, as OHIF and dicomweb-client ask for them.
        (
            f"{INSTANCE}/frames/1",
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        ),
        (
            f"{INSTANCE}/frames/1",
            'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, multipart/related; type="image/jp2"',
            'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, multipart/related; type="image/jp2"',
        ),
        (f"{INSTANCE}/frames/1", "application/octet-stream;q=0.5, image/jpeg", "application/octet-stream; q=0.5, image/jpeg"),
        (f"{INSTANCE}/frames/1", "*/*", "*/*"),
        (f"{INSTANCE}/frames/1", "multipart/related; type=application/dicom", None),
        (f"{INSTANCE}/frames/1", "image/svg+xml", None),
        # Rendered: pictures, films and PDF, never HTML.
        (f"{INSTANCE}/rendered", "text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8", "*/*; q=0.8"),
        (f"{INSTANCE}/rendered", "image/png, text/html", "image/png"),
        (f"{INSTANCE}/rendered", "text/html", None),
        (f"{INSTANCE}/thumbnail", "image/*", "image/*"),
        # JSON only; XML is refused.
        (f"{INSTANCE}/metadata", "application/json", "application/dicom+json"),
        (f"{INSTANCE}/metadata", "application/dicom+xml, application/dicom+json;q=0.1", "application/dicom+json"),
        (f"{INSTANCE}/metadata", "application/dicom+xml", None),
        (f"{INSTANCE}/metadata", "application/dicom+json;q=0, */*;q=0.0", None),
        ("/studies", "*/*", "application/dicom+json"),
        ("/studies", 'multipart/related; type="application/dicom+xml"', None),
        (
            f"{INSTANCE}/bulkdata/7FE00010",
            "multipart/related; type=application/octet-stream",
            'multipart/related; type="application/octet-stream"',
        ),
    ],
)
def test_archive_is_asked_for_what_both_sides_can_take(path: str, accept: str | None, asked: str | None) -> None:
    if asked is None:
        with pytest.raises(NotSupported) as refusal:
            upstream_accept(a_resource(path), accept)
        assert refusal.value.status == 406
    else:
        assert upstream_accept(a_resource(path), accept) == asked


@pytest.mark.parametrize(
    "parameters", ["transfer-syntax=1.2.x", "transfer-syntax=..", 'x="\r\nHost: a"', "q=2", "q=abc", "level=1", "type=a/b/c"]
)
def test_parameters_that_are_not_understood_do_not_go_up(parameters: str) -> None:
    with pytest.raises((NotSupported, InvalidRequest)):
        upstream_accept(a_resource(f"{INSTANCE}/frames/1"), f"multipart/related; {parameters}")


@pytest.mark.parametrize(
    "accept", ["x", "a/b c/d", "a/b; c", "a/b; c=", 'a/b; c="d', "a/b;;c=d", "a/b, , c/d e", "/", "a/b\x00"]
)
def test_unreadable_accept_is_an_invalid_request(accept: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_media_types(accept)


def test_quoted_and_unquoted_parameters_are_equal() -> None:
    """§8.7."""
    assert parse_media_type('Multipart/Related; TYPE="application/dicom"; boundary="a b"') == MediaType(
        "multipart/related", {"type": "application/dicom", "boundary": "a b"}
    )
    assert parse_media_type("multipart/related;type=application/dicom") == parse_media_type(
        'multipart/related; type="application/dicom"'
    )


@pytest.mark.parametrize(
    ("path", "content_type", "allowed"),
    [
        ("/studies/2.25.1", 'multipart/related; type="application/dicom"; boundary=b', True),
        ("/studies/2.25.1", "application/dicom", False),
        (INSTANCE, "application/dicom", True),
        ("/studies/2.25.1", 'multipart/related; type="application/dicom+xml"; boundary=b', False),
        ("/studies/2.25.1", 'multipart/related; type="application/dicom"', False),
        ("/studies/2.25.1", 'multipart/related; type="text/html"; boundary=b', False),
        (f"{INSTANCE}/frames/1", "application/octet-stream", True),
        (f"{INSTANCE}/frames/1", "application/dicom+json", False),
        (f"{INSTANCE}/frames/1", "image/*", False),
        (f"{INSTANCE}/rendered", "image/jpeg", True),
        (f"{INSTANCE}/rendered", "application/pdf", True),
        (f"{INSTANCE}/rendered", "text/html", False),
        (f"{INSTANCE}/rendered", "image/svg+xml", False),
    ],
)
def test_only_what_was_asked_for_and_runs_nowhere_comes_down(path: str, content_type: str, allowed: bool) -> None:
    parsed = parse_media_type(content_type)

    assert parsed is not None
    assert may_go_down(a_resource(path), parsed) is allowed


@given(st.text(max_size=200))
def test_any_accept_value_is_parsed_or_refused(accept: str) -> None:
    resource = a_resource(f"{INSTANCE}/frames/1")
    try:
        asked = upstream_accept(resource, accept)
    except (InvalidRequest, NotSupported):
        return

    assert asked.isascii()
    assert asked.isprintable()
