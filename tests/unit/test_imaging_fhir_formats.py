"""In which form a FHIR caller takes its answer (FHIR R4 "Content types and encodings"; RFC 9110 §12.5.1)."""

from __future__ import annotations

import pytest

from fhir_imaging.errors import InvalidRequest, NotSupported
from imaging_server.fhir_formats import check_formats

XML = "application/fhir+xml"


@pytest.mark.parametrize(
    "value",
    [
        "json",
        "application/json",
        "application/fhir+json",
        "application/fhir json",
        "text/json",
        "*/*",
        "application/fhir+json;fhirVersion=4.0",
        "application/fhir+json; charset=utf-8",
        "JSON",
    ],
)
def test_format_that_means_json_outranks_the_header(value: str) -> None:
    check_formats([value], XML)


@pytest.mark.parametrize(
    "value",
    ["xml", "application/fhir+xml", "text/xml", "ttl", "html", "json/xml", "application/fhir+json;fhirVersion=5.0", "é"],
)
def test_any_other_format_is_406_and_names_the_parameter(value: str) -> None:
    with pytest.raises(NotSupported, match="_format") as refused:
        check_formats([value], "application/json")

    assert refused.value.status == 406


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/*",
        "application/fhir+json",
        "application/json",
        "application/fhir+json; charset=utf-8",
        "application/fhir+json; fhirVersion=4.0",
        'application/fhir+json; fhirVersion="4.0"',
        "Application/FHIR+JSON",
        f"{XML}, */*;q=0.1",
        f"{XML};q=1.0, application/json;q=0.5",
    ],
)
def test_header_that_takes_json_is_served(accept: str | None) -> None:
    check_formats([], accept)
    check_formats([""], accept)


@pytest.mark.parametrize(
    "accept",
    [
        XML,
        "text/html",
        f"{XML}, text/html;q=0.5",
        "application/fhir+json;q=0",
        "text/html, */*;q=0",
        "application/fhir+json; fhirVersion=5.0",
        "application/fhir+json; fhirVersion=3.0, application/fhir+xml",
        ";;;",
    ],
)
def test_header_that_takes_none_is_406_and_names_the_way_out(accept: str) -> None:
    with pytest.raises(NotSupported, match="_format=json"):
        check_formats([], accept)


def test_format_is_given_once() -> None:
    with pytest.raises(InvalidRequest, match="once only"):
        check_formats(["json", "json"], None)
