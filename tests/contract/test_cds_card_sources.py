"""On whose authority a card speaks, where no guideline does: the report's own words, or the service about itself (R26)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_bundle, a_cds_service, a_hook, a_lung_rads, a_report, a_store, whole_prefetch


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def the_source(cds: CdsActor, *findings: dict[str, Any], **prefetch: Any) -> dict[str, Any]:
    (card,) = cds.cards(a_hook(whole_prefetch(*findings, **prefetch)))
    source: dict[str, Any] = card["source"]
    return source


def test_r26_a_card_on_a_reports_words_alone_names_the_report_and_its_topic(cds: CdsActor) -> None:
    report = a_report("Complex cyst of the left kidney, Bosniak IIF.")

    source = the_source(cds, reports=a_bundle(report))

    assert source["label"] == "Radiology report"
    assert source["topic"]["code"] == "imaging-follow-up"
    assert "url" not in source


def test_r26_a_card_about_what_could_not_be_read_names_the_service_and_its_topic(cds: CdsActor) -> None:
    source = the_source(cds, a_lung_rads("3", subject={"reference": "Patient/other"}))

    assert source["label"] == "Imaging findings service"
    assert source["topic"]["code"] == "incomplete-data"


def test_r26_a_guideline_is_named_with_its_address(cds: CdsActor) -> None:
    source = the_source(cds, a_lung_rads("3"))

    assert source["label"] == "Lung-RADS v2022"
    assert source["url"].startswith("https://")
    assert source["topic"]["code"] == "lung-screening-follow-up"
