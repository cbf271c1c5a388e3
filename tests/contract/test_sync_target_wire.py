"""FHIR servers as they are: ones that ignore what they do not know, are busy, keep no condition, or tell too much.

Spec: FHIR R4 RESTful API and Search; clinical rules X14, X16.
"""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from ehr_sandbox.settings import SYNC_CLIENT, demo_clients
from fhir_imaging.clients.fhir import MAX_BODY_BYTES
from fhir_imaging.clients.fhir_writing import FhirWriter
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.fhir_versions import FhirVersion
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.one_study import TRIES_WHEN_OVERTAKEN, OneStudy
from pacs_sync.settings import PatientRule, ResourceIds
from pacs_sync.target_access import TargetAccess
from tests.contract.sandbox_client import APP, a_sandbox, es384_key
from tests.contract.sandbox_client import MRN as SANDBOX_MRN
from tests.sync_actors import (
    MRN,
    STUDY,
    Archive,
    NoResults,
    Notes,
    Sync,
    a_patient,
    a_study,
    a_sync,
    a_task,
    at_once,
    json_response,
    sync_settings,
)

SECRET_WORDS = "the name of patient Alma Synthetic"


@pytest.fixture
def sync(tmp_path: Path) -> Iterator[Sync]:
    with a_sync(tmp_path) as made:
        yield made


@pytest.fixture
def writer(sync: Sync) -> Iterator[FhirWriter]:
    with OutboundSession([sync.fhir.base], timeout_s=2.0) as session:
        yield FhirWriter(sync.fhir.base, session)


def refusing(status: int, **headers: str) -> Callable[[], Response]:
    outcome = {"resourceType": "OperationOutcome"}
    outcome |= {"issue": [{"severity": "error", "code": "duplicate", "diagnostics": SECRET_WORDS}, {"code": SECRET_WORDS}]}  # type: ignore[dict-item]

    def answer() -> Response:
        response = json_response(outcome, status)
        response.headers.update(headers)
        return response

    return answer


# Writing


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, UpstreamRefused, False),
        (401, UpstreamRefused, False),
        (404, UpstreamError, True),
        (409, UpstreamError, True),
        (410, UpstreamError, True),
        (412, UpstreamError, True),
        (413, UpstreamRefused, False),
        (422, UpstreamRefused, False),
        (429, UpstreamError, True),
        (500, UpstreamError, True),
        (503, UpstreamError, True),
    ],
)
def test_a_refusal_says_its_status_and_issue_codes_and_never_what_the_server_said(
    sync: Sync, writer: FhirWriter, status: int, kind: type[UpstreamError], retryable: bool
) -> None:
    sync.fhir.instead = refusing(status, **{"Retry-After": "7"})
    acts: list[Callable[[], object]] = [
        lambda: writer.create(a_patient("x")),
        lambda: writer.update(a_patient("x"), if_match="1"),
        lambda: writer.update_matching(a_patient("x"), [("identifier", "1")]),
        lambda: writer.transaction([{"resource": a_patient("x")}]),
    ]

    for act in acts:
        with pytest.raises(kind) as caught:
            act()
        failure = caught.value
        assert (type(failure), failure.status, failure.retryable, failure.retry_after_s) == (kind, status, retryable, 7)
        assert failure.detail == f"The FHIR server did not take a resource (HTTP {status}: duplicate)."
        assert "Alma" not in f"{failure!r} {failure.__dict__}"


def test_a_write_says_what_stands_whatever_the_server_answers_with(sync: Sync, writer: FhirWriter) -> None:
    made = writer.create({"resourceType": "Patient"})
    assert (made.is_new, made.version) == (True, "1")
    updated = writer.update({"resourceType": "Patient", "id": made.id, "active": True}, if_match="1")
    assert (updated.id, updated.is_new, updated.version) == (made.id, False, "2")
    with pytest.raises(UpstreamError) as caught:
        writer.update({"resourceType": "Patient", "id": made.id}, if_match="1")
    assert caught.value.status == 412

    params = [("identifier", f"{MRN}|DEMO-1001")]
    assert not writer.create(a_patient("x", "DEMO-1001"), if_none_exist=params).is_new
    assert writer.update_matching(a_patient("pat-a", "DEMO-1001", active=True), params).id == "pat-a"

    for answer in (Response(status=204), Response(" ", status=200), json_response({"resourceType": "OperationOutcome"})):
        sync.fhir.instead = lambda answer=answer: answer
        stands = writer.update(a_patient("pat-a"))
        assert (stands.id, stands.version, stands.is_new) == ("pat-a", None, False)
    with pytest.raises(UpstreamError, match="where it put"):
        writer.create({"resourceType": "Patient"})


