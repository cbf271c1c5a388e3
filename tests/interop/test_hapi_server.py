"""HAPI FHIR's JPA server answers as the synchronisation expects of it, and where it departs from FHIR stands here in words.

Needs ``make hapi``. Whoever writes to such a server learns from these tests what a condition in a request is worth there:
``If-Match`` counts on an update by id only, ``If-None-Match`` never, and every lost race is 409, not 412.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import Any

import pytest
import requests

from fhir_imaging.clients.fhir_writing import FhirWriter
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.fhir_versions import FhirVersion
from imaging_findings.report_states import AI_ASSERTED
from tests.interop.hapi_process import Hapi, running_hapi
from tests.interop.hapi_studies import NUMBERS, UID_SYSTEM, a_patient, a_study, an_endpoint, of_study

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
WRITERS = 8
RELEASES = {FhirVersion.R4: "4.0.1", FhirVersion.R5: "5.0.0"}
_numbers = count(1)


@pytest.fixture(scope="module", params=list(RELEASES))
def hapi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hapi]:
    with running_hapi(tmp_path_factory.mktemp("hapi"), request.param) as running:
        yield running


@pytest.fixture
def uid() -> str:
    """A study that no other test of this module has."""
    return f"2.25.{1000 + next(_numbers)}"


def test_it_is_hapi_of_the_release_that_was_asked_for(hapi: Hapi) -> None:
    statement = hapi.ask("metadata")
    assert statement["fhirVersion"] == RELEASES[hapi.version]
    assert statement["software"] == {"name": "HAPI FHIR Server", "version": "8.4.0"}
    studies = next(one for one in statement["rest"][0]["resource"] if one["type"] == "ImagingStudy")
    assert studies["conditionalUpdate"] is True
    assert "ImagingStudy:endpoint" in studies["searchInclude"]


def test_a_study_is_found_by_its_uid_with_its_endpoint_and_its_patient_by_number(hapi: Hapi, uid: str) -> None:
    hapi.put(a_patient("anna", "A-1"))
    hapi.put(an_endpoint("archive", hapi.version))
    subject, endpoint = {"reference": "Patient/anna"}, {"reference": "Endpoint/archive"}
    hapi.put(a_study(uid, hapi.version, id=uid, subject=subject, endpoint=[endpoint]))
    entries = hapi.ask(f"{of_study(uid)}&_include=ImagingStudy:endpoint")["entry"]
    assert [(entry["resource"]["id"], entry["search"]["mode"]) for entry in entries] == [(uid, "match"), ("archive", "include")]
    assert [patient["id"] for patient in hapi.found(f"Patient?identifier={NUMBERS}|A-1")] == ["anna"]
    assert hapi.found(f"Patient?identifier={NUMBERS}|A-2") == []


def test_eight_who_create_the_same_study_conditionally_make_one(hapi: Hapi, uid: str) -> None:
    condition = {"If-None-Exist": f"identifier={UID_SYSTEM}|urn:oid:{uid}"}
    answers = _at_once(lambda: hapi.send("POST", "ImagingStudy", a_study(uid, hapi.version), headers=condition))
    assert answers[201] == 1
    assert answers.keys() <= {200, 201, 409}
    assert len(hapi.found(of_study(uid))) == 1


def test_eight_who_put_the_same_new_study_by_its_id_make_one(hapi: Hapi, uid: str) -> None:
    answers = _at_once(lambda: hapi.send("PUT", f"ImagingStudy/{uid}", a_study(uid, hapi.version, id=uid)))
    assert answers[201] == 1
    assert answers.keys() <= {200, 201, 409}
    assert len(hapi.found(of_study(uid))) == 1


def test_eight_who_update_a_study_conditionally_are_refused_with_409_or_heard(hapi: Hapi, uid: str) -> None:
    assert hapi.send("PUT", of_study(uid), a_study(uid, hapi.version)).status_code == 201
    texts = count(1)
    answers = _at_once(lambda: hapi.send("PUT", of_study(uid), a_study(uid, hapi.version, description=f"{next(texts)}")))
    assert answers[200] >= 1
    assert answers.keys() <= {200, 409}
    (study,) = hapi.found(of_study(uid))
    assert study["description"] in map(str, range(1, WRITERS + 1))


def test_of_eight_who_saw_the_same_version_one_may_change_it(hapi: Hapi, uid: str) -> None:
    hapi.put(a_study(uid, hapi.version, id=uid))
    texts, seen = count(1), {"If-Match": 'W/"1"'}

    def change() -> requests.Response:
        study = a_study(uid, hapi.version, id=uid, description=f"{next(texts)}")
        return hapi.send("PUT", f"ImagingStudy/{uid}", study, headers=seen)

    assert _at_once(change) == {200: 1, 409: WRITERS - 1}


def test_a_version_that_is_gone_by_is_refused_with_409_and_in_words(hapi: Hapi, uid: str) -> None:
    hapi.put(a_study(uid, hapi.version, id=uid))
    hapi.put(a_study(uid, hapi.version, id=uid, description="seen by nobody"))
    late = a_study(uid, hapi.version, id=uid, description="late")
    answer = hapi.send("PUT", f"ImagingStudy/{uid}", late, headers={"If-Match": 'W/"1"'})
    assert answer.status_code == 409
    assert "HAPI-0989" in _words(answer)
    assert hapi.ask(f"ImagingStudy/{uid}")["description"] == "seen by nobody"


def test_the_same_again_is_no_new_version(hapi: Hapi, uid: str) -> None:
    assert [hapi.put(a_study(uid, hapi.version, id=uid))["meta"]["versionId"] for _ in range(3)] == ["1", "1", "1"]


def test_other_conditions_are_overlooked(hapi: Hapi, uid: str) -> None:
    """None of these may be what keeps a change that was not seen."""
    hapi.put(a_study(uid, hapi.version, id=uid))
    if_match, if_none_match = {"If-Match": 'W/"77"'}, {"If-None-Match": "*"}
    changed = [a_study(uid, hapi.version, id=uid, description=text) for text in ("first", "second")]
    conditional = hapi.send("PUT", of_study(uid), changed[0], headers=if_match)
    by_id = hapi.send("PUT", f"ImagingStudy/{uid}", changed[1], headers=if_none_match)
    unknown = hapi.send("PUT", f"ImagingStudy/{uid}.9", a_study(f"{uid}.9", hapi.version, id=f"{uid}.9"), headers=if_match)
    assert [conditional.status_code, by_id.status_code, unknown.status_code] == [200, 200, 201]


def test_a_search_is_answered_from_memory_unless_asked_not_to(hapi: Hapi, uid: str) -> None:
    assert hapi.send("GET", of_study(uid)).json()["total"] == 0
    hapi.put(a_study(uid, hapi.version, id=uid))
    assert hapi.send("GET", of_study(uid)).json()["total"] == 0
    assert len(hapi.found(of_study(uid))) == 1


def test_several_of_one_uid_are_refused_with_412(hapi: Hapi, uid: str) -> None:
    for number in ("a", "b"):
        hapi.put(a_study(uid, hapi.version, id=f"{uid}.{number}"))
    answer = hapi.send("PUT", of_study(uid), a_study(uid, hapi.version))
    assert answer.status_code == 412
    assert len(hapi.found(of_study(uid))) == 2


def test_a_study_of_an_unknown_endpoint_is_refused(hapi: Hapi, uid: str) -> None:
    """400, as for a study that can never be right."""
    study = a_study(uid, hapi.version, id=uid, endpoint=[{"reference": "Endpoint/unknown"}])
    answer = hapi.send("PUT", f"ImagingStudy/{uid}", study)
    assert answer.status_code == 400
    assert "HAPI-1094" in _words(answer)


def test_a_number_is_no_id_and_a_wrong_code_no_study(hapi: Hapi, uid: str) -> None:
    number = hapi.send("PUT", "ImagingStudy/2001", a_study(uid, hapi.version, id="2001"))
    code = hapi.send("PUT", f"ImagingStudy/{uid}", a_study(uid, hapi.version, id=uid, status="finished"))
    assert [number.status_code, code.status_code] == [400, 400]


def test_a_source_comes_back_with_the_request_that_brought_it(hapi: Hapi, uid: str) -> None:
    written = hapi.put(a_study(uid, hapi.version, id=uid, meta={"source": "urn:imaging-cds:sync:north"}))
    assert written["meta"]["source"].partition("#")[0] == "urn:imaging-cds:sync:north"
    assert [one["id"] for one in hapi.found("ImagingStudy?_source=urn:imaging-cds:sync:north")] == [uid]


def test_a_deleted_study_is_gone_until_it_is_written_again(hapi: Hapi, uid: str) -> None:
    hapi.put(a_study(uid, hapi.version, id=uid))
    assert hapi.send("DELETE", f"ImagingStudy/{uid}").status_code == 200
    assert hapi.send("GET", f"ImagingStudy/{uid}").status_code == 410
    assert hapi.found(of_study(uid)) == []
    again = hapi.send("PUT", f"ImagingStudy/{uid}", a_study(uid, hapi.version, id=uid))
    assert again.status_code == 201
    assert int(again.json()["meta"]["versionId"]) > 2


def test_a_label_that_is_not_written_again_is_gone_and_tags_of_others_stay(hapi: Hapi, uid: str) -> None:
    """By itself HAPI keeps what former versions were labelled with: a program's assertion would stay one when signed."""
    asserted = {"system": AI_ASSERTED.system, "code": AI_ASSERTED.code}
    study = a_study(uid, hapi.version, id=uid, meta={"security": [asserted], "tag": [{"system": "urn:x", "code": "theirs"}]})
    plain = a_study(uid, hapi.version, id=uid, status="unknown")
    hapi.put(study)
    assert hapi.put(plain)["meta"]["security"] == [asserted]

    with OutboundSession([hapi.base], timeout_s=60.0) as session:
        FhirWriter(hapi.base, session).update({**plain, "status": "available"}, if_match="2")

    meta = hapi.ask(f"ImagingStudy/{uid}")["meta"]
    assert ("security" in meta, [one["code"] for one in meta["tag"]]) == (False, ["theirs"])


def test_its_validator_finds_what_a_study_must_have(hapi: Hapi, uid: str) -> None:
    right = hapi.send("POST", "ImagingStudy/$validate", a_study(uid, hapi.version)).json()
    without_uid = a_study(uid, hapi.version, series=[{"number": 1}])
    wrong = hapi.send("POST", "ImagingStudy/$validate", without_uid).json()
    assert [issue for issue in right["issue"] if issue["severity"] in ("error", "fatal")] == []
    errors = [issue["diagnostics"] for issue in wrong["issue"] if issue["severity"] == "error"]
    assert any("ImagingStudy.series.uid: minimum required = 1" in error for error in errors), errors


def _at_once(ask: Callable[[], requests.Response]) -> Counter[int]:
    """How often each status came back to writers who begin in the same moment."""
    ready = Barrier(WRITERS)

    def write(_: int) -> int:
        ready.wait(30)
        return ask().status_code

    with ThreadPoolExecutor(WRITERS) as writers:
        return Counter(writers.map(write, range(WRITERS)))


def _words(answer: requests.Response) -> str:
    outcome: dict[str, Any] = answer.json()
    return " ".join(issue.get("diagnostics", "") for issue in outcome["issue"])
