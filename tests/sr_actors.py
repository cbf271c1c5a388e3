"""Structured reports for tests, built by highdicom from synthetic images, and the FHIR results that they become."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    GraphicTypeValues3D,
    ImageRegion,
    ImageRegion3D,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dicom
from pydicom.uid import UID, CTImageStorage

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings import codes
from pacs_sync.report_document import Document, NothingToBring
from pacs_sync.result_mapping import OtherStudy, ResultContext, Results, results_of
from pacs_sync.structured_report import read_report

STUDY_REFERENCE = "ImagingStudy?identifier=urn:dicom:uid|urn:oid:2.25.600"
AI_LABEL = ("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "AIAST")
PULMONARY_EMBOLISM = CodedConcept("59282003", "SCT", "Pulmonary embolism")
ABSENT = CodedConcept("2667000", "SCT", "Absent")
STUDY = StudyInstanceUID("2.25.600")
OTHER_STUDY = StudyInstanceUID("2.25.700")
STARTED = "2026-11-18T09:12:00+01:00"
LESION = "2.25.6001"
SCHEMES = {"99SITE": codes.LUNG_RADS, "99NODULE": codes.NODULE}
MILLIMETRE = CodedConcept("mm", "UCUM", "millimeter")
CENTIMETRE = CodedConcept("cm", "UCUM", "centimeter")
NODULE = CodedConcept("27925004", "SCT", "Nodule")
UPPER_LOBE = CodedConcept("45653009", "SCT", "Upper lobe of lung")
RIGHT = CodedConcept("24028007", "SCT", "Right")
DIAMETER = CodedConcept("81827009", "SCT", "Diameter")
LONG_AXIS = CodedConcept("103339001", "SCT", "Long Axis")
SHORT_AXIS = CodedConcept("103340004", "SCT", "Short Axis")
MEAN = CodedConcept("373098007", "SCT", "Mean")
MAXIMUM = CodedConcept("56851009", "SCT", "Maximum")
CATEGORY = CodedConcept("1362105002", "SCT", "Lung Imaging Reporting and Data System category")
PROGRAM = AlgorithmIdentification(name="Nodule Finder", version="2.1", manufacturer="Synthetic Maker")
Json = dict[str, Any]


def an_image(study: str = STUDY, number: int = 1) -> Dataset:
    """The header of a slice, as far as reports copy it."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, UID(f"{study}.1.{number}")
    image.StudyInstanceUID, image.SeriesInstanceUID = UID(study), UID(f"{study}.1")
    image.FrameOfReferenceUID = UID(f"{study}.9")
    image.Rows = image.Columns = 512
    image.Modality = "CT"
    image.StudyDate, image.StudyTime = "20261118", "091200"
    image.PatientID, image.IssuerOfPatientID = "SYN-1", "DEMO"
    image.PatientName, image.PatientBirthDate, image.PatientSex = "Synthetic^One", "19640101", "F"
    image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
    return image


def size(name: CodedConcept, value: float, unit: CodedConcept = MILLIMETRE, **more: Any) -> Measurement:
    """One measured length."""
    return Measurement(name=name, value=value, unit=unit, **more)


def evaluated(name: CodedConcept, value: CodedConcept) -> QualitativeEvaluation:
    """One qualitative evaluation."""
    return QualitativeEvaluation(name=name, value=value)


def lung_rads(category: str = "4A", *, version: str | None = "2022") -> QualitativeEvaluation:
    """A category in the site's own scheme."""
    return evaluated(CATEGORY, CodedConcept(category, "99SITE", f"Lung-RADS {category}", scheme_version=version))


def a_nodule(  # noqa: PLR0913 - every part of a group may be the one that a test is about
    *evaluations: QualitativeEvaluation,
    measurements: Sequence[Measurement] = (),
    lesion: str = LESION,
    finding: CodedConcept | None = NODULE,
    algorithm: AlgorithmIdentification | None = PROGRAM,
    image: Dataset | None = None,
    in_space: bool = False,
    site: CodedConcept | None = UPPER_LOBE,
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """A measurement group (TID 1410) with an ellipse on one slice, or in space."""
    source = image or an_image()
    points = np.array([[10.0, 20.0], [30.0, 20.0], [20.0, 15.0], [20.0, 25.0]])
    corners = np.array([[1.0, 1.0, 5.0], [3.0, 1.0, 5.0], [3.0, 3.0, 5.0], [1.0, 1.0, 5.0]])
    region = (
        ImageRegion3D(GraphicTypeValues3D.POLYGON, corners, frame_of_reference_uid=source.FrameOfReferenceUID)
        if in_space
        else ImageRegion(GraphicTypeValues.ELLIPSE, points, SourceImageForRegion.from_source_image(source))
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=UID(lesion), identifier="Nodule 1"),
        referenced_region=region,
        finding_type=finding,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(anatomic_location=site, laterality=RIGHT)] if site else None,
        measurements=list(measurements),
        qualitative_evaluations=list(evaluations),
    )


