"""A FHIR server that describes the studies, as sites differ: access, ways to name a patient, Endpoints and times."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Response

from fhir_imaging.audit import AuditFilter, AuditLog, AuditOutcome
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients import own_token
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.settings import EhrSettings, Ownership, SubjectBy
from imaging_server.fed_answers import all_pages
from tests.contract.fed_actors import lacks_something, only_for
from tests.contract.imaging_fhir_actors import (
    CT_A,
    DX_A,
    MR_A,
    MRN,
    ImagingFhir,
    an_imaging_fhir,
    uids_of,
)
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_stubs import StubEhr

FIXED = "fixed-token-of-the-studies-server"


def test_a_number_of_somebody_else_speaks_louder_than_a_reference(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", Ownership.IDENTIFIER, fed={}) as world:
        other = {"identifier": {"system": MRN, "value": "MRN-B"}}
        world.fed.change = only_for(CT_A, lambda study: [{**study, "subject": {**study["subject"], **other}}])

        assert world.listed() == [MR_A, DX_A]


def test_F10_a_slow_server_makes_the_answer_wait(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={}, server={"ehr_timeout_s": 1.0}) as world:
        world.fed.instead = lambda: time.sleep(3)  # type: ignore[func-returns-value]

        assert world.search().status == 503


def test_a_large_list_may_take_longer_than_that_server_may_be_silent(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={}, server={"ehr_timeout_s": 1.0}) as world:
        world.fed.instead = lambda: Response(slowly(b'{"resourceType": "Bundle"}', 1.6), mimetype="application/fhir+json")
        answer = world.search()

        assert (answer.status, lacks_something(answer.json())) == (200, True)


def slowly(body: bytes, seconds: float) -> Iterator[bytes]:
    for _ in range(8):
        time.sleep(seconds / 8)
        yield b" "
    yield body


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
        (listed, _) = world.search().json()["entry"]
        assert listed["resource"]["meta"]["lastUpdated"] == updated() == before
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
        assert lacks_something(answer.json()) is (found == [])


@pytest.mark.parametrize("ways", [(SubjectBy.IDENTIFIER,), (SubjectBy.LOCAL_REFERENCE, SubjectBy.IDENTIFIER)])
def test_a_reference_by_which_the_site_does_not_go_denies_nothing(tmp_path: Any, ways: tuple[SubjectBy, ...]) -> None:
    """``pacs_sync`` writes the EHR's reference and the number; either alone names the patient."""
    with an_imaging_fhir(tmp_path / "state", fed={"subjects": ways}) as world:
        assert world.listed() == [CT_A, MR_A, DX_A]

        world.fed.change = only_for(CT_A, lambda study: [{**study, "subject": {"reference": study["subject"]["reference"]}}])
        answer = world.search()
        assert uids_of(answer) == [MR_A, DX_A], "nor does it prove anything"
        assert lacks_something(answer.json())


def test_a_subject_by_number_alone_is_enough_where_the_site_names_the_system(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", fed={"subjects": (SubjectBy.IDENTIFIER,)}) as world:
        world.fed.subject = lambda number: {"identifier": {"system": MRN, "value": number}}

        assert world.listed() == [CT_A, MR_A, DX_A]
        assert {"patient"} & {key for path, _ in world.fed.asked for key in parse_qs(urlsplit(path).query)} == set()


def test_group_23_what_is_kept_for_lists_has_no_instances(tmp_path: Any) -> None:
    """There may be thousands of them in each study; whether one of them could not be read is known all the same."""
    with an_imaging_fhir(tmp_path / "state", fed={}) as world, OutboundSession([world.fed.base]) as session:
        world.fed.change = only_for(MR_A, lambda study: [with_an_odd_instance(study)])
        client = FhirClient(world.fed.base, session)
        asked = [[("patient", f"{world.north.fhir_base}/Patient/pat-a")]]
        without, with_them = (all_pages(asked, client, has_instances=one) for one in (False, True))

        assert ["instance" in json.dumps(one.resource) for one in without.studies] == [False] * 3
        assert ["instance" in json.dumps(one.resource) for one in with_them.studies] == [True] * 3
        assert [(one.is_whole, one.state) for one in without.studies] == [
            (one.is_whole, one.state) for one in with_them.studies
        ]
        assert [one.is_whole for one in without.studies].count(False) == 1
        assert lacks_something(world.search().json())


def with_an_odd_instance(study: dict[str, Any]) -> dict[str, Any]:
    odd = {"uid": "urn:oid:not-a-uid", "sopClass": {"code": "urn:oid:1.2"}}
    return {**study, "series": [{**one, "instance": [*one["instance"], odd]} for one in study["series"]]}


@pytest.mark.parametrize("params", [{"count": 1}, {"identifier": f"urn:oid:{CT_A}"}, {"id": CT_A}])
def test_a_study_that_stands_alone_in_a_list_has_its_instances(tmp_path: Any, params: dict[str, Any]) -> None:
    """As where the archives tell of it, and as it is read alone."""
    with an_imaging_fhir(tmp_path / "state", fed={}, server={"decision_cache_s": 60.0}) as world:
        assert world.listed() == [CT_A, MR_A, DX_A]

        (listed,) = [one["resource"] for one in world.search(**params).json()["entry"] if one["search"]["mode"] == "match"]

        assert [len(one["instance"]) for one in listed["series"]] == [3, 1]
        assert listed == world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).json()


def test_F9_nobody_is_refused_by_the_ehr_once_they_are_on_record_as_let_through(tmp_path: Any) -> None:
    """However late the EHR takes its word back: each search is refused on record, or answered."""
    server = {"decision_cache_s": 0.001}
    with an_imaging_fhir(tmp_path / "state", Ownership.IDENTIFIER, fed={}, server=server) as world:
        told: list[int] = []
        for accepted in range(12):
            left, token = iter(range(accepted)), world.north.token()
            world.north.answers["/fhir/Patient"] = lambda left=left: (  # type: ignore[assignment, misc]
                None if next(left, None) is not None else Response(status=401)
            )
            before = len(list(AuditLog(world.store).find(AuditFilter())))
            told.append(world.search(token).status)
            records = list(AuditLog(world.store).find(AuditFilter()))
            allowed = [one.outcome is AuditOutcome.ALLOWED for one in records[: len(records) - before]]

            assert allowed == [told[-1] == 200], (accepted, told, records[:3])

        assert set(told) == {200, 401}
