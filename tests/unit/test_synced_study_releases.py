"""R4, R4B, R5 and R6 of the same study: valid by fhir.resources, and differing in what the releases differ in (T3, 7.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.imagingstudy import ImagingStudy as R5ImagingStudy
from fhir.resources.R4B.imagingstudy import ImagingStudy as R4BImagingStudy
from hypothesis import given, settings

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.concept import Concept
from fhir_imaging.fhir_mapping.comparison import comparable
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.study import ImagingStudy as Told
from fhir_imaging.study import read_study
from tests.examples import examples
from tests.sync_strategies import contexts, studies
from tests.unit.test_synced_study import CONTEXT, CT, REPORT, STUDY

FULL = replace(CONTEXT, with_instances=True, resource_id="1.2.3")


def paths(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a resource by its place."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from paths(member, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from paths(member, f"{where}[{number}]")
    else:
        yield where, value


def difference(one: FhirVersion, other: FhirVersion, study: ArchivedStudy = STUDY) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in the first alone, and in the second alone."""
    first, second = (dict(paths(synced_study(study, FULL, version))) for version in (one, other))
    only_first = {place: value for place, value in first.items() if second.get(place) != value}
    return only_first, {place: value for place, value in second.items() if first.get(place) != value}


def test_r4b_is_r4() -> None:
    assert difference(FhirVersion.R4, FhirVersion.R4B) == ({}, {})


def test_r5_against_r4_is_what_the_releases_differ_in() -> None:
    old, new = difference(FhirVersion.R4B, FhirVersion.R5)
    dcm = {"system": "http://dicom.nema.org/resources/ontology/DCM"}

    assert {place.partition("[")[0] for place in old} == {"identifier", "modality", "procedureCode", "reasonCode", "series"}
    assert {place.partition("[")[0] for place in new} == {"modality", "procedure", "reason", "series"}
    made = synced_study(STUDY, FULL, FhirVersion.R5)
    assert made["modality"] == [{"coding": [{**dcm, "code": "CT"}]}, {"coding": [{**dcm, "code": "SR"}]}]
    assert made["procedure"][1] == {"concept": {"text": "Thorax nativ"}}
    assert made["reason"][0]["concept"]["coding"][0]["code"] == "59282003"
    series = made["series"][1]
    assert series["modality"] == {"coding": [{**dcm, "code": "CT"}]}
    assert series["bodySite"]["concept"]["coding"][0]["display"] == "Chest"
    assert series["laterality"]["coding"][0]["display"] == "Right"
    assert "interpreter" not in made


def test_r6_against_r5_golden() -> None:
    old, new = difference(FhirVersion.R5, FhirVersion.R6)
    sop_class = "urn:oid:1.2.840.10008.5.1.4.1.1.2"
    site = {"system": "http://snomed.info/sct", "code": "816094009", "display": "Chest"}

    assert old == {
        **{f"series[1].bodySite.concept.coding[0].{name}": value for name, value in site.items()},
        "series[1].instance[0].sopClass.system": "urn:ietf:rfc:3986",
        "series[1].instance[0].sopClass.code": sop_class,
        "series[1].instance[1].sopClass.system": "urn:ietf:rfc:3986",
        "series[1].instance[1].sopClass.code": sop_class,
    }
    assert new == {
        **{f"series[1].bodySite[0].concept.coding[0].{name}": value for name, value in site.items()},
        "series[1].instance[0].sopClass": sop_class,
        "series[1].instance[1].sopClass": sop_class,
    }


def test_r5_and_r6_keep_words_where_r4_has_no_place_for_them() -> None:
    words = replace(STUDY, series=(replace(CT, body_site=None, body_part="Brustkorb?", laterality=Concept("rechts")),))

    r5, r6 = (synced_study(words, CONTEXT, version)["series"][0] for version in (FhirVersion.R5, FhirVersion.R6))
    assert (r5["bodySite"], r5["laterality"]) == ({"concept": {"text": "Brustkorb?"}}, {"text": "rechts"})
    assert (r6["bodySite"], r5["description"]) == ([r5["bodySite"]], "Lung 1.0")


@pytest.mark.parametrize(
    ("study", "series", "is_kept"),
    [
        ("2026-10-01T10:11:12+01:00", "2026-10-01T09:11:12Z", True),
        ("2026-10-01T10:11:12+01:00", "2026-10-01T09:11:11Z", False),
        ("2026-10-01", "2026-10-01T00:00:00+01:00", True),
        ("2026-10-01", "2026-09-30T23:59:59+01:00", False),
        ("2026-10-02", "2026-10-01", False),
        (None, "2026-10-01", True),
    ],
)
def test_r6_no_series_starts_before_its_study(study: str | None, series: str, is_kept: bool) -> None:
    odd = replace(STUDY, started=study, series=(replace(REPORT, started=series),))

    assert ("started" in synced_study(odd, CONTEXT, FhirVersion.R6)["series"][0]) is is_kept
    assert synced_study(odd, CONTEXT, FhirVersion.R5)["series"][0]["started"] == series


@settings(max_examples=examples(30), deadline=None)
@given(study=studies, context=contexts)
def test_t3_whatever_an_archive_tells_every_release_is_valid_and_says_the_same(
    study: ArchivedStudy, context: SyncedContext
) -> None:
    r4, r4b, r5, r6 = (synced_study(study, context, version) for version in FhirVersion)

    for old in (r4, r4b):
        R4BImagingStudy.model_validate(old)
    R5ImagingStudy.model_validate(r5)
    assert comparable(r4) == comparable(r4b)
    for made in (r4, r5, r6):
        told = read_study(made)
        assert isinstance(told, Told)
        assert (told.study_instance_uid, told.patient_id) == (study.uid, context.patient_id)
        assert set(told.modalities) >= set(study.modalities or ("OT",))
        assert len(told.series) == len(study.series)


@settings(max_examples=examples(30), deadline=None)
@given(study=studies, context=contexts)
def test_m3_m4_no_coding_without_system_and_nothing_empty(study: ArchivedStudy, context: SyncedContext) -> None:
    for version in FhirVersion:
        made = synced_study(study, context, version)
        for coded in _objects(made):
            assert coded, "an empty object is no FHIR"
            assert ("code" in coded) == ("system" in coded) or "value" in coded
        assert None not in dict(paths(made)).values()
        assert "" not in dict(paths(made)).values()


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(member)
