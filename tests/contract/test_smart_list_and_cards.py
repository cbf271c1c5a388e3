"""The study list says of each demo patient what the cards say: the same findings, in the same words, critical as critical."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ehr_sandbox.patients.demo import build_demo
from fhir_imaging.clients.fhir import SearchPage
from fhir_imaging.store.engine import Store
from imaging_findings.facts import QUERIES
from imaging_findings.site_policy import product_policy
from smart_app.study_findings import Highlight, highlights
from smart_app.study_list import ListContext, build_study_list
from smart_app.study_search import GatheredRecords, collected
from tests.cds_actors import APP, FHIR, NOW, a_bundle, a_cds_service, a_hook, a_store
from tests.synced_studies import synced_demo

GATEWAY = f"{APP}/imaging/sandbox/dicom-web/demo"
TONES = {"critical": "critical", "warning": "warning", "info": "info"}
Charts = list[Mapping[str, Any]]


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> Charts:
    directory = tmp_path_factory.mktemp("demo")
    demo = build_demo(directory, demo_day=NOW.date(), fhir_base=FHIR, slices=3)
    return list(synced_demo(demo, directory, GATEWAY).resources)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def patients_of(charts: Charts) -> list[str]:
    return sorted(one["id"] for one in charts if one["resourceType"] == "Patient")


def found_in(charts: Charts, resource_type: str, patient_id: str) -> tuple[dict[str, Any], ...]:
    reference = f"Patient/{patient_id}"
    own = (one for one in charts if one["resourceType"] == resource_type)
    return tuple(dict(one) for one in own if one.get("subject", {}).get("reference") == reference)


def cards_of(store: Store, tmp_path: Path, charts: Charts, patient_id: str) -> list[dict[str, Any]]:
    """The cards when the chart is opened."""
    patient = next(one for one in charts if one["resourceType"] == "Patient" and one["id"] == patient_id)
    prefetch = {one.key: a_bundle(*found_in(charts, one.resource_type, patient_id)) for one in QUERIES if one.key != "patient"}
    context = {"userId": "Practitioner/demo-gp", "patientId": patient_id}
    return a_cds_service(store, tmp_path).cards(a_hook({**prefetch, "patient": patient}, context=context))


def lines_of(charts: Charts, patient_id: str) -> list[Highlight]:
    """What the list says when it is opened at the same moment."""
    searches = ("findings", "orders", "smoking", "conditions", "communications")
    page = SearchPage(found_in(charts, "ImagingStudy", patient_id))
    records = GatheredRecords(
        studies=collected([page], without_endpoints=False),
        reports=found_in(charts, "DiagnosticReport", patient_id),
        patient=dict(next(one for one in charts if one["resourceType"] == "Patient" and one["id"] == patient_id)),
        searches={one.key: found_in(charts, one.resource_type, patient_id) for one in QUERIES if one.key in searches},
        problems={},
    )
    context = ListContext(patient_id=patient_id, patient_bases=(FHIR,), token_receivers={APP})
    assert records.studies is not None
    rows = build_study_list(records.studies, records.reports or (), context).rows
    told = highlights(records, rows, context, NOW, product_policy())
    return [line for row in rows for line in told.of(row)]


def said_by(line: Highlight) -> str:
    return line.words.removesuffix(", no follow-up found")


def test_every_card_about_a_finding_is_a_line_of_the_list_in_the_same_words(
    store: Store, tmp_path: Path, charts: Charts
) -> None:
    compared: list[str] = []
    for patient_id in patients_of(charts):
        lines = lines_of(charts, patient_id)
        for card in cards_of(store, tmp_path, charts, patient_id):
            matching = [one for one in lines if one.title in card["summary"] and said_by(one) in card["summary"]]
            assert matching, (patient_id, card["summary"], [(one.title, one.words) for one in lines])
            assert card["indicator"] in {TONES[one.tone] for one in matching}
            compared.append(card["indicator"])

    assert {"critical", "warning", "info"} <= set(compared)


def test_every_open_finding_of_the_list_has_its_card(store: Store, tmp_path: Path, charts: Charts) -> None:
    for patient_id in patients_of(charts):
        summaries = [card["summary"] for card in cards_of(store, tmp_path, charts, patient_id)]
        urgent = [one for one in lines_of(charts, patient_id) if one.tone in ("critical", "warning")]
        missing = [one.title for one in urgent if not any(one.title in said and said_by(one) in said for said in summaries)]
        assert missing == [], (patient_id, summaries)
