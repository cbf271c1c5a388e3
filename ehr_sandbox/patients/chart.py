"""Builders of a demo patient's FHIR resources other than findings: who, when, which order, which report.

Studies are not among them: they come from the archive. Whatever names one does so by its Study Instance UID.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from hashlib import sha1

from ehr_sandbox.demo_study import ACCESSION_SYSTEM, MRN_SYSTEM, Coding, DemoCalendar, DemoExamination, DemoPerson
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.elements import UCUM, Json, coding, concept, reference, study_of
from ehr_sandbox.patients.hospital import GENERALIST, ORGANIZATION, RADIOLOGIST


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

    def encounter(self, reason: str, setting: Coding = codings.AMBULATORY, *, days_ago: int = 0) -> Json:
        """The visit in which the chart is opened, begun so many days ago. Known to the day: an hour might still be to come."""
        return {
            "resourceType": "Encounter",
            "id": f"{self.person.key}-encounter",
            "status": "in-progress",
            "class": coding(setting),
            "subject": self.subject,
            "participant": [{"individual": GENERALIST}],
            "period": {"start": (self.calendar.demo_day - timedelta(days=days_ago)).isoformat()},
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

    def order(self, ct: DemoExamination, *, days_before: int = 9) -> Json:
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
            "reasonCode": [{"text": ct.reason}],
        }

    def in_visit(self, resource: Json) -> Json:
        """The same resource, made in the visit in which the chart is opened."""
        return resource | {"encounter": reference(f"Encounter/{self.person.key}-encounter")}

    def open_order(self, name: str, procedure: Coding, reason: str, *, days_ago: int) -> Json:
        """A signed order that nobody has given a date yet."""
        return self.draft_order(name, procedure, reason) | {
            "status": "active",
            "authoredOn": self.calendar.at(days_ago, time(9, 20)).isoformat(),
            "performer": [ORGANIZATION],
        }

    def draft_order(self, name: str, procedure: Coding, reason: str) -> Json:
        """An order of today that nobody has signed."""
        return {
            "resourceType": "ServiceRequest",
            "id": f"{self.person.key}-{name}",
            "status": "draft",
            "intent": "order",
            "category": [concept(codings.RADIOLOGY)],
            "code": concept(procedure),
            "subject": self.subject,
            "authoredOn": self.calendar.demo_day.isoformat(),
            "requester": GENERALIST,
            "reasonCode": [{"text": reason}],
        }

    def problem(self, name: str, code: Coding, *, days_ago: int) -> Json:
        """An active problem, recorded so many days ago."""
        return {
            "resourceType": "Condition",
            "id": f"{self.person.key}-{name}",
            "clinicalStatus": concept(codings.ACTIVE),
            "verificationStatus": concept(codings.CONFIRMED),
            "category": [concept(codings.PROBLEM)],
            "code": concept(code),
            "subject": self.subject,
            "recordedDate": self.calendar.at(days_ago, time(9, 40)).isoformat(),
            "recorder": GENERALIST,
        }

    def kidney_function(self, egfr: int, *, days_ago: int) -> Json:
        """An estimated glomerular filtration rate of the laboratory, final."""
        drawn = self.calendar.at(days_ago, time(8, 5))
        unit = {"unit": "mL/min/1.73 m2", "system": UCUM, "code": "mL/min/{1.73_m2}"}
        return {
            "resourceType": "Observation",
            "id": f"{self.person.key}-egfr-{days_ago}",
            "status": "final",
            "category": [concept(codings.OBSERVATION_LABORATORY)],
            "code": concept(codings.EGFR, text="Estimated GFR (CKD-EPI 2021)"),
            "subject": self.subject,
            "effectiveDateTime": drawn.isoformat(),
            "issued": (drawn + timedelta(hours=4)).isoformat(),
            "performer": [ORGANIZATION],
            "valueQuantity": {"value": egfr, **unit},
        }

    def medication(self, name: str, codes: Sequence[Coding], dosage: str, *, days_ago: int) -> Json:
        """A medicine that was prescribed so many days ago and is still taken."""
        return {
            "resourceType": "MedicationRequest",
            "id": f"{self.person.key}-{name}",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": concept(*codes, text=dosage.partition(",")[0]),
            "subject": self.subject,
            "authoredOn": self.calendar.at(days_ago, time(9, 40)).isoformat(),
            "requester": GENERALIST,
            "dosageInstruction": [{"text": dosage}],
        }

    def report(
        self,
        ct: DemoExamination,
        *,
        text: str,
        conclusion: str,
        results: Sequence[Json] = (),
        conclusion_codes: Sequence[Coding] = (),
    ) -> Json:
        """The signed radiology report; `text` is what the radiologist wrote, `conclusion` its impression."""
        issued = self.calendar.at(ct.days_ago, ct.clock) + timedelta(minutes=ct.minutes_to_report)
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
            **({"result": [reference(f"Observation/{one['id']}") for one in results]} if results else {}),
            "imagingStudy": [study_of(ct)],
            "conclusion": conclusion,
            **({"conclusionCode": [concept(code) for code in conclusion_codes]} if conclusion_codes else {}),
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


def accession(ct: DemoExamination) -> Json:
    """The accession number as an Identifier with the namespace of its issuer."""
    return {"type": concept(codings.ACCESSION_ID), "system": ACCESSION_SYSTEM, "value": ct.accession}
