"""Imaging servers as they are: what each kind knows of a search, and still the list is whole (C4, C6, F1, F12; group 25)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from tests.contract.smart_actors import (
    GATEWAY,
    PATIENT,
    STUDY_A,
    FakeEhr,
    World,
    a_world,
    demo_record,
    imaging_study,
    wado_endpoint,
)

Answer = Callable[[dict[str, str]], list[dict[str, Any]] | int]


class ParticularEhr(FakeEhr):
    """An EHR whose ImagingStudy search is one server's own. ``answer`` gets the parameters; a number is a refusal's status."""

    answer: Answer

    def _search(self, resource_type: str) -> Any:
        if resource_type != "ImagingStudy":
            return super()._search(resource_type)
        self.fhir_requests.append(request.full_path)
        found = self.answer(dict(request.args.items()))
        if isinstance(found, int):
            return Response("{}", found, mimetype="application/fhir+json")
        return Response(
            json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": found}), mimetype="application/json"
        )


@pytest.fixture
def a_list(tmp_path: Path) -> Iterator[Callable[[Answer], tuple[str, World]]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def made(answer: Answer) -> tuple[str, World]:
            ehr = ParticularEhr(fhir=demo_record())
            ehr.answer = answer
            world = stack.enter_context(a_world(tmp_path, ehr=ehr))
            page = world.clinician.launches(ehr)
            assert page.status_code == 200, page.text
            return page.text, world

        yield made


def matches(*resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"resource": one, "search": {"mode": "match"}} for one in resources]


def hapi(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """Takes both spellings of a patient and includes; unknown parameters are errors."""
    if set(asked) - {"patient", "identifier", "_include", "_count", "_sort", "_lastUpdated"}:
        return 400
    if asked["patient"] not in (PATIENT, f"Patient/{PATIENT}"):
        return []
    return [*matches(imaging_study()), {"resource": wado_endpoint(), "search": {"mode": "include"}}]


def medplum(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """Finds a patient by reference only, knows no ``_include``, and answers unknown parameters with nothing."""
    contained = imaging_study(endpoint=[{"reference": "#e"}], contained=[wado_endpoint(endpoint_id="e")])
    return matches(contained) if asked["patient"] == f"Patient/{PATIENT}" else []


def bare_only(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """Finds a patient by the bare id only, and calls a reference an error."""
    if asked["patient"] != PATIENT:
        return 400
    return [*matches(imaging_study()), {"resource": wado_endpoint(), "search": {"mode": "include"}}]


def without_order(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """Refuses ``_sort``."""
    return 400 if "_sort" in asked else hapi(asked)


def without_identifier(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """Refuses ``identifier``, which it does not know as a search parameter."""
    return 400 if "identifier" in asked else hapi(asked)


def reference_without_identifier(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """The same, and finds a patient by reference only."""
    return 400 if "identifier" in asked else medplum(asked)


def response_local(asked: dict[str, str]) -> list[dict[str, Any]] | int:
    """Writes Endpoints for this response only."""
    local = {"fullUrl": "urn:uuid:1", "resource": wado_endpoint(), "search": {"mode": "include"}}
    return [*matches(imaging_study(endpoint=[{"reference": "urn:uuid:1"}])), local]


EVERY_KIND = [hapi, medplum, bare_only, without_order, without_identifier, reference_without_identifier, response_local]


@pytest.mark.parametrize("server", EVERY_KIND, ids=lambda one: one.__name__)
def test_f1_each_kind_of_server_gives_its_studies(a_list: Callable[[Answer], tuple[str, World]], server: Answer) -> None:
    page, world = a_list(server)

    assert "CT chest" in page
    assert f"/viewer/{STUDY_A}" in page
    patients = [path.split("patient=")[1].split("&")[0] for path in world.ehr.fhir_requests if "/ImagingStudy" in path]
    assert patients[0] == PATIENT


@pytest.mark.parametrize("server", EVERY_KIND, ids=lambda one: one.__name__)
def test_f1_one_study_is_found_at_each_kind_of_server(a_list: Callable[[Answer], tuple[str, World]], server: Answer) -> None:
    _, world = a_list(server)
    page = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert page.status_code == 200


def test_an_empty_record_is_asked_for_in_both_spellings(a_list: Callable[[Answer], tuple[str, World]]) -> None:
    page, world = a_list(lambda asked: [])

    asked = [path.split("patient=")[1].split("&")[0] for path in world.ehr.fhir_requests if "/ImagingStudy" in path]
    assert {one.replace("%2F", "/") for one in asked} == {PATIENT, f"Patient/{PATIENT}"}
    assert "lists no imaging studies" in page


def test_an_empty_record_is_believed_where_the_other_spelling_is_an_error(
    a_list: Callable[[Answer], tuple[str, World]],
) -> None:
    page, _ = a_list(lambda asked: [] if asked["patient"] == PATIENT else 400)

    assert "lists no imaging studies" in page


def test_f12_a_response_local_endpoint_counts_on_its_own_page_only(tmp_path: Path) -> None:
    """Two pages use the same ``urn:uuid:`` for different addresses, and a third study's is on no page of its own."""
    ehr = ParticularEhr(fhir=demo_record())
    others = {"2.25.51": "one", "2.25.52": "two"}

    def entries(uid: str, address: str) -> list[dict[str, Any]]:
        study = imaging_study(uid, study_id=uid, endpoint=[{"reference": "urn:uuid:1"}], description=f"CT {others[uid]}")
        return [{"resource": study}, {"fullUrl": "urn:uuid:1", "resource": wado_endpoint(address)}]

    def search(resource_type: str) -> Any:
        if resource_type != "ImagingStudy":
            return FakeEhr._search(ehr, resource_type)
        number = request.args.get("page", "1")
        uid = list(others)[int(number) - 1] if int(number) < 3 else "2.25.53"
        if int(number) < 3:
            found = entries(uid, f"{GATEWAY}-{others[uid]}")
        else:
            found = [{"resource": imaging_study(uid, study_id=uid, endpoint=[{"reference": "urn:uuid:1"}])}]
        link = [{"relation": "next", "url": f"{ehr.fhir_base}/ImagingStudy?page={int(number) + 1}"}] if int(number) < 3 else []
        return {"resourceType": "Bundle", "type": "searchset", "entry": found, "link": link}

    ehr._search = search  # type: ignore[method-assign]
    with a_world(tmp_path, ehr=ehr) as world:
        world.clinician.launches(ehr)
        base = f"/s/{world.clinician.session}"
        shown = [world.clinician.get(f"{base}/viewer/{uid}") for uid in (*others, "2.25.53")]
        config = world.clinician.get(f"{base}/ohif/app-config.js").text

    assert [one.status_code for one in shown] == [200, 200, 409]
    assert f"{GATEWAY}-one" in config
    assert f"{GATEWAY}-two" in config


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/dicom-web",
        "http://images.example/dicom-web",
        "https://user:secret@localhost:8000/dicom-web",
        "http://10.0.0.7/dicom-web",
        "javascript:alert(1)",
        "//localhost:8000/dicom-web",
        "http://localhost:8001/dicom-web",
    ],
)
def test_group_25_an_image_server_elsewhere_is_shown_and_gets_nothing(tmp_path: Path, address: str) -> None:
    ehr = FakeEhr(fhir=demo_record() | {"Endpoint": [wado_endpoint(address)]})
    with a_world(tmp_path, ehr=ehr) as world:
        page = world.clinician.launches(ehr)
        viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert "Image server not allowed here" in page.text
    assert f'href="{address}' not in page.text
    assert viewer.status_code == 409


def test_c6_a_capability_in_the_path_is_kept_and_one_in_the_query_refused_in_words(tmp_path: Path) -> None:
    for address, opens in ((f"{GATEWAY}/cap/abc~1.x", True), (f"{GATEWAY}?cap=abc", False)):
        ehr = FakeEhr(fhir=demo_record() | {"Endpoint": [wado_endpoint(address)]})
        with a_world(tmp_path / str(opens), ehr=ehr) as world:
            page = world.clinician.launches(ehr)
            world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")
            config = world.clinician.get(f"/s/{world.clinician.session}/ohif/app-config.js").text

        assert (address in config) is opens
        assert ("address not usable by the viewer" in page.text) is not opens