@pytest.mark.parametrize("page", ["<html>Sign in</html>", "[]", '"ok"', "{"])
def test_a_page_of_somebody_elses_is_no_write(sync: Sync, writer: FhirWriter, page: str) -> None:
    """What stands before a server answers 200 while that is away: a study must not be taken for written."""
    sync.fhir.instead = lambda: Response(page, status=200)

    for act in (lambda: writer.update(a_patient("pat-a")), lambda: writer.transaction([{"resource": a_patient("x")}])):
        with pytest.raises(UpstreamError, match="no FHIR server") as caught:
            act()
        assert (caught.value.status, caught.value.retryable) == (200, True)


def dripping() -> Response:
    def drip() -> Iterator[bytes]:
        for _ in range(40):
            yield b" "
            time.sleep(0.1)

    return Response(drip(), status=200, content_type="application/fhir+json")


def broken_off() -> Response:
    return Response(iter([b"{"]), status=200, headers={"Content-Length": "99"})


def endless() -> Response:
    return Response(b" " * (MAX_BODY_BYTES + 1), status=200)


@pytest.mark.parametrize(
    ("answer", "kind"), [(dripping, UpstreamTimeout), (broken_off, UpstreamError), (endless, UpstreamError)]
)
def test_an_answer_has_to_be_there_within_a_time_and_a_size(
    sync: Sync, writer: FhirWriter, answer: Callable[[], Response], kind: type[UpstreamError]
) -> None:
    sync.fhir.instead = answer

    with pytest.raises(kind):
        writer.update(a_patient("pat-a"))


@pytest.mark.parametrize(
    "answer", [{}, {"entry": []}, {"entry": [{"response": {"status": "201"}}]}, {"entry": [{"response": {"status": "409 x"}}]}]
)
def test_a_transaction_that_is_answered_with_something_else_is_a_failure(
    sync: Sync, writer: FhirWriter, answer: dict[str, Any]
) -> None:
    sync.fhir.instead = lambda: json_response(answer)

    with pytest.raises(UpstreamError):
        writer.transaction([{"resource": a_patient("x"), "request": {"method": "POST", "url": "Patient"}}])


def test_nothing_goes_to_another_server(sync: Sync) -> None:
    with OutboundSession(["https://fhir.example"]) as session, pytest.raises(UpstreamRefused):
        FhirWriter(sync.fhir.base, session).create(a_patient("x"))

    sync.fhir.change = leading_elsewhere
    sync.archive.put(a_study())
    with pytest.raises(UpstreamRefused, match="another server"):
        list(sync.target().all_studies())


def leading_elsewhere(response: Response) -> Response:
    bundle = response.get_json()
    bundle["link"] = [{"relation": "next", "url": "https://evil.example/fhir/ImagingStudy?page=2"}]
    response.set_data(json.dumps(bundle))
    return response


# The server's release


@pytest.mark.parametrize(
    ("stated", "version"),
    [("4.0.1", "R4"), ("4.3.0", "R4B"), ("5.0.0", "R5"), ("6.0.0-ballot3", "R6"), ("6.1.0", "R6")],
)
def test_the_release_is_asked_for_once(sync: Sync, stated: str, version: str) -> None:
    sync.fhir.instead = lambda: json_response({"resourceType": "CapabilityStatement", "fhirVersion": stated})
    target = sync.target()

    assert [target.version for _ in range(3)] == [FhirVersion(version)] * 3
    assert len(sync.fhir.requests) == 1


@pytest.mark.parametrize("stated", ["3.0.2", "1.0.2", "4.1.0", "5.1.0", "", None, 4])
def test_a_release_that_cannot_be_written_is_refused_in_words(sync: Sync, stated: object) -> None:
    sync.fhir.instead = lambda: json_response({"resourceType": "CapabilityStatement", "fhirVersion": stated})

    with pytest.raises(UpstreamError, match=r"R4 \(4\.0\)") as caught:
        _ = sync.target().version
    assert caught.value.status is None  # everything waits, and no study is to blame


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_server_without_a_statement_is_no_server_to_write(sync: Sync, status: int) -> None:
    sync.fhir.instead = lambda: Response("<html>", status=status)

    with pytest.raises(UpstreamError) as caught:
        _ = sync.target().version
    assert caught.value.retryable is (status == 503)