def unregioned(*measurements: Measurement, finding: CodedConcept | None = NODULE) -> MeasurementsAndQualitativeEvaluations:
    """A measurement group without region (TID 1501)."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=UID(LESION), identifier="Nodule 1"),
        source_images=[SourceImageForMeasurementGroup.from_source_image(an_image())],
        finding_type=finding,
        algorithm_id=PROGRAM,
        measurements=list(measurements),
    )


@dataclass(kw_only=True)
class AReport:
    """A TID 1500 report and what may be odd about it."""

    number: int = 1
    groups: Sequence[Any] = field(default_factory=lambda: [a_nodule(lung_rads())])
    images: Sequence[Dataset] = field(default_factory=lambda: [an_image()])
    person: str | None = None
    device: str | None = "Nodule Finder"
    is_complete: bool = True
    verified_by: str | None = None
    replaces: Sequence[Dataset] = ()
    lies_in: str | None = None
    at: datetime = datetime(2026, 11, 18, 9, 20)  # noqa: DTZ001 - DICOM's times stand beside their zone

    def dataset(self) -> Dataset:
        """The DICOM object."""
        observers = ObservationContext(
            observer_person_context=_person(self.person) if self.person else None,
            observer_device_context=_device(self.device) if self.device else None,
        )
        content = MeasurementReport(
            observation_context=observers,
            procedure_reported=CodedConcept("79086-5", "LN", "CT Chest for screening WO contrast"),
            imaging_measurements=list(self.groups),
            title=dicom.DCM.ImagingMeasurementReport,
        )
        kind = Comprehensive3DSR if any("SCOORD3D" in str(one) for one in self.groups) else ComprehensiveSR
        made = kind(
            evidence=list(self.images),
            content=content[0],
            series_instance_uid=UID("2.25.6100"),
            series_number=100,
            sop_instance_uid=UID(f"2.25.6200.{self.number}"),
            instance_number=self.number,
            manufacturer="Synthetic Maker",
            is_complete=self.is_complete,
            is_verified=self.verified_by is not None,
            is_final=self.verified_by is not None,
            verifying_observer_name=self.verified_by,
            verifying_organization="Synthetic Hospital" if self.verified_by else None,
            institution_name="Synthetic Hospital",
            previous_versions=list(self.replaces) or None,
            record_evidence=True,
        )
        if self.lies_in:
            made.StudyInstanceUID = self.lies_in
        for name, words in (("ContentDate", "%Y%m%d"), ("ContentTime", "%H%M%S")):
            setattr(made, name, self.at.strftime(words))
        made.TimezoneOffsetFromUTC = "+0100"
        for one in made.get("VerifyingObserverSequence", []):
            one.VerificationDateTime = "20261118110000"
        result: Dataset = made
        return result

    def json(self) -> Json:
        """As WADO-RS metadata gives it."""
        made: Json = json.loads(json.dumps(self.dataset().to_json_dict(), default=str))
        return made

    def read(self) -> Document | NothingToBring:
        """What is read of it."""
        return read_report(self.json())


def document(report: AReport) -> Document:
    """What is read of a report that has something to bring over."""
    read = report.read()
    assert isinstance(read, Document), read
    return read


def mapped(
    *reports: AReport | Mapping[str, Any],
    version: FhirVersion = FhirVersion.R4,
    others: Mapping[StudyInstanceUID, OtherStudy] | None = None,
    patient: str = "SYN-1",
    schemes: Mapping[str, str] = SCHEMES,
) -> Results:
    """What the reports of the study become."""
    context = ResultContext(
        subject="Patient/p",
        study=STUDY,
        started=STARTED,
        patients=(PatientNumber(number=patient, issuer="DEMO"),),
        other_studies=others or {},
        schemes=schemes,
    )
    return results_of([one.read() if isinstance(one, AReport) else read_report(one) for one in reports], context, version)


def of_type(results: Results, resource_type: str) -> list[Json]:
    """The resources of one type."""
    return [one for one in results.resources if one["resourceType"] == resource_type]


def observation(results: Results) -> Json:
    """The one Observation."""
    (found,) = of_type(results, "Observation")
    return found


def identity(resource: Json) -> str:
    """By what it is found again."""
    return str(resource["identifier"][0]["value"])


def is_labelled(resource: Json) -> bool:
    """Whether it says that a program asserts it."""
    return any((one["system"], one["code"]) == AI_LABEL for one in resource.get("meta", {}).get("security", []))


def change_number(report: Json, *, value: float | None, qualifier: str) -> None:
    """Makes the report's numbers qualified ones."""
    for one in report.get("0040A730", {}).get("Value", []):
        if one["0040A040"]["Value"] == ["NUM"]:
            if value is None:
                one["0040A300"] = {"vr": "SQ"}
            stated = {"00080100": {"Value": [qualifier]}, "00080102": {"Value": ["DCM"]}, "00080104": {"Value": ["Qualified"]}}
            one["0040A301"] = {"vr": "SQ", "Value": [stated]}
        change_number(one, value=value, qualifier=qualifier)


def later() -> datetime:
    """When a second report was written."""
    return datetime(2026, 11, 18, 10, 0)  # noqa: DTZ001 - DICOM's times stand beside their zone


def component(observation: Json, code: str) -> Json:
    """The component with this code, by its code alone."""
    found: list[Json] = [
        one for one in observation["component"] if any(it.get("code") == code for it in one["code"].get("coding", []))
    ]
    assert len(found) == 1, found
    return found[0]


def _person(name: str) -> ObserverContext:
    return ObserverContext(dicom.DCM.Person, PersonObserverIdentifyingAttributes(name=name))


def _device(name: str) -> ObserverContext:
    return ObserverContext(dicom.DCM.Device, DeviceObserverIdentifyingAttributes(uid=UID("2.25.6300"), name=name))
