"""An archived study as R4 servers keep it: fields, order, patient, words without codes (X13 to X18, M1 to M9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy

from fhir_imaging.archived_study import ArchivedInstance, ArchivedSeries, ArchivedStudy
from fhir_imaging.concept import Concept
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion, Status
from fhir_imaging.study import ImagingStudy as Told
from fhir_imaging.study import read_study
from fhir_imaging.uids import series_uid, sop_uid, study_uid
from imaging_findings import codes
from imaging_findings.body_parts import body_parts_of

UID = "1.2.3"
MRN, ACCESSIONS = "urn:example:mrn", "urn:example:accession"
CHEST = Concept("Chest", codes.SNOMED, body_parts_of("CHEST")[0].code.code)
RIGHT = Concept("Right", codes.SNOMED, "24028007")
CT = ArchivedSeries(
    uid=series_uid(f"{UID}.1"),
    archives=("main",),
    number=1,
    modality="CT",
    description="Lung 1.0",
    body_part="CHEST",
    started="2026-10-01T10:12:00+01:00",
    instance_count=2,
    instances=(
        ArchivedInstance(uid=sop_uid(f"{UID}.1.1"), sop_class="1.2.840.10008.5.1.4.1.1.2", number=1),
        ArchivedInstance(uid=sop_uid(f"{UID}.1.2"), sop_class="1.2.840.10008.5.1.4.1.1.2", number=2),
    ),
    body_site=CHEST,
    laterality=RIGHT,
)
REPORT = ArchivedSeries(uid=series_uid(f"{UID}.2"), archives=("main",), number=2, modality="SR", instance_count=1)
STUDY = ArchivedStudy(
    uid=study_uid(UID),
    archives=("main",),
    started="2026-10-01T10:11:12+01:00",
    accession="ACC-7",
    description="CT of the chest",
    series=(REPORT, CT),
    accession_issuer="RIS",
    referrer="Dr. Rosa Referrer",
    procedures=(Concept("CT chest", codes.LOINC, "24627-2"), Concept("Thorax nativ")),
    reasons=(Concept("Pulmonary embolism", codes.SNOMED, "59282003"),),
)
CONTEXT = SyncedContext(
    patient_id="p1",
    patient_system=MRN,
    patient_number="MRN-1",
    status=Status.AVAILABLE,
    source="urn:imaging-cds:sync:main",
    endpoints=("Endpoint/main",),
    accession_system=ACCESSIONS,
    order="ServiceRequest/9",
)
ACSN = {
    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
    "system": ACCESSIONS,
    "value": "ACC-7",
}


def in_r4(study: ArchivedStudy = STUDY, context: SyncedContext = CONTEXT) -> dict[str, Any]:
    return synced_study(study, context, FhirVersion.R4)


def with_series(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = in_r4(replace(STUDY, series=(replace(CT, **changes),)))["series"][0]
    return made


def test_a_whole_study_is_valid_r4_and_read_back_as_it_was() -> None:
    made = in_r4()
    told = read_study(made)

    ImagingStudy.model_validate(made)
    assert isinstance(told, Told)
    assert (told.study_instance_uid, told.accession, told.patient_id) == (UID, "ACC-7", "p1")
    assert (told.started_text, told.description) == ("2026-10-01T10:11:12+01:00", "CT of the chest")
    assert (told.number_of_series, told.number_of_instances, told.endpoint_references) == (2, 3, ("Endpoint/main",))
    assert made["referrer"] == {"display": "Dr. Rosa Referrer"}


@pytest.mark.parametrize("version", FhirVersion)
def test_ihe_imr_has_uid_modality_start_and_endpoint(version: FhirVersion) -> None:
    made = synced_study(STUDY, CONTEXT, version)

    assert made["identifier"][0] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    assert (len(made["modality"]), made["started"], made["endpoint"]) == (
        2,
        "2026-10-01T10:11:12+01:00",
        [{"reference": "Endpoint/main"}],
    )


@pytest.mark.parametrize("started", ["2026-10-01", None])
def test_x13_a_start_is_what_reading_made_of_it_never_midnight(started: str | None) -> None:
    assert in_r4(replace(STUDY, started=started)).get("started") == started


def test_x14_the_subject_is_the_patient_that_was_resolved_with_the_number_beside_it() -> None:
    assert in_r4()["subject"] == {"reference": "Patient/p1", "identifier": {"system": MRN, "value": "MRN-1"}}


def test_x15_every_modality_is_there_with_acquisitions_first() -> None:
    assert [one["code"] for one in in_r4()["modality"]] == ["CT", "SR"]


@pytest.mark.parametrize("version", FhirVersion)
def test_x16_x17_the_same_study_is_the_same_resource_whenever_it_is_made(version: FhirVersion) -> None:
    grown = replace(STUDY, series=(REPORT, replace(CT, instance_count=3)))
    first, again = (synced_study(STUDY, CONTEXT, version) for _ in range(2))

    assert first == again
    assert synced_study(grown, CONTEXT, version)["identifier"] == first["identifier"]
    assert synced_study(grown, CONTEXT, version)["numberOfInstances"] == 4


def test_x18_r4_has_the_accession_number_twice_with_type_and_system() -> None:
    made = in_r4()

    assert made["identifier"][1:] == [ACSN]
    assert made["basedOn"] == [{"reference": "ServiceRequest/9", "type": "ServiceRequest", "identifier": ACSN}]


@pytest.mark.parametrize("version", FhirVersion)
def test_x18_m8_an_accession_number_without_namespace_is_words_and_no_identifier(version: FhirVersion) -> None:
    made = synced_study(STUDY, replace(CONTEXT, accession_system=None, order=None), version)

    assert len(made["identifier"]) == 1
    assert made["basedOn"] == [{"type": "ServiceRequest", "display": "Accession number ACC-7"}]


@pytest.mark.parametrize("version", FhirVersion)
def test_x18_r5_has_the_accession_number_in_based_on_alone(version: FhirVersion) -> None:
    made = synced_study(STUDY, replace(CONTEXT, order=None), version)

    assert made["basedOn"] == [{"type": "ServiceRequest", "identifier": ACSN}]
    assert (ACSN in made["identifier"]) is (version in (FhirVersion.R4, FhirVersion.R4B))
    assert "basedOn" not in synced_study(replace(STUDY, accession=None), replace(CONTEXT, order=None), version)


def test_x20_m3_the_chest_is_the_region_and_its_word_in_any_spelling_is_no_code() -> None:
    assert with_series()["bodySite"] == {"system": codes.SNOMED, "code": "816094009", "display": "Chest"}
    for spelling in ("Chest", "CHEST ", "Brustkorb?"):
        assert "bodySite" not in with_series(body_site=None, body_part=spelling)


def test_m3_words_without_a_code_describe_an_undescribed_series() -> None:
    assert with_series(body_site=None, body_part="Brustkorb?")["description"] == "Lung 1.0"
    assert with_series(body_site=None, body_part="Brustkorb?", description=None)["description"] == "Brustkorb?"
    assert with_series(body_site=Concept("Thorax?"), description=None)["description"] == "Thorax?"
    assert "description" not in with_series(description=None)


def test_m4_a_side_has_its_system_or_is_not_there() -> None:
    assert with_series()["laterality"] == {"system": codes.SNOMED, "code": "24028007", "display": "Right"}
    assert "laterality" not in with_series(laterality=Concept("R"))
    assert "laterality" not in with_series(laterality=None)


def test_m5_procedure_and_reason_keep_code_and_system_and_words_stay_text() -> None:
    made = in_r4()

    assert made["procedureCode"] == [
        {"coding": [{"system": "http://loinc.org", "code": "24627-2", "display": "CT chest"}]},
        {"text": "Thorax nativ"},
    ]
    assert [one["coding"][0]["system"] for one in made["reasonCode"]] == [codes.SNOMED]


@pytest.mark.parametrize(
    ("system", "code"), [("LN", "a"), ("http://a b", "a"), (codes.DCM, " a"), (codes.DCM, "a  b"), (codes.DCM, "")]
)
def test_m5_what_is_no_code_for_fhir_is_words(system: str, code: str) -> None:
    made = in_r4(replace(STUDY, procedures=(Concept("CT", system, code),)))

    assert made["procedureCode"] == [{"text": "CT"}]
    assert "procedureCode" not in in_r4(replace(STUDY, procedures=(Concept(" "),)))


def test_m1_m8_no_name_of_a_patient_and_no_profile_is_written() -> None:
    made = in_r4()

    assert made["meta"] == {"source": "urn:imaging-cds:sync:main"}
    assert "contained" not in made
    assert "display" not in made["subject"]


@pytest.mark.parametrize("version", FhirVersion)
def test_instances_are_listed_on_request_only(version: FhirVersion) -> None:
    plain = synced_study(STUDY, CONTEXT, version)
    full = synced_study(STUDY, replace(CONTEXT, with_instances=True), version)

    assert [len(one.get("instance", [])) for one in plain["series"]] == [0, 0]
    assert [one["uid"] for one in full["series"][1]["instance"]] == [f"{UID}.1.1", f"{UID}.1.2"]


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize("status", Status)
def test_a_study_that_only_has_a_uid_is_registered_all_the_same(version: FhirVersion, status: Status) -> None:
    bare = ArchivedStudy(uid=study_uid(UID), archives=("main",))
    made = synced_study(bare, replace(CONTEXT, status=status, resource_id=UID, endpoints=()), version)

    assert (made["id"], made["status"]) == (UID, status.value)
    assert set(made) == {"resourceType", "id", "meta", "identifier", "status", "modality", "subject", "basedOn"}