# Searching


def everything(sync: Sync, kind: str, *, pages: int = 1) -> Callable[[], Response | None]:
    """Answers every search of this type with all that there is, and no total."""

    def instead() -> Response | None:
        if (request.method, request.path) not in [("GET", f"/fhir/{kind}"), ("POST", f"/fhir/{kind}/_search")]:
            return None
        entries = [{"resource": one, "search": {"mode": "match"}} for one in sync.fhir.all(kind)]
        links = [{"relation": "next", "url": f"{sync.fhir.base}/{kind}?page={pages_seen(sync)}"}] if pages > 1 else []
        return json_response({"resourceType": "Bundle", "type": "searchset", "entry": entries, "link": links})

    return instead


def pages_seen(sync: Sync) -> int:
    return len(sync.fhir.requests)


def test_X14_a_server_that_matches_everything_does_not_make_everybody_the_patient(sync: Sync) -> None:
    sync.fhir.instead = everything(sync, "Patient")

    assert [one["id"] for one in sync.target().patients_with(MRN, "DEMO-1002")] == ["pat-b"]
    assert sync.target().patients_with(MRN, "DEMO-9") == ()


def test_a_server_that_matches_everything_without_end_is_not_believed(sync: Sync) -> None:
    sync.fhir.instead = everything(sync, "Patient", pages=2)

    with pytest.raises(UpstreamError, match="does not search Patient by identifier"):
        sync.target().patients_with(MRN, "DEMO-9")


def test_pages_without_end_are_not_followed(sync: Sync) -> None:
    bundle = {"resourceType": "Bundle", "link": [{"relation": "next", "url": f"{sync.fhir.base}/ImagingStudy?page=2"}]}
    sync.fhir.instead = lambda: json_response(bundle)

    with pytest.raises(UpstreamError, match="no end"):
        list(sync.target().all_studies())


def test_of_many_that_truly_match_some_are_enough(sync: Sync) -> None:
    entry = {"resource": a_patient("pat-a", "DEMO-1001"), "search": {"mode": "match"}}

    def one_more() -> Response:
        link = {"relation": "next", "url": f"{sync.fhir.base}/Patient?page={len(sync.fhir.requests)}"}
        return json_response({"resourceType": "Bundle", "entry": [entry], "link": [link]})

    sync.fhir.instead = one_more

    assert [one["id"] for one in sync.target().patients_with(MRN, "DEMO-1001")] == ["pat-a"]
    assert len(sync.fhir.requests) == 5


