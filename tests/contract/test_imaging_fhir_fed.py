"""Studies described by a FHIR server that ``pacs_sync`` feeds: how it is asked, what it may say, and what it may not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy
from flask import Response

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.settings import EhrSettings, Ownership, SubjectBy
from imaging_server import own_token
from tests.contract.imaging_fhir_actors import (
    CT_A,
    CT_B,
    DX_A,
    MR_A,
    MRN,
    ImagingFhir,
    an_imaging_fhir,
    by_reference_and_number,
    uids_of,
)
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_actors import Answer
from tests.security.gateway_stubs import StubEhr

FIXED = "fixed-token-of-the-studies-server"


@pytest.fixture(scope="module", params=list(Ownership))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fed"), request.param, fed={}) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    running.fed.subject = lambda number: by_reference_and_number(running.north, number)
    return running


def lacks_something(answer: Answer) -> bool:
    """Whether a list says of itself that it is not whole."""
    outcomes = [one["resource"] for one in answer.json().get("entry", []) if one["search"]["mode"] == "outcome"]
    return bool(outcomes) and "total" not in answer.json() and outcomes[0]["issue"][0]["severity"] == "warning"


def only_for(uid: str, change: Any) -> Any:
    """Changes the resource of one study before it is stored."""
    return lambda study: change(study) if uid in study["identifier"][0]["value"] else [study]


def test_C3_the_callers_token_never_reaches_that_server(world: ImagingFhir) -> None:
    token = world.north.token()
    assert world.listed(token) == [CT_A, MR_A, DX_A]

    assert world.fed.asked
    assert not [headers for _, headers in world.fed.asked if "Authorization" in headers or token in str(headers)]


def test_F2_the_patient_is_named_as_the_ehr_names_them_and_no_other_way(world: ImagingFhir) -> None:
    world.listed()

    asked = [parse_qs(urlsplit(path).query) for path, _ in world.fed.asked if path.startswith("/fhir/ImagingStudy")]
    named = {key: value for query in asked for key, value in query.items() if key.startswith("patient")}
    assert named["patient"] == [f"{world.north.fhir_base}/Patient/pat-a"]
    assert set(named) == (
        {"patient", "patient:identifier"} if "north" in world.services.settings.patient_identifiers else {"patient"}
    )


def test_F4_its_endpoints_become_the_gateway_and_its_own_ids_and_addresses_stay_inside(world: ImagingFhir) -> None:
    world.fed.address_of = lambda archive: (world.main if archive == "main" else world.second).root  # the archive's own address
    answer = world.search(include="ImagingStudy:endpoint")
    world.fed.address_of = lambda archive: f"{world.url}/imaging/north/dicom-web/{archive}"

    included = [one["resource"] for one in answer.json()["entry"] if one["search"]["mode"] == "include"]
    assert uids_of(answer) == [CT_A, MR_A, DX_A]
    assert {one["address"] for one in included} == {
        f"{world.url}/imaging/north/dicom-web/{name}" for name in ("main", "second")
    }
    assert [word for word in (world.fed.base, world.main.root, "at-main", "study-2-25") if word in answer.body.decode()] == []


def test_F7_what_is_not_the_patients_by_the_ownership_stays_away_whatever_the_server_says(world: ImagingFhir) -> None:
    """It describes and never decides: here it gives patient A a study of patient B."""
    world.fed.subject = lambda number: by_reference_and_number(world.north, "MRN-A")

    answer = world.search()

    assert uids_of(answer) == [CT_A, MR_A, DX_A]
    assert CT_B not in answer.body.decode()
    assert world.ask(f"/ImagingStudy/{CT_B}", world.north.token()).status == 403


def test_F7_a_scope_for_one_modality_narrows_that_servers_list_too(world: ImagingFhir) -> None:
    token = world.north.token(scope="patient/ImagingStudy.rs?modality=MR")

    assert world.listed(token) == [MR_A]
    assert world.ask(f"/ImagingStudy/{CT_A}", token).status == 403


@pytest.mark.parametrize(
    "change",
    [
        lambda study: [{**study, "identifier": [{"value": "no-uid"}]}],
        lambda study: [{**study, "subject": {"reference": "Patient/pat-a"}}],
        lambda study: [{**study, "subject": {"display": "Alma"}}],
        lambda study: [{**study, "subject": {**study["subject"], "reference": _other(study)}}],
        lambda study: [study, {**study, "id": f"{study['id']}-again"}],
        lambda study: [],
    ],
    ids=[
        "no UID",
        "a patient of that server",
        "nobody named",
        "number of one patient, reference to another",
        "twice",
        "not there yet",
    ],
)
def test_group_11_what_is_in_doubt_is_left_out_singly_and_the_list_says_so(world: ImagingFhir, change: Any) -> None:
    world.fed.change = only_for(CT_A, change)

    answer = world.search()

    assert uids_of(answer) == [MR_A, DX_A]
    assert lacks_something(answer)
    assert world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).status == 404


def _other(study: dict[str, Any]) -> str:
    return str(study["subject"]["reference"]).replace("pat-a", "pat-b")


def test_a_number_of_somebody_else_speaks_louder_than_a_reference(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", Ownership.IDENTIFIER, fed={}) as world:
        other = {"identifier": {"system": MRN, "value": "MRN-B"}}
        world.fed.change = only_for(CT_A, lambda study: [{**study, "subject": {**study["subject"], **other}}])

        assert world.listed() == [MR_A, DX_A]


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "registered"])
def test_what_is_taken_back_is_not_shown(world: ImagingFhir, status: str) -> None:
    world.fed.change = only_for(CT_A, lambda study: [{**study, "status": status}])

    assert world.listed() == [MR_A, DX_A]


def test_odd_parts_of_a_study_fall_away_and_the_rest_is_told(world: ImagingFhir) -> None:
    def odd(study: dict[str, Any]) -> list[dict[str, Any]]:
        series = [*study["series"], {"uid": "urn:oid:not-a-uid", "modality": {"code": "CT"}}]
        return [{**study, "series": series, "description": "a\tb"}]

    world.fed.change = only_for(CT_A, odd)
    answer = world.ask(f"/ImagingStudy/{CT_A}", world.north.token())

    study = answer.json()
    assert (len(study["series"]), study["description"]) == (2, "a b")
    assert study["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert ImagingStudy.model_validate(study)
    assert lacks_something(world.search())


def test_last_update_is_that_servers_word(world: ImagingFhir) -> None:
    world.listed()
    (stored,) = [one for one in world.fed.records.search("ImagingStudy", {}) if CT_A in json.dumps(one["identifier"])]

    study = world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).json()

    shown, said = (one["meta"]["lastUpdated"][:22] for one in (study, stored))
    assert shown == said


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=500),
        Response(status=503, headers={"Retry-After": "7"}),
        Response(status=401),
        Response(status=403),
        Response(status=404),
        Response("<html>SYNTHETIC^Alma at fed.internal.example</html>", 200, content_type="text/html"),
        Response('{"resourceType": "OperationOutcome"}', 200, content_type="application/fhir+json"),
        Response('{"resourceType": "Bundle", "entry": 7, "link": [{"relation": "next", "url": "http://elsewhere.example/"}]}'),
    ],
    ids=["500", "503", "401", "403", "404", "a page", "no Bundle", "a link elsewhere"],
)
@pytest.mark.parametrize("path", ["/ImagingStudy?patient=pat-a", f"/ImagingStudy/{CT_A}"])
def test_F10_while_it_cannot_be_asked_callers_wait_and_no_list_looks_empty(
    world: ImagingFhir, answer: Response, path: str
) -> None:
    world.fed.instead = lambda: answer

    said = world.ask(path, world.north.token())

    assert (said.status, said.json()["resourceType"]) == (503, "OperationOutcome")
    assert int(said.headers["Retry-After"]) > 0
    assert b"internal" not in said.body
    world.fed.instead = lambda: None
    assert world.search().status == 200


def test_F10_a_slow_server_makes_the_answer_wait(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={}, server={"ehr_timeout_s": 0.5}) as world:
        world.fed.instead = lambda: time.sleep(1.5)  # type: ignore[func-returns-value]

        assert world.search().status == 503


def test_its_pages_are_read_to_the_end(world: ImagingFhir) -> None:
    for number in range(120):
        world.main.holds(f"2.25.14{number:03}", count=1)
        world.north.studies[f"2.25.14{number:03}"] = "pat-a"

    assert world.search(count=1).json()["total"] == 123


def test_a_fixed_token_is_the_one_that_it_gets(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={"bearer_token": FIXED}) as world:
        world.fed.instead = lambda: Response(status=500)
        world.search()

        assert {headers.get("Authorization") for _, headers in world.fed.asked} == {f"Bearer {FIXED}"}
        assert FIXED not in repr(world.services.ehrs["north"])


def test_local_references_count_only_where_the_site_says_so(tmp_path: Any) -> None:
    """Its Patient/pat-a is the EHR's patient only if its Patients have the EHR's ids."""
    local = {"subjects": (SubjectBy.LOCAL_REFERENCE,)}
    with an_imaging_fhir(tmp_path / "state", fed=local) as world:
        world.fed.subject = lambda number: {"reference": {"MRN-A": "Patient/pat-a", "MRN-B": "Patient/pat-b"}[number]}
        for patient in ("pat-a", "pat-b"):
            world.fed.records.put({"resourceType": "Patient", "id": patient})

        assert world.listed() == [CT_A, MR_A, DX_A]


def test_F13_what_it_says_is_kept_apart_from_tokens(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={}, server={"decision_cache_s": 60.0}) as world:
        for token in (world.north.token(), world.north.token(), world.north.token()):
            assert world.listed(token) == [CT_A, MR_A, DX_A]

        assert len([path for path, _ in world.fed.asked if path.startswith("/fhir/ImagingStudy")]) == 2  # by both names, once


def test_our_own_client_signs_in_there_and_once_more_when_its_token_is_revoked(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMART Backend Services; C3: neither token meets the other's server."""
    monkeypatch.setattr(own_token, "LEAST_AGE_TO_RENEW_S", 0.0)
    keys = ClientKeys.of(tmp_path / "keys")

    def sign(ehr: EhrSettings, _metadata: object, token_url: str) -> str:
        return keys.assertion("ES384", client_id=ehr.backend_client_id or "", audience=token_url, now=int(time.time()))

    def site(north: StubEhr) -> dict[str, Any]:
        return {"backend_client_id": CLIENT, "backend_token_url": f"{north.issuer}/token"}

    with an_imaging_fhir(tmp_path / "state", Ownership.FHIR, fed=site, sign=sign) as world:
        authority = BackendAuthority(world.north, lambda: keys.jwks(int(time.time())))
        refused: set[str] = set()
        world.fed.accepts = lambda token: token in authority.issued and token not in refused
        first = world.listed()
        refused.update(authority.issued)
        second = world.listed()
        world.fed.accepts = lambda token: False
        third = world.search().status
        own = {f"Bearer {token}" for token in authority.issued}

        assert authority.faults == []
        assert (first, second, third) == ([CT_A, MR_A, DX_A], [CT_A, MR_A, DX_A], 503)
        assert {form["scope"] for form in authority.forms} == {"system/ImagingStudy.rs system/Endpoint.rs"}
        assert not [one.target for one in world.north.asked if one.headers.get("Authorization") in own]


