"""What somebody sends who means no good, or whose software is broken: cards or words, never a 500, and never at any price.

The shapes of the HL7 validator's public CDS Hooks requests are rebuilt here with synthetic content (R23).
"""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from cds_service.settings import ClientAuthentication
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_store,
    a_study,
    an_order,
)
from tests.contract.test_cds_any_input import a_rich_request
from tests.order_cases import a_chart, a_draft, signing

CT_WITH = "24628-0"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"), client_authentication=ClientAuthentication.OFF)


def asked(service_id: str) -> dict[str, Any]:
    """Every kind of resource and context that the service reads."""
    body = a_rich_request() | {"hook": SERVICES[service_id].hook}
    body["prefetch"] = dict.fromkeys(query.key for query in SERVICES[service_id].queries) | body["prefetch"]
    # A server that nobody configured: nothing is fetched, whatever is missing.
    return body | {"fhirServer": "https://stranger.example.org/fhir"}


def answered(cds: CdsActor, service_id: str, raw: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and body, which is right for its status whatever was sent."""
    sent = {"Content-Type": "application/json"} | headers
    response = cds.client.post(f"/cds-services/{service_id}", data=raw, headers=sent)
    answer: dict[str, Any] = json.loads(response.get_data().decode())
    if response.status_code == 200:
        assert faults_of(answer) == ()
    else:
        assert answer["resourceType"] == "OperationOutcome"
    assert response.status_code in (200, 400, 412, 413, 415), answer
    return response.status_code, answer


# --- the shapes of the public requests (R23)


ID = "example-rec-04-not-long-acting"
CONTEXT = {"userId": "Practitioner/example", "patientId": f"Patient/{ID}", "encounterId": f"Encounter/{ID}-context"}
WRAPPED = {"response": {"status": "200 OK"}, "resource": a_patient(ID) | {"birthDate": "X2002-09-26"}}
DRUG = {"resourceType": "MedicationRequest", "id": "drug", "status": "Xactive", "subject": {"reference": f"Patient/{ID}"}}
PREFETCHES: dict[str, dict[str, Any]] = {
    "keys of another service": {"item1": WRAPPED, "item2": None},
    "wrapped, null and absent": {"patient": WRAPPED, "findings": None},
    "a partial date of birth": {"patient": a_patient(ID, born="2002"), "findings": None},
    "another type": {"patient": DRUG, "findings": DRUG},
    "nothing": {},
}
DRAFTS: dict[str, Any] = {
    "of a drug": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": DRUG}]},
    "without a type": {"resourceType": "Bundle", "entry": [{"resource": an_order(code={"coding": [{}]}, reasonCode=[])}]},
    "as a single resource": an_order(),
    "empty": {},
}
SELECTIONS: dict[str, Any] = {
    "without a type": ["drug"],
    "with one": ["MedicationRequest/drug"],
    "no array": "drug",
    "of nothing": [],
    "of objects": [{"reference": "ServiceRequest/1"}],
}


@pytest.mark.parametrize("service_id", SERVICES)
@pytest.mark.parametrize("prefetch", PREFETCHES, ids=list(PREFETCHES))
def test_r23_the_shapes_of_the_public_requests_are_no_error_of_ours(cds: CdsActor, service_id: str, prefetch: str) -> None:
    shared = {"hook": SERVICES[service_id].hook, "fhirServer": "http://localhost:8080/fhir"}
    for draft, selection in product(DRAFTS.values(), SELECTIONS.values()):
        context = CONTEXT | {"draftOrders": draft, "selections": selection, "appointments": draft, "studyInstanceUid": "2.25.1"}

        status, _ = answered(cds, service_id, json.dumps(a_hook(PREFETCHES[prefetch], context=context, **shared)).encode())

        assert status in (200, 400, 412)
        if service_id == "imaging-findings":
            assert status == (200 if prefetch in ("wrapped, null and absent", "a partial date of birth") else 412)


# --- no JSON, or JSON that other readers would not read alike


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("service_id", SERVICES)
def test_r1_what_only_python_reads_is_not_json(cds: CdsActor, service_id: str, constant: str) -> None:
    raw = json.dumps(asked(service_id))

    status, answer = answered(cds, service_id, f'{raw[:-1]}, "extension": {{"x": {constant}}}}}'.encode())

    assert status == 400
    assert "not valid JSON" in answer["issue"][0]["diagnostics"]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, "0.1e-400", "-0", "1" + "0" * 5000])
@pytest.mark.parametrize("service_id", SERVICES)
def test_huge_and_tiny_numbers_are_read_or_refused(cds: CdsActor, service_id: str, number: str) -> None:
    raw = json.dumps(asked(service_id))
    everywhere = raw.replace('"value": 7.0', f'"value": {number}').replace('"expires_in": 300', f'"expires_in": {number}')

    answered(cds, service_id, everywhere.encode())
    status, _ = answered(cds, service_id, raw.replace('"value": 7.0', f'"value": {number}').encode())
    assert status == (400 if len(number) > 4300 else 200)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_are_read_or_refused(cds: CdsActor, encoding: str) -> None:
    answered(cds, "imaging-findings", json.dumps(asked("imaging-findings")).encode(encoding))


# --- text


TEXTS = {
    "half a character": "\ud800x",
    "NUL": "a\0b",
    "direction marks": "\u202eevil\u202c",
    "zero width": "\u200b\u200d",
    "line ends": "a\nb\r\nc\u2028d",
    "outside the plane": "🫁" * 80,
    "markup": "<img src=x onerror=y> [a](javascript:b) **b**",
    "long": "x" * 100_000,
    "combining": "e" + "\u0301" * 500,
    "private": "\ue000\uffff",
}
PLACES = {
    "words": ("display", "text", "conclusion", "description"),
    "ids": ("id",),
    "codes": ("code", "system", "version", "unit", "status", "birthDate", "started", "issued", "effectiveDateTime"),
    "context": ("userId", "patientId", "encounterId", "study", "studyInstanceUid", "hookInstance", "fhirServer"),
}


def with_text(value: Any, names: tuple[str, ...], words: str) -> Any:
    if isinstance(value, dict):
        return {
            name: words if name in names and isinstance(member, str) else with_text(member, names, words)
            for name, member in value.items()
        }
    return [with_text(member, names, words) for member in value] if isinstance(value, list) else value


@pytest.mark.parametrize("service_id", SERVICES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", TEXTS)
def test_r25_odd_text_at_any_place_leaves_plain_one_line_summaries(
    cds: CdsActor, service_id: str, place: str, kind: str
) -> None:
    _, answer = answered(cds, service_id, json.dumps(with_text(asked(service_id), PLACES[place], TEXTS[kind])).encode())

    for card in answer.get("cards", []):
        assert card["summary"].isprintable()
        assert "<img" not in card["detail"]


# --- a draft order that is handed back whole (R29)


def handed_back(cds: CdsActor, fragment: str) -> tuple[int, dict[str, Any]]:
    """The answer to an order whose code would be replaced, with ``fragment`` as its note."""
    earlier = "2026-02-01T10:00:00+01:00"
    finding = a_nodule(7.0, effectiveDateTime=earlier)
    chart = a_chart(findings=a_bundle(finding), studies=a_bundle(a_study(started=earlier)))
    raw = json.dumps(signing(a_draft(CT_WITH, note="@@"), chart=chart))
    return answered(cds, "imaging-order-sign", raw.replace('"@@"', fragment).encode())


def test_r29_an_ordinary_order_is_handed_back(cds: CdsActor) -> None:
    _, answer = handed_back(cds, '[{"text": "🫁 x"}]')

    (card,) = answer["cards"]
    assert card["suggestions"][0]["actions"][0]["resource"]["note"] == [{"text": "🫁 x"}]


@pytest.mark.parametrize("fragment", ["1e999", '"\\ud800"', '{"\\udfff": 1}', '[{"x": [-1e999]}]'])
def test_r1_an_order_that_is_no_json_again_is_not_handed_back_and_its_card_stays(cds: CdsActor, fragment: str) -> None:
    status, answer = handed_back(cds, fragment)

    (card,) = answer["cards"]
    assert status == 200
    assert not {"suggestions", "selectionBehavior"} & set(card)
    assert card["detail"]


@pytest.mark.parametrize("depth", [200, 400, 900, 5_000, 500_000])
@pytest.mark.parametrize("mark", ["[]", "{}"])
def test_deep_nesting_is_read_or_refused(cds: CdsActor, depth: int, mark: str) -> None:
    opened = "[" if mark == "[]" else '{"a":'
    fragment = opened * depth + "1" + mark[1] * depth

    status, answer = handed_back(cds, fragment)

    assert status == (200 if depth == 200 else 400)
    assert depth == 200 or "nested too deeply" in answer["issue"][0]["diagnostics"]
    for service_id in SERVICES:
        for key in ("findings", "patient", "reports"):
            raw = json.dumps(asked(service_id) | {"prefetch": {key: "@@"}}).replace('"@@"', fragment)
            answered(cds, service_id, raw.encode())


# --- size and wrapping


@pytest.mark.parametrize("service_id", SERVICES)
def test_five_megabytes_are_read_in_seconds(cds: CdsActor, service_id: str) -> None:
    body = asked(service_id)
    places = [{"reference": f"ImagingStudy/s{number}"} for number in range(400)]
    body["prefetch"] |= {
        "findings": a_bundle(
            *(a_lung_rads("3", id=f"f{n}", note=[{"text": "x" * 400}], derivedFrom=[places[n % 400]]) for n in range(5000))
        ),
        "reports": a_bundle(
            *(a_report("Lung-RADS 3. CT in 3 months. " * 30, id=f"r{n}", imagingStudy=[places[n % 400]]) for n in range(1000))
        ),
        "orders": a_bundle(*(an_order(id=f"o{n}") for n in range(500))),
    }
    raw = json.dumps(body).encode()
    assert len(raw) > 5_000_000

    # Processor time: a busy machine is no fault of the service.
    started = time.process_time()
    status, _ = answered(cds, service_id, gzip.compress(raw, 1), **{"Content-Encoding": "gzip"})

    assert status == 200
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (gzip.compress(b"[" * 50_000_000), 413),
        (gzip.compress(b"[" * 5_000_000), 400),
        (gzip.compress(gzip.compress(b"0" * 30_000_000)), 400),
    ],
    ids=["bomb", "deep", "bomb in a bomb"],
)
def test_bombs_are_refused(cds: CdsActor, packed: bytes, status: int) -> None:
    assert answered(cds, "imaging-findings", packed, **{"Content-Encoding": "gzip"})[0] == status


class InvalidChunkSizeError(Exception):
    """As gunicorn's own, which is neither an OSError nor a ValueError."""


class BrokenChunks(io.RawIOBase):
    """What gunicorn hands over for a chunked body that is none."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise InvalidChunkSizeError


def test_a_body_that_breaks_off_is_the_callers_fault(cds: CdsActor) -> None:
    sent = {"wsgi.input": BrokenChunks(), "wsgi.input_terminated": True, "CONTENT_TYPE": "application/json"}

    response = cds.client.post("/cds-services/imaging-findings", environ_overrides=sent)

    assert response.status_code == 400
    assert "could not be read to its end" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "", "multipart/form-data", "application/jsonp", "application/x-www-form-urlencoded"]
)
def test_r20_a_415_says_what_may_be_sent(cds: CdsActor, media_type: str) -> None:
    response = cds.client.post("/cds-services/imaging-findings", data=b"{}", headers={"Content-Type": media_type})

    assert response.status_code == 415
    assert response.headers["Accept-Post"] == "application/json"
    assert response.headers["Accept-Encoding"] == "gzip, identity"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/cds-services/imaging-findings", "OPTIONS, POST"),
        ("HEAD", "/cds-services/imaging-findings/feedback", "OPTIONS, POST"),
        ("DELETE", "/cds-services", "GET, HEAD, OPTIONS"),
        ("PATCH", "/cds-services/x", "OPTIONS, POST"),
    ],
)
def test_r20_a_405_says_which_methods_there_are(cds: CdsActor, method: str, path: str, allowed: str) -> None:
    response = cds.client.open(path, method=method)

    assert response.status_code == 405
    assert response.headers["Allow"] == allowed


def test_r4_discovery_answers_head_like_get(cds: CdsActor) -> None:
    asked_whole, asked_head = cds.client.get("/cds-services"), cds.client.head("/cds-services")

    assert asked_head.status_code == 200
    assert asked_head.headers["Content-Length"] == asked_whole.headers["Content-Length"]
    assert asked_head.get_data() == b""
