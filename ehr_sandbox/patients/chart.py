"""Builders of a demo patient's FHIR resources other than findings: who, when, which order, which study, which report."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from hashlib import sha1

from ehr_sandbox.demo_sr import AI_MINUTES_AFTER_SCAN
from ehr_sandbox.demo_study import ACCESSION_SYSTEM, MRN_SYSTEM, Coding, DemoCalendar, DemoCt, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.elements import Json, coding, concept, reference
from ehr_sandbox.patients.hospital import ENDPOINT, GENERALIST, ORGANIZATION, RADIOLOGIST

_CT_IMAGE = "urn:oid:1.2.840.10008.5.1.4.1.1.2"
_HOURS_TO_REPORT = timedelta(hours=3, minutes=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The chart of one person on the demo day; its methods write the resources."""

    person: DemoPerson
    calendar: DemoCalendar

    @property
    def subject(self) -> Json:
        """Reference to the patient."""
        return reference(f"Patient/{self.person.key}", f"{self.person.given} {self.person.family}")

    def patient(self) -> Json:
        """Patient with the medical record number that the images carry as PatientID."""
        person = self.person
        name = f"{person.given} {person.family}"
        return {
            "resourceType": "Patient",
            "id": person.key,
            "active": True,
            "identifier": [
                {"use": "usual", "type": concept(codings.MEDICAL_RECORD_NUMBER), "system": MRN_SYSTEM, "value": person.mrn}
            ],
            "name": [{"use": "official", "family": person.family, "given": [person.given], "text": name}],
            "gender": {"F": "female", "M": "male"}[person.sex],
            "birthDate": self.calendar.birth_date(person.age, person.birthday).isoformat(),
            "generalPractitioner": [GENERALIST],
            "managingOrganization": ORGANIZATION,
        }

    def encounter(self, reason: str) -> Json:
        """The visit of the demo day, in which the chart is opened. Known to the day: an hour might still be to come."""
        return {
            "resourceType": "Encounter",
            "id": f"{self.person.key}-encounter",
            "status": "in-progress",
            "class": coding(codings.AMBULATORY),
            "subject": self.subject,
            "participant": [{"individual": GENERALIST}],
            "period": {"start": self.calendar.demo_day.isoformat()},
            "reasonCode": [{"text": reason}],
            "serviceProvider": ORGANIZATION,
        }

    def smoking_status(self, status: Coding, note: str) -> Json:
        """Tobacco smoking status as recorded half a year ago."""
        return {
            "resourceType": "Observation",
            "id": f"{self.person.key}-smoking",
            "status": "final",
            "category": [concept(codings.OBSERVATION_SOCIAL)],
            "code": concept(codings.SMOKING_STATUS),
            "subject": self.subject,
            "effectiveDateTime": self.calendar.at(183, time(9, 10)).isoformat(),
            "performer": [GENERALIST],
            "valueCodeableConcept": concept(status),
            "note": [{"text": note}],
        }

    def order(self, ct: DemoCt, reason: str, *, days_before: int = 9) -> Json:
        """The completed order of an examination, with its accession number."""
        start = self.calendar.at(ct.days_ago, ct.clock)
        return {
            "resourceType": "ServiceRequest",
            "id": f"{ct.key}-order",
            "identifier": [accession(ct)],
            "status": "completed",
            "intent": "order",
            "category": [concept(codings.RADIOLOGY)],
            "code": concept(ct.procedure),
            "subject": self.subject,
            "occurrenceDateTime": start.isoformat(),
            "authoredOn": (start - timedelta(days=days_before)).isoformat(),
            "requester": GENERALIST,
            "performer": [ORGANIZATION],
            "reasonCode": [{"text": reason}],
        }

    def imaging_study(self, ct: DemoCt, reason: str) -> Json:
        """The study as the PACS holds it, series by series."""
        start = self.calendar.at(ct.days_ago, ct.clock)
        series = [self._ct_series(ct)] + ([self._ai_series(ct)] if ct.with_ai_report else [])
        modalities = [codings.CT] + ([codings.SR] if ct.with_ai_report else [])
        return {
            "resourceType": "ImagingStudy",
            "id": ct.key,
            "identifier": [
                {"system": "urn:dicom:uid", "value": f"urn:oid:{ct.study_instance_uid}"},
                accession(ct),
            ],
            "status": "available",
            "modality": [coding(one) for one in modalities],
            "subject": self.subject,
            "started": start.isoformat(),
            "basedOn": [reference(f"ServiceRequest/{ct.key}-order")],
            "referrer": GENERALIST,
            "interpreter": [RADIOLOGIST],
            "endpoint": [ENDPOINT],
            "numberOfSeries": len(series),
            "numberOfInstances": sum(one["numberOfInstances"] for one in series),
            "procedureCode": [concept(ct.procedure)],
            "reasonCode": [{"text": reason}],
            "description": ct.description,
            "series": series,
        }

    def _ct_series(self, ct: DemoCt) -> Json:
        grid = ct.phantom.grid
        return {
            "uid": ct.series_instance_uid,
            "number": 2,
            "modality": coding(codings.CT),
            "description": f"Chest axial {grid.slice_spacing:.1f} mm",
            "numberOfInstances": grid.slices,
            "bodySite": coding(codings.CHEST),
            "started": (self.calendar.at(ct.days_ago, ct.clock) + timedelta(minutes=2)).isoformat(),
            "instance": [
                {
                    "uid": ct.sop_instance_uid(ct.nodule_slice),
                    "sopClass": {"system": "urn:ietf:rfc:3986", "code": _CT_IMAGE},
                    "number": ct.nodule_slice + 1,
                    "title": "Slice through the nodule",
                }
            ],
        }

    def _ai_series(self, ct: DemoCt) -> Json:
        made = self.calendar.at(ct.days_ago, ct.clock) + timedelta(minutes=AI_MINUTES_AFTER_SCAN)
        return {
            "uid": ct.report_series_instance_uid,
            "number": 100,
            "modality": coding(codings.SR),
            "description": "AI lung nodule result",
            "numberOfInstances": 1,
            "bodySite": coding(codings.CHEST),
            "started": made.isoformat(),
        }

    def report(self, ct: DemoCt, *, text: str, conclusion: str, results: Sequence[Json]) -> Json:
        """The signed radiology report; `text` is what the radiologist wrote, `conclusion` its impression."""
        issued = self.calendar.at(ct.days_ago, ct.clock) + _HOURS_TO_REPORT
        written = text.encode()
        return {
            "resourceType": "DiagnosticReport",
            "id": f"{ct.key}-report",
            "identifier": [accession(ct)],
            "basedOn": [reference(f"ServiceRequest/{ct.key}-order")],
            "status": "final",
            "category": [concept(codings.RADIOLOGY), concept(codings.LOINC_RADIOLOGY)],
            "code": concept(ct.procedure),
            "subject": self.subject,
            "effectiveDateTime": self.calendar.at(ct.days_ago, ct.clock).isoformat(),
            "issued": issued.isoformat(),
            "performer": [ORGANIZATION],
            "resultsInterpreter": [RADIOLOGIST],
            "result": [reference(f"Observation/{one['id']}") for one in results],
            "imagingStudy": [reference(f"ImagingStudy/{ct.key}")],
            "conclusion": conclusion,
            "presentedForm": [
                {
                    "contentType": "text/plain; charset=utf-8",
                    "language": "en",
                    "data": b64encode(written).decode(),
                    "size": len(written),
                    # FHIR R4 defines Attachment.hash as SHA-1; it guards nothing here.
                    "hash": b64encode(sha1(written, usedforsecurity=False).digest()).decode(),
                    "title": ct.description,
                    "creation": issued.isoformat(),
                }
            ],
        }


def accession(ct: DemoCt) -> Json:
    """The accession number as an Identifier with the namespace of its issuer."""
    return {"type": concept(codings.ACCESSION_ID), "system": ACCESSION_SYSTEM, "value": ct.accession}