def test_last_update_is_remembered_here_where_that_server_keeps_none(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", Ownership.FHIR, fed={}) as world:
        world.listed()
        stored = [one for one in world.fed.records.search("ImagingStudy", {}) if CT_A in json.dumps(one["identifier"])]

        def without_times(description: str) -> Response:
            entries = [
                {"resource": {**one, "meta": {}, "description": description}, "search": {"mode": "match"}} for one in stored
            ]
            bundle = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
            return Response(json.dumps(bundle), content_type="application/fhir+json")

        def updated() -> str:
            return str(world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).json()["meta"]["lastUpdated"])

        # Without its Endpoint it can only be in the one archive that this EHR's tokens may reach; here there are two.
        world.fed.instead = lambda: without_times("first")
        assert world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).status == 404
        stored = [{**one, "contained": [_gateway(world)], "endpoint": [{"reference": "#e"}]} for one in stored]
        before = updated()
        time.sleep(0.01)

        assert updated() == before
        world.fed.instead = lambda: without_times("second")
        assert updated() > before


def _gateway(world: ImagingFhir) -> dict[str, Any]:
    connection = {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"}
    address = f"{world.url}/imaging/north/dicom-web/main/studies/{CT_A}"
    return {"resourceType": "Endpoint", "id": "e", "status": "active", "connectionType": connection, "address": address}


@pytest.mark.parametrize(("ownership", "found"), [(Ownership.FHIR, []), (Ownership.IDENTIFIER, [CT_A, MR_A, DX_A])])
def test_which_archive_a_study_is_in_is_never_guessed(tmp_path: Any, ownership: Ownership, found: list[str]) -> None:
    """An Endpoint of nobody's: then only archives count that have said themselves that they hold the study."""
    with an_imaging_fhir(tmp_path / "state", ownership, fed={}) as world:
        world.fed.address_of = lambda archive: f"https://{archive}.elsewhere.example/dicom-web"
        answer = world.search()

        assert uids_of(answer) == found
        assert lacks_something(answer) is (found == [])


def test_a_subject_by_number_alone_is_enough_where_the_site_names_the_system(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={"subjects": (SubjectBy.IDENTIFIER,)}) as world:
        world.fed.subject = lambda number: {"identifier": {"system": MRN, "value": number}}

        assert world.listed() == [CT_A, MR_A, DX_A]
        assert {"patient"} & {key for path, _ in world.fed.asked for key in parse_qs(urlsplit(path).query)} == set()
