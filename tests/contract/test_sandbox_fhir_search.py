"""Search on the sandbox's FHIR API, as R4 describes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.bundle import Bundle

from tests.contract.sandbox_client import MRN, STORES, SandboxClient, a_sandbox_storing, an_observation

DICOM_UID = "urn:dicom:uid|urn:oid:2.25.4"


@pytest.fixture(scope="module", params=STORES)
def ehr(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox_storing(request.param, tmp_path_factory.mktemp("ehr")) as client:
        store = client.services.store
        for number in range(7):
            store.put(an_observation(f"page-{number}", "demo-b", category="vital-signs", when=f"2025-0{number + 1}-01"))
        report = {
            "resourceType": "DiagnosticReport",
            "id": "report-a",
            "status": "final",
            "code": {"text": "CT chest"},
            "subject": {"identifier": {"system": MRN, "value": "DEMO-1001"}, "reference": "Patient/demo-a"},
            "imagingStudy": [{"reference": "ImagingStudy/demo-a-ct"}],
            "resultsInterpreter": [{"reference": "Practitioner/demo-gp"}],
            "effectivePeriod": {"start": "2026-05-10", "end": "2026-05-12"},
        }
        store.put(report)
        yield client


def _search(ehr: SandboxClient, query: str, **more: Any) -> dict[str, Any]:
    answer = ehr.fhir("GET", query, ehr.a_token("user/*.rs"), **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    Bundle.model_validate(body)
    assert body["type"] == "searchset"
    return body


def _ids(body: dict[str, Any], mode: str = "match") -> list[str]:
    return [entry["resource"]["id"] for entry in body.get("entry", []) if entry["search"]["mode"] == mode]


def _link(body: dict[str, Any], relation: str) -> str | None:
    return next((link["url"] for link in body["link"] if link["relation"] == relation), None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ImagingStudy?patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?patient=Patient/demo-a", ["demo-a-ct"]),
        ("ImagingStudy?patient=demo-a,demo-b", ["demo-a-ct", "demo-b-ct"]),
        ("ImagingStudy?subject=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?subject:Patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?subject=Practitioner/demo-a", []),
        ("ImagingStudy?patient=demo-a&patient=demo-b", []),
        (f"ImagingStudy?identifier={DICOM_UID}", ["demo-a-ct"]),
        ("ImagingStudy?identifier=urn:oid:2.25.4", ["demo-a-ct"]),
        ("ImagingStudy?identifier=|urn:oid:2.25.4", []),
        ("ImagingStudy?identifier=urn:dicom:uid|", ["demo-a-ct", "demo-b-ct"]),
        ("ImagingStudy?modality=CT&status=available&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?modality=http://dicom.nema.org/resources/ontology/DCM|CT&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?modality:not=CT", []),
        ("ImagingStudy?series=2.25.41", ["demo-a-ct"]),
        ("ImagingStudy?endpoint=demo-wado&patient=demo-b", ["demo-b-ct"]),
        ("ImagingStudy?started=2026-05-10&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?started=gt2026-05-10T08:00:00Z", []),
        ("ImagingStudy?started=ge2026-05-10T10:00:00%2B02:00&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?started=ge2026-05&started=lt2026-06&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?basedon:missing=true&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?basedon:missing=false", []),
        ("ImagingStudy?_lastUpdated=gt2020-01-01&patient=demo-a", ["demo-a-ct"]),
        ("ImagingStudy?_lastUpdated=lt2020-01-01", []),
        ("Patient?name=alm", ["demo-a"]),
        ("Patient?name:exact=Alma", ["demo-a"]),
        ("Patient?name:exact=alma", []),
        ("Patient?name:contains=un", ["demo-b"]),
        (f"Patient?identifier={MRN}|DEMO-1001", ["demo-a"]),
        ("Patient?gender=male", ["demo-b"]),
        ("Patient?gender:not=male", ["demo-a"]),
        ("Patient?birthdate=1964", ["demo-a"]),
        ("Patient?birthdate=ne1964-03-02", ["demo-b"]),
        ("Patient?_id=demo-a,demo-b&gender=female", ["demo-a"]),
        ("DiagnosticReport?imaging-study=demo-a-ct", ["report-a"]),
        (f"DiagnosticReport?patient:identifier={MRN}|DEMO-1001", ["report-a"]),
        ("DiagnosticReport?date=sa2026-05-09", ["report-a"]),
        ("DiagnosticReport?date=eb2026-05-12", []),
        ("DiagnosticReport?date=2026-05-11", []),
        ("DiagnosticReport?date=ap2026-05-11", ["report-a"]),
        ("Observation?code=http://snomed.info/sct|1362105002&category=imaging", ["obs-imaging"]),
        ("Observation?category=imaging,laboratory&patient=demo-a&_sort=date", ["obs-lab", "obs-imaging"]),
        ("Endpoint?connection-type=dicom-wado-rs", ["demo-wado"]),
    ],
)
def test_search_finds(ehr: SandboxClient, query: str, found: list[str]) -> None:
    body = _search(ehr, query)

    assert _ids(body) == found
    assert body["total"] == len(found)


def test_an_absolute_reference_of_this_server_is_understood(ehr: SandboxClient) -> None:
    assert _ids(_search(ehr, f"ImagingStudy?patient={ehr.fhir_base}/Patient/demo-a")) == ["demo-a-ct"]
    assert _ids(_search(ehr, "ImagingStudy?patient=https://elsewhere.example/Patient/demo-a")) == []


@pytest.mark.parametrize(
    ("query", "included"),
    [
        ("ImagingStudy?_id=demo-a-ct&_include=ImagingStudy:endpoint", {"demo-wado"}),
        ("ImagingStudy?_id=demo-a-ct&_include=*", {"demo-wado", "demo-a"}),
        ("ImagingStudy?_id=demo-a-ct&_include=ImagingStudy:*", {"demo-wado", "demo-a"}),
        ("ImagingStudy?_id=demo-a-ct&_include=ImagingStudy:subject:Patient", {"demo-a"}),
        ("ImagingStudy?_id=demo-a-ct&_include=ImagingStudy:subject:Group", set()),
        ("ImagingStudy?_id=demo-a-ct&_revinclude=DiagnosticReport:imaging-study", {"report-a"}),
        (
            "ImagingStudy?_id=demo-a-ct&_revinclude=DiagnosticReport:imaging-study"
            "&_include:iterate=DiagnosticReport:results-interpreter",
            {"report-a", "demo-gp"},
        ),
    ],
)
def test_includes(ehr: SandboxClient, query: str, included: set[str]) -> None:
    body = _search(ehr, query)

    assert set(_ids(body, "include")) == included
    assert _ids(body) == ["demo-a-ct"]
    assert body["total"] == 1


def test_an_endpoint_shared_by_two_studies_is_included_once(ehr: SandboxClient) -> None:
    assert _ids(_search(ehr, "ImagingStudy?_include=ImagingStudy:endpoint"), "include") == ["demo-wado"]


def test_sort_orders_both_ways_with_missing_values_last(ehr: SandboxClient) -> None:
    up = _ids(_search(ehr, "Observation?patient=demo-b&category=vital-signs&_sort=date"))
    down = _ids(_search(ehr, "Observation?patient=demo-b&category=vital-signs&_sort=-date"))

    assert up == [f"page-{number}" for number in range(7)]
    assert down == up[::-1]


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("Patient?_sort=given", ["demo-a", "demo-b"]),
        ("Patient?_sort=-given", ["demo-b", "demo-a"]),
        ("Patient?_sort=-gender", ["demo-b", "demo-a"]),
        ("Patient?_sort=family,-birthdate", ["demo-b", "demo-a"]),
        ("ImagingStudy?_sort=-patient", ["demo-b-ct", "demo-a-ct"]),
        ("ImagingStudy?_sort=-_id", ["demo-b-ct", "demo-a-ct"]),
        ("Observation?_sort=encounter,-_id&category=laboratory", ["obs-lab", "obs-b"]),
    ],
)
def test_sort_by_every_kind_of_parameter(ehr: SandboxClient, query: str, order: list[str]) -> None:
    assert _ids(_search(ehr, query)) == order


def test_an_unknown_sort_is_named_and_ignored(ehr: SandboxClient) -> None:
    assert len(_ids(_search(ehr, "Patient?_sort=shoe-size"), "outcome")) == 1


def test_uri_parameters_match_whole(ehr: SandboxClient) -> None:
    profile = {"resourceType": "Organization", "id": "profiled", "meta": {"profile": ["http://p.example/a"]}}
    ehr.services.store.put(profile)

    assert _ids(_search(ehr, "Organization?_profile=http://p.example/a")) == ["profiled"]
    assert _ids(_search(ehr, "Organization?_profile=http://p.example")) == []


def test_pages_follow_opaque_links_and_stay_stable_while_records_change(ehr: SandboxClient) -> None:
    query = "Observation?patient=demo-b&category=vital-signs&_sort=date&_count=3&_include=Observation:patient"
    page = _search(ehr, query)
    seen = _ids(page)
    # With a server behind, a total over several pages is not known: it might count what the caller must not see.
    assert page.get("total", 7) == 7
    ehr.services.store.put(an_observation("page-early", "demo-b", category="vital-signs", when="2024-01-01"))
    while (following := _link(page, "next")) is not None:
        assert set(parse_qs(urlsplit(following).query)) == {"_cursor"}
        page = _search(ehr, following.removeprefix(f"{ehr.fhir_base}/"))
        seen += _ids(page)
        assert _ids(page, "include") == ["demo-b"]
    ehr.services.store.delete("Observation", "page-early")

    assert seen == [f"page-{number}" for number in range(7)]


def test_an_unknown_paging_link_is_410(ehr: SandboxClient) -> None:
    token = ehr.a_token("user/*.rs")

    assert ehr.fhir("GET", "Patient?_cursor=nonsense", token).status_code == 410
    assert ehr.fhir("GET", "Patient?_cursor=nonsense.1", token).status_code == 410


@pytest.mark.parametrize("query", ["Patient?_summary=count", "Patient?_count=0"])
def test_count_only(ehr: SandboxClient, query: str) -> None:
    body = _search(ehr, query)

    assert body["total"] == 2
    assert "entry" not in body


def test_total_none_leaves_the_total_out(ehr: SandboxClient) -> None:
    assert "total" not in _search(ehr, "Patient?_total=none")


def test_elements_are_marked_as_subset(ehr: SandboxClient) -> None:
    resource = _search(ehr, "Patient?_id=demo-a&_elements=gender")["entry"][0]["resource"]

    assert set(resource) == {"resourceType", "id", "meta", "gender"}
    assert resource["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_post_search_reads_form_and_query(ehr: SandboxClient) -> None:
    answer = ehr.fhir("POST", "ImagingStudy/_search?status=available", ehr.a_token("user/*.rs"), data={"patient": "demo-a"})

    assert _ids(answer.json()) == ["demo-a-ct"]
    wrong = ehr.fhir("POST", "ImagingStudy/_search", ehr.a_token("user/*.rs"), json={"patient": "demo-a"})
    assert wrong.status_code == 415


def test_an_unknown_parameter_is_named_or_under_strict_handling_refused(ehr: SandboxClient) -> None:
    lenient = _search(ehr, "Patient?nosuch=1&gender=male")
    strict = ehr.fhir("GET", "Patient?nosuch=1", ehr.a_token("user/*.rs"), headers={"Prefer": "handling=strict"})

    assert _ids(lenient) == ["demo-b"]
    assert "nosuch" not in (_link(lenient, "self") or "")
    outcome = next(entry for entry in lenient["entry"] if entry["search"]["mode"] == "outcome")
    assert "nosuch" in outcome["resource"]["issue"][0]["diagnostics"]
    assert strict.status_code == 400
    assert strict.json()["issue"][0]["code"] == "not-supported"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("ImagingStudy?patient.name=Alma", "not-supported"),
        ("ImagingStudy?subject:Patient.name=Alma", "not-supported"),
        ("Patient?_has:Observation:patient:code=1", "not-supported"),
        ("Patient?_filter=name eq x", "not-supported"),
        ("Patient?_text=x", "not-supported"),
        ("Observation?code:in=http://x", "not-supported"),
        ("Observation?code:text=x", "not-supported"),
        ("Observation?date=yesterday", "invalid"),
        ("Observation?date=2026-13-01", "invalid"),
        ("Observation?code:missing=perhaps", "invalid"),
        ("Observation?_count=many", "invalid"),
        ("Observation?_count=-1", "invalid"),
        ("Observation?_summary=perhaps", "invalid"),
        ("Observation?_total=perhaps", "invalid"),
        ("Observation?_include=Observation:nosuch", "not-supported"),
        ("Observation?_include=Observation:code", "not-supported"),
        ("Patient?_revinclude=*", "not-supported"),
        ("Patient?_revinclude=Observation:subject:Group", "invalid"),
    ],
)
def test_what_search_cannot_do_it_says(ehr: SandboxClient, query: str, code: str) -> None:
    answer = ehr.fhir("GET", query, ehr.a_token("user/*.rs"))

    assert answer.status_code == 400
    assert answer.json()["issue"][0]["code"] == code


def test_an_escaped_comma_is_part_of_the_value(ehr: SandboxClient) -> None:
    comma = {"resourceType": "Organization", "id": "comma", "name": "Ward, North"}
    ehr.services.store.put(comma)

    assert _ids(_search(ehr, "Organization?name=Ward\\, North")) == ["comma"]
    assert _ids(_search(ehr, "Organization?name=Nowhere,Ward")) == ["comma"]