def test_other_studies_of_a_server_that_matches_everything_are_not_ours_and_not_this_one(sync: Sync) -> None:
    sync.archive.put(a_study(), a_study("2.25.7002"))
    sync.bring()
    theirs = {**sync.fhir.one("ImagingStudy"), "id": "theirs", "meta": {"source": "x"}}
    sync.fhir.records.put({**theirs, "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}]})
    sync.fhir.instead = everything(sync, "ImagingStudy")

    sync.bring()
    sync.bring("2.25.7002")

    assert len(sync.fhir.all("ImagingStudy")) == 3
    assert len(list(sync.target().all_studies())) == 2


def test_a_merged_record_leads_to_the_one_that_replaced_it_and_one_step_only(sync: Sync) -> None:
    def replaced(by: str) -> list[dict[str, Any]]:
        return [{"type": "replaced-by", "other": {"reference": by}}]

    put, found = sync.fhir.records.put, lambda: [one["id"] for one in sync.target().patients_with(MRN, "DEMO-1001")]
    put(a_patient("pat-a", "DEMO-1001", active=False, link=replaced("Patient/new")))
    assert found() == []
    put(a_patient("new", active=True))
    assert found() == ["new"]
    put(a_patient("new", "DEMO-1001"))
    assert found() == ["new"]
    put(a_patient("new", link=replaced("Patient/newer")))
    put(a_patient("newer"))
    assert found() == []
    put(a_patient("pat-a", "DEMO-1001", link=replaced("https://other.example/Patient/new")))
    assert found() == []
    put(a_patient("pat-a", "DEMO-1001", link=replaced("Patient/newer?_id=pat-b")))
    assert found() == []
    put(a_patient("pat-a", "DEMO-1001", link=replaced(f"{sync.fhir.base}/Patient/newer")))
    assert found() == ["newer"]
    put(a_patient("pat-a", "DEMO-1001", link=[{"type": "seealso", "other": {"reference": "Patient/newer"}}]))
    assert found() == ["pat-a"]
    put(a_patient("pat-a", "DEMO-1001", active=False))
    assert found() == []


def test_a_number_with_marks_of_the_search_grammar_is_searched_for_as_it_is(sync: Sync) -> None:
    odd = "A,1|2$\\"
    sync.fhir.records.put(a_patient("odd", odd))

    assert [one["id"] for one in sync.target().patients_with(MRN, odd)] == ["odd"]


def test_no_search_is_answered_out_of_a_servers_cache(sync: Sync) -> None:
    """HAPI keeps what a search found for a minute, unless it is told not to."""
    sync.archive.put(a_study(accession="A-17"))
    sync.bring()

    asked = {path.split("?")[0]: headers.get("Cache-Control") for _, path, _, headers in sync.fhir.requests}
    assert {"/fhir/ImagingStudy", "/fhir/Patient/_search"} <= set(asked)
    assert set(asked.values()) == {"no-cache"}


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_a_server_that_tells_of_no_orders_gets_its_studies_without_them(
    sync: Sync, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sync.fhir.instead = lambda: Response(status=status) if request.path.startswith("/fhir/ServiceRequest") else None
    sync.archive.put(a_study(accession="A-17"), a_study("2.25.7002", accession="A-18"))
    worker = sync.worker()

    sync.bring(worker=worker)
    sync.bring("2.25.7002", worker=worker)

    assert {one["status"] for one in sync.fhir.all("ImagingStudy")} == {"available"}
    assert len([one for one in caplog.records if "tells of no orders" in one.getMessage()]) == 1


def test_a_server_of_studies_alone_is_asked_for_nothing_else(sync: Sync) -> None:
    kinds = [{"type": one, "conditionalCreate": True} for one in ("Patient", "ImagingStudy", "Endpoint")]
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": kinds}]}
    sync.fhir.instead = lambda: json_response(statement) if request.path == "/fhir/metadata" else None
    sync.archive.put(a_study(accession="A-17", modality="SR"))

    sync.bring()

    asked = {path.split("?")[0] for _, path, _, _ in sync.fhir.requests}
    kinds = {path.removeprefix("/fhir/").partition("/")[0] for path in asked}
    assert kinds == {"metadata", "Patient", "ImagingStudy", "Endpoint"}


def test_an_endpoint_that_somebody_deleted_is_made_again(sync: Sync) -> None:
    def refuse_unknown_endpoints() -> Response | None:
        is_study = request.method == "POST" and request.path == "/fhir/ImagingStudy"
        return refusing(400)() if is_study and not sync.fhir.all("Endpoint") else None

    sync.archive.put(a_study(), a_study("2.25.7002"))
    worker = sync.worker()
    sync.bring(worker=worker)
    sync.fhir.records.delete("Endpoint", sync.fhir.one("Endpoint")["id"])
    sync.fhir.instead = refuse_unknown_endpoints

    with pytest.raises(UpstreamRefused):
        sync.bring("2.25.7002", worker=worker)
    sync.bring("2.25.7002", worker=worker)

    references = {one["endpoint"][0]["reference"] for one in sync.fhir.all("ImagingStudy")}
    assert f"Endpoint/{sync.fhir.one('Endpoint')['id']}" in references


@pytest.mark.parametrize("maker", [None, "https://ris.example"])
def test_an_endpoint_of_our_name_leads_to_our_images_or_nothing_is_written(tmp_path: Path, maker: str | None) -> None:
    with a_sync(tmp_path, ids=ResourceIds.STUDY_UID) as sync:
        sync.archive.put(a_study())
        sync.bring()
        ours = sync.fhir.one("Endpoint")
        theirs = {**ours, "address": "https://other.example/dicom-web", "meta": {"source": maker} if maker else {}}
        sync.fhir.records.put(theirs)

        if maker:
            with pytest.raises(UpstreamError, match="Endpoint/main is another system's"):
                sync.bring()
            assert sync.fhir.one("Endpoint")["address"] == theirs["address"]
        else:
            sync.bring()
            assert sync.fhir.one("Endpoint")["address"] == ours["address"]


def test_a_search_without_a_server_behind_it_is_a_wrong_address(sync: Sync) -> None:
    sync.fhir.instead = lambda: Response(status=404)

    with pytest.raises(UpstreamError) as caught:
        sync.target().find(STUDY)
    assert (caught.value.status, caught.value.retryable) == (404, False)


# Signing in


def test_a_user_and_password_or_a_fixed_token_open_the_server(sync: Sync) -> None:
    for target, header in (
        ({"user": "sync", "password": "pass word"}, f"Basic {base64.b64encode(b'sync:pass word').decode()}"),
        ({"bearer_token": "fixed-token"}, "Bearer fixed-token"),
    ):
        sync.settings = replace(sync.settings, target=replace(sync.settings.target, user=None, password=None))
        sync.settings = replace(sync.settings, target=replace(sync.settings.target, **target))
        sync.fhir.requests.clear()
        sync.archive.put(a_study())
        sync.bring()
        sent = {headers.get("Authorization") for method, path, _, headers in sync.fhir.requests}
        assert sent - {None} == {header}


def test_a_token_that_is_no_longer_taken_is_replaced_once(sync: Sync) -> None:
    class Backend:
        def token_of(self, _: object) -> str:
            return "old"

        def renewed(self, _: object, refused: str) -> str | None:
            return "new" if refused == "old" else None

    access = TargetAccess(sync.settings, None)
    access._backend = Backend()
    sync.fhir.instead = lambda: None if sync.fhir.requests[-1][3]["Authorization"] == "Bearer new" else Response(status=401)

    assert access.write(lambda writer: writer.create({"resourceType": "Patient"})).is_new
    sync.fhir.instead = lambda: Response(status=401)
    with pytest.raises(UpstreamRefused):
        access.read(lambda client: client.read("Patient", "pat-a"))
    assert [headers["Authorization"] for _, _, _, headers in sync.fhir.requests] == ["Bearer old", "Bearer new"] * 2
    access.close()


def test_backend_services_open_the_server_with_one_token(tmp_path: Path) -> None:
    key = es384_key()
    (client,) = [one for one in demo_clients(APP) if one.client_id == SYNC_CLIENT]
    registered = replace(client, jwks_url=None, jwks={"keys": [key.signing.public_jwk]})
    with a_sandbox(tmp_path, clients=(registered,)) as ehr:
        settings = sync_settings(ehr.fhir_base, backend_client_id=SYNC_CLIENT)
        settings = replace(settings, patients=(PatientRule(system=SANDBOX_MRN, issuer_of_patient_id="DEMO"),))
        signed = []

        def sign(_: object, __: object, token_url: str) -> str:
            signed.append(token_url)
            return str(key.assertion(SYNC_CLIENT, token_url))

        archive, notes = Archive(), Notes()
        archive.put(a_study(modality="SR"))
        target = FhirTarget(settings, TargetAccess(settings, sign))
        worker = OneStudy(archive, target, notes, settings, results=NoResults())
        worker.process(a_task())
        worker.process(a_task())
        stands = target.find(STUDY)
        target.close()

    assert [one.content["subject"]["reference"] for one in stands] == ["Patient/demo-a"]
    assert signed == [ehr.token_url]


# Nothing twice


def test_X16_also_where_a_server_keeps_no_condition_two_writers_end_with_one(sync: Sync) -> None:
    def without_condition() -> None:
        request.environ.pop("HTTP_IF_NONE_EXIST", None)

    sync.fhir.instead = without_condition
    sync.archive.put(a_study())
    workers = [sync.worker(sync.target()) for _ in range(8)]
    for worker in workers:
        worker._target.endpoint()  # type: ignore[attr-defined]

    raised = at_once(8, lambda number: sync.bring(worker=workers[number]))
    sync.bring()

    assert all(isinstance(one, UpstreamError) and one.status in (409, 412) for one in raised)
    seen = [one["status"] for one in sync.fhir.all("ImagingStudy")]
    assert seen.count("available") == 1
    assert set(seen) <= {"available", "entered-in-error"}


def test_a_server_that_knows_conditional_updates_alone_is_written_by_them(sync: Sync) -> None:
    kinds = [{"type": one, "conditionalUpdate": True} for one in ("ImagingStudy", "Endpoint")]
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": kinds}]}
    sync.fhir.instead = lambda: json_response(statement) if request.path == "/fhir/metadata" else None
    sync.archive.put(a_study())

    sync.bring()
    sync.bring()

    assert [method for method, _ in sync.fhir.writes] == ["PUT", "PUT"]
    assert sync.fhir.one("ImagingStudy")["status"] == "available"


@pytest.mark.parametrize("status", [409, 412])
def test_whoever_is_overtaken_looks_again_and_gives_up_after_some_times(sync: Sync, status: int) -> None:
    left = [2]

    def overtaken() -> Response | None:
        if request.method == "GET" or request.path in ("/fhir/Endpoint", "/fhir/Patient/_search") or left[0] == 0:
            return None
        left[0] -= 1
        return refusing(status)()

    sync.archive.put(a_study())
    sync.fhir.instead = overtaken
    sync.bring()
    assert sync.fhir.one("ImagingStudy")["status"] == "available"

    left[0] = 99
    sync.archive.put(a_study(images=9))
    with pytest.raises(UpstreamError) as caught:
        sync.bring()
    assert (caught.value.status, left[0]) == (status, 99 - TRIES_WHEN_OVERTAKEN)


def test_an_answer_that_was_lost_is_found_to_be_written(sync: Sync) -> None:
    lost = [True]

    def lose(response: Response) -> Response:
        if request.method == "POST" and request.path == "/fhir/ImagingStudy" and lost.pop():
            lost.append(False)
            return Response(status=503)
        return response

    sync.archive.put(a_study())
    sync.fhir.change = lose
    with pytest.raises(UpstreamError):
        sync.bring()
    lost[:] = [False]
    sync.fhir.change = lambda response: response
    sync.fhir.requests.clear()

    sync.bring()

    assert sync.fhir.one("ImagingStudy")["status"] == "available"
    assert sync.fhir.writes == []


def test_a_server_that_falls_silent_is_not_waited_for_without_end(sync: Sync) -> None:
    sync.settings = replace(sync.settings, target=replace(sync.settings.target, timeout_s=0.2))

    def silent() -> None:
        time.sleep(1.0)

    sync.fhir.instead = silent
    with pytest.raises(UpstreamTimeout):
        sync.bring()
    assert sync.notes.done_ == []


@pytest.mark.parametrize("ids", ResourceIds)
def test_two_processes_write_one_study_once(tmp_path: Path, ids: ResourceIds) -> None:
    program = (
        "import sys\n"
        "from tests.sync_actors import Archive, Notes, NoResults, a_study, a_task, sync_settings\n"
        "from pacs_sync.fhir_target import FhirTarget\n"
        "from pacs_sync.one_study import OneStudy\n"
        "from pacs_sync.settings import ResourceIds\n"
        "from pacs_sync.target_access import TargetAccess\n"
        "settings = sync_settings(sys.argv[1], ids=ResourceIds(sys.argv[2]))\n"
        "archive = Archive()\n"
        "target = FhirTarget(settings, TargetAccess(settings, None))\n"
        "worker = OneStudy(archive, target, Notes(), settings, results=NoResults())\n"
        "for number in range(8):\n"
        "    archive.put(a_study(f'2.25.6{number}'))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for number in range(8):\n"
        "    worker.process(a_task(f'2.25.6{number}'))\n"
        "target.close()\n"
    )
    with a_sync(tmp_path, ids=ids) as sync:
        command = [sys.executable, "-c", program, sync.fhir.base, ids.value]
        root = Path(__file__).parents[2]
        processes = [
            subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        try:
            for one in processes:
                assert one.stdout is not None
                assert one.stdout.readline() == "ready\n"
            for one in processes:
                assert one.stdin is not None
                one.stdin.write("go\n")
                one.stdin.flush()
            assert [one.wait(60) for one in processes] == [0, 0]
        finally:
            for one in processes:
                one.kill()
                one.communicate()

        studies = sync.fhir.all("ImagingStudy")
        assert sorted(one["identifier"][0]["value"] for one in studies) == [f"urn:oid:2.25.6{number}" for number in range(8)]
        assert len(sync.fhir.all("Endpoint")) == 1


# What is told


def test_no_log_line_tells_of_a_patient(sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="imaging_cds")
    sync.archive.put(a_study(number="DEMO-1001"), a_study("2.25.7002", number="NOBODY-77"))
    sync.fhir.instead = lambda: refusing(409)() if request.path == "/fhir/ImagingStudy" and request.method == "POST" else None
    with pytest.raises(UpstreamError):
        sync.bring()
    sync.fhir.instead = lambda: None
    sync.bring()
    sync.bring("2.25.7002")

    ours = [one.getMessage() for one in caplog.records if one.name.startswith("imaging_cds")]
    assert ours
    assert not [line for line in ours if "DEMO-1001" in line or "NOBODY" in line or "Alma" in line or STUDY in line]


def test_the_settings_tell_no_secret(sync: Sync) -> None:
    target = replace(sync.settings.target, password="pass word", bearer_token="fixed-token")

    assert "pass word" not in repr(target)
    assert "fixed-token" not in repr(target)
