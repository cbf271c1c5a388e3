"""Endpoints are resolved in all three forms and never given the token unless configured (C3, C4, C10, groups 24 and 25)."""

from dataclasses import replace
from typing import Any

import pytest

from fhir_imaging.endpoints import BundleResources, EndpointState, may_receive_token, resolve_endpoint
from fhir_imaging.study import ImagingStudy, read_study

ORIGINS = frozenset({"https://images.example"})
FLAGS = ("http://hl7.org/fhir/smart-app-launch", "http://fhir.org/argonaut/smart-imaging")


def an_endpoint(address: str = "https://images.example/dicom-web", **changes: Any) -> dict[str, Any]:
    wado = {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"}
    return {"resourceType": "Endpoint", "id": "e1", "status": "active", "connectionType": wado, "address": address} | changes


def a_study(*references: str, contained: tuple[dict[str, Any], ...] = ()) -> ImagingStudy:
    study = read_study({"id": "s", "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}]})
    assert isinstance(study, ImagingStudy)
    return replace(study, endpoint_references=references, contained=contained)


def resources(endpoint: dict[str, Any], full_url: str = "https://ehr.example/fhir/Endpoint/e1") -> BundleResources:
    return BundleResources({full_url: endpoint}, {"Endpoint/e1": endpoint})


@pytest.mark.parametrize(
    ("study", "found"),
    [
        (a_study("#c", contained=(an_endpoint() | {"id": "c"},)), BundleResources({}, {})),
        (a_study("Endpoint/e1"), resources(an_endpoint())),
        (a_study("https://ehr.example/fhir/Endpoint/e1"), resources(an_endpoint())),
        (a_study("Endpoint/e1/_history/3"), resources(an_endpoint())),
        (a_study("urn:uuid:4"), resources(an_endpoint(), "urn:uuid:4")),
    ],
    ids=["contained", "relative", "absolute", "versioned", "urn:uuid"],
)
def test_every_form_of_reference_is_resolved(study: ImagingStudy, found: BundleResources) -> None:
    resolved = resolve_endpoint(study, found, ORIGINS)

    assert resolved.state is EndpointState.USABLE
    assert resolved.endpoint is not None
    assert resolved.endpoint.address == "https://images.example/dicom-web"
    assert resolved.endpoint.send_token


def test_r5_connection_types_are_read() -> None:
    r5 = an_endpoint(connectionType=[{"coding": [{"code": "ihe-iid"}]}, {"coding": [{"code": "dicom-wado-rs"}]}])
    assert resolve_endpoint(a_study("Endpoint/e1"), resources(r5), ORIGINS).state is EndpointState.USABLE


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("ihe-iid", EndpointState.OTHER_VIEWER),
        ("web-viewer", EndpointState.OTHER_VIEWER),
        ("dicom-qido-rs", EndpointState.MISSING),
        ("hl7v2-mllp", EndpointState.MISSING),
    ],
)
def test_other_connection_types_are_passed_over_and_a_viewer_is_told(code: str, state: EndpointState) -> None:
    other = an_endpoint(connectionType={"code": code})
    assert resolve_endpoint(a_study("Endpoint/e1"), resources(other), ORIGINS).state is state


@pytest.mark.parametrize("order", [("own", "evil", "evil"), ("evil", "own", "evil"), ("evil",)])
def test_c3_what_may_not_have_the_token_is_told_beside_what_may(order: tuple[str, ...]) -> None:
    found = {
        "Endpoint/own": an_endpoint(id="own"),
        "Endpoint/evil": an_endpoint("https://evil.example/dicom-web", id="evil"),
    }
    resolved = resolve_endpoint(a_study(*(f"Endpoint/{key}" for key in order)), BundleResources({}, found), ORIGINS)

    assert resolved.refused == ("https://evil.example/dicom-web",)
    assert (resolved.endpoint is not None) is ("own" in order)
    assert resolved.address == ("https://images.example/dicom-web" if "own" in order else "https://evil.example/dicom-web")


@pytest.mark.parametrize("order", [("iid", "web", "wado"), ("wado", "web", "iid")])
def test_of_several_endpoints_the_one_for_pixels_is_taken(order: tuple[str, ...]) -> None:
    """IHE IID, MADO: one study may carry viewers beside its WADO-RS Endpoint."""
    kinds = {"iid": "ihe-iid", "web": "web-viewer", "wado": "dicom-wado-rs"}
    found = {
        f"Endpoint/{key}": an_endpoint(f"https://images.example/{key}", id=key, connectionType={"code": code})
        for key, code in kinds.items()
    }
    resolved = resolve_endpoint(a_study(*(f"Endpoint/{key}" for key in order)), BundleResources({}, found), ORIGINS)

    assert resolved.address == "https://images.example/wado"


@pytest.mark.parametrize("status", ["active", "limited", "test"])
def test_an_endpoint_that_works_is_used(status: str) -> None:
    resolved = resolve_endpoint(a_study("Endpoint/e1"), resources(an_endpoint(status=status)), ORIGINS)
    assert resolved.state is EndpointState.USABLE


@pytest.mark.parametrize("status", ["suspended", "error", "off", "entered-in-error", ""])
def test_an_endpoint_that_does_not_work_is_not_used(status: str) -> None:
    resolved = resolve_endpoint(a_study("Endpoint/e1"), resources(an_endpoint(status=status)), ORIGINS)
    assert resolved.state is EndpointState.INACTIVE


@pytest.mark.parametrize("base", FLAGS)
@pytest.mark.parametrize(
    ("flag", "sent"),
    [({"valueBoolean": True}, True), ({"valueBoolean": False}, False), ({}, True), ({"valueString": "no"}, True)],
)
def test_p1_the_token_is_sent_unless_the_endpoint_forbids_it(base: str, flag: dict[str, Any], sent: bool) -> None:
    extension = {"url": f"{base}/StructureDefinition/requires-access-token", **flag}
    resolved = resolve_endpoint(a_study("Endpoint/e1"), resources(an_endpoint(extension=[extension])), ORIGINS)

    assert resolved.endpoint is not None
    assert resolved.endpoint.send_token is sent


@pytest.mark.parametrize("address", ["https://images.example/cap/abc.def~7/dicom-web", "https://images.example/w?cap=abc"])
def test_c6_an_address_is_kept_as_it_is(address: str) -> None:
    resolved = resolve_endpoint(a_study("Endpoint/e1"), resources(an_endpoint(address)), ORIGINS)

    assert resolved.address == address


def test_an_imr_address_names_its_own_study() -> None:
    """IHE IMR writes the study into the address, in two spellings; another study's is left as it stands."""
    for suffix, base in (("/study/1.2.3", ""), ("/studies/1.2.3/", ""), ("/studies/1.2.4", "/studies/1.2.4")):
        found = resources(an_endpoint(f"https://images.example/w{suffix}"))
        assert resolve_endpoint(a_study("Endpoint/e1"), found, ORIGINS).address == f"https://images.example/w{base}"


@pytest.mark.parametrize(
    ("study", "found", "state"),
    [
        (a_study(), resources(an_endpoint()), EndpointState.MISSING),
        (a_study("Endpoint/x"), resources(an_endpoint()), EndpointState.UNRESOLVED),
        (a_study("Endpoint/e1"), resources(an_endpoint(status="off")), EndpointState.INACTIVE),
        (a_study("Endpoint/e1"), resources(an_endpoint("https://evil.example/dicom-web")), EndpointState.ORIGIN_REFUSED),
    ],
)
def test_a_study_without_usable_endpoint_says_why(study: ImagingStudy, found: BundleResources, state: EndpointState) -> None:
    assert resolve_endpoint(study, found, ORIGINS).state is state


@pytest.mark.parametrize("base", FLAGS)
def test_both_generations_of_the_token_flag_are_read(base: str) -> None:
    flag = {"url": f"{base}/StructureDefinition/requires-access-token", "valueBoolean": False}
    resolved = resolve_endpoint(a_study("Endpoint/e1"), resources(an_endpoint(extension=[flag])), ORIGINS)
    assert resolved.endpoint is not None
    assert not resolved.endpoint.send_token


def test_a_study_path_at_the_end_of_the_address_is_taken_off() -> None:
    resolved = resolve_endpoint(
        a_study("Endpoint/e1"), resources(an_endpoint("https://images.example/w/studies/1.2.3")), ORIGINS
    )
    assert resolved.endpoint is not None
    assert resolved.endpoint.address == "https://images.example/w"


@pytest.mark.parametrize(
    "address",
    [
        "http://images.example/x",
        "https://images.example:8443/x",
        "https://images.example@evil.example/",
        "https://user@images.example/",
        "https://images.example.evil.example/",
        "javascript:alert(1)",
        "//images.example/x",
        "https://images.example\\@evil.example/",
    ],
)
def test_the_token_goes_to_no_other_origin(address: str) -> None:
    assert may_receive_token("https://images.example/ok", ORIGINS)
    assert not may_receive_token(address, ORIGINS)


@pytest.mark.parametrize("suffix", ["", "/", "/studies/1.2.3"])
def test_an_address_that_the_site_cannot_change_is_replaced_by_its_settings(suffix: str) -> None:
    stated = resources(an_endpoint(f"https://old.example/dicom-web{suffix}"))
    rewrites = {"https://old.example/dicom-web": "https://images.example/imaging/ehr/dicom-web/pacs/"}

    resolved = resolve_endpoint(a_study("Endpoint/e1"), stated, ORIGINS, rewrites)

    assert resolved.state is EndpointState.USABLE
    assert resolved.address == "https://images.example/imaging/ehr/dicom-web/pacs"


def test_a_replaced_address_is_judged_like_any_other() -> None:
    rewrites = {"https://images.example/dicom-web": "https://elsewhere.example/dicom-web"}

    resolved = resolve_endpoint(a_study("Endpoint/e1"), resources(an_endpoint()), ORIGINS, rewrites)

    assert resolved.state is EndpointState.ORIGIN_REFUSED
