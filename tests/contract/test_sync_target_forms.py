"""No number of a patient stands in an address that the synchronisation asks: servers and proxies write addresses down.

Spec: FHIR R4 RESTful API §3.1.0.9 (search by form).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest
from flask import Response, request

from fhir_imaging.errors import UpstreamError
from tests.sync_actors import ACCESSIONS, MRN, Sync, a_patient, a_study, a_sync, json_response

NUMBERS = ("DEMO-1001", "A-17", "Z-5")
ORDER = {
    "resourceType": "ServiceRequest",
    "id": "order",
    "status": "active",
    "intent": "order",
    "subject": {"reference": "Patient/pat-a"},
    "identifier": [{"system": ACCESSIONS, "value": "A-17"}],
}


@pytest.fixture(params=[False, True], ids=["requests", "transactions"])
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    with a_sync(tmp_path, transactions=request.param) as made:
        made.fhir.records.put(ORDER)
        yield made


def addresses(sync: Sync) -> list[str]:
    return [f"{method} {unquote_plus(path)}" for method, path, _, _ in sync.fhir.requests]


def asked(sync: Sync, path: str) -> list[dict[str, str]]:
    """The forms that were sent there."""
    return [dict(parse_qsl(body.decode())) for _, one, body, _ in sync.fhir.requests if one.startswith(path)]


def test_no_number_of_the_patient_stands_in_an_address(sync: Sync) -> None:
    other = a_study().patients[0]
    sync.archive.put(a_study(accession="A-17", other_numbers=(type(other)(number="Z-5", issuer="DEMO"),)))
    sync.bring()
    sync.archive.put(a_study(accession="A-17", images=4))
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["basedOn"][0]["reference"] == "ServiceRequest/order"
    assert [one for one in addresses(sync) if any(number in one for number in NUMBERS)] == []
    assert {"identifier": f"{MRN}|DEMO-1001", "_count": "20"} in asked(sync, "/fhir/Patient/_search")
    assert asked(sync, "/fhir/ServiceRequest/_search") == [{"identifier": f"{ACCESSIONS}|A-17", "_count": "20"}] * 2


@pytest.mark.parametrize("status", [404, 405, 415, 501])
def test_a_server_without_such_searches_is_asked_by_address_and_that_is_said_once(
    sync: Sync, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    sync.fhir.instead = lambda: Response(status=status) if request.path.endswith("/_search") else None
    sync.archive.put(a_study(accession="A-17"), a_study("2.25.7002", accession="A-17"))
    target = sync.target()

    sync.bring(worker=sync.worker(target))
    sync.bring("2.25.7002", worker=sync.worker(target))

    assert {one["status"] for one in sync.fhir.all("ImagingStudy")} == {"available"}
    said = [one.getMessage() for one in caplog.records if "by POST" in one.getMessage()]
    assert [words.split("search of ")[1].split()[0] for words in said] == ["Patient", "ServiceRequest"]
    assert not any(number in words for words in said for number in NUMBERS)
    assert len(asked(sync, "/fhir/Patient/_search")) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
def test_a_server_that_refuses_for_another_reason_is_not_asked_by_address(sync: Sync, status: int) -> None:
    sync.fhir.instead = lambda: Response(status=status) if request.path.endswith("/_search") else None
    sync.archive.put(a_study())

    with pytest.raises(UpstreamError) as caught:
        sync.bring()

    assert caught.value.status == status
    assert [one for one in addresses(sync) if "DEMO-1001" in one] == []


def test_an_address_that_answers_nothing_says_nothing_of_forms(sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
    sync.fhir.instead = lambda: Response(status=404) if request.path.startswith("/fhir/Patient") else None
    target = sync.target()
    with pytest.raises(UpstreamError) as caught:
        target.patients_with(MRN, "DEMO-1001")
    assert caught.value.status == 404
    sync.fhir.instead = lambda: None
    sync.fhir.requests.clear()

    assert len(target.patients_with(MRN, "DEMO-1001")) == 1
    assert addresses(sync) == ["POST /fhir/Patient/_search?"]
    assert "by POST" not in caplog.text


def test_a_paging_link_that_repeats_the_number_is_asked_by_form_too(sync: Sync) -> None:
    sync.fhir.instead = paged(lambda: f"{sync.fhir.base}/Patient?identifier=x%7CDEMO-1001&page=2")

    assert [one["id"] for one in sync.target().patients_with("x", "DEMO-1001")] == ["one", "two"]
    assert addresses(sync) == ["POST /fhir/Patient/_search?"] * 2
    assert asked(sync, "/fhir/Patient")[1] == {"identifier": "x|DEMO-1001", "page": "2"}


def test_a_paging_link_of_the_servers_own_words_is_followed(sync: Sync) -> None:
    sync.fhir.instead = paged(lambda: f"{sync.fhir.base}?_getpages=17&page=2")

    assert [one["id"] for one in sync.target().patients_with("x", "DEMO-1001")] == ["one", "two"]
    assert addresses(sync)[1] == "GET /fhir?_getpages=17&page=2"


def paged(link: Callable[[], str]) -> Callable[[], Response]:
    def page() -> Response:
        is_second = "page=2" in unquote_plus(request.full_path) or b"page=2" in request.get_data()
        identifier: list[dict[str, Any]] = [{"system": "x", "value": "DEMO-1001"}]
        one = a_patient("two" if is_second else "one") | {"identifier": identifier}
        links = [] if is_second else [{"relation": "next", "url": link()}]
        return json_response(json.loads(json.dumps({"resourceType": "Bundle", "entry": [{"resource": one}], "link": links})))

    return page
