"""Studies of a deliberately faulty imaging server: three of patient A, one of them partly closed, and one of patient B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STUDY_A, SECOND_A, CLOSED_A, STUDY_B = "2.25.4001", "2.25.4002", "2.25.4003", "2.25.4101"
BOUNDARY = "between-the-parts"
INTERNAL = "http://archive.internal:8042/dicom-web"


@dataclass(frozen=True, slots=True)
class Study:
    """One study of one series with two instances."""

    uid: str
    patient: str
    modality: str

    @property
    def series(self) -> str:
        return f"{self.uid}.1"

    @property
    def instances(self) -> tuple[str, str]:
        return (f"{self.series}.1", f"{self.series}.2")


STUDIES = {
    one.uid: one
    for one in (
        Study(STUDY_A, "pat-a", "CT"),
        Study(SECOND_A, "pat-a", "MR"),
        Study(CLOSED_A, "pat-a", "CT"),
        Study(STUDY_B, "pat-b", "CT"),
    )
}


def dataset(study: Study, instance: str, root: str, bulk_root: str) -> dict[str, Any]:
    """One instance as DICOM JSON; ``root`` is the DICOMweb address that it names, ``bulk_root`` that of its large values."""
    base, mark, capability = bulk_root.partition("?")
    there = f"{root}/studies/{study.uid}/series/{study.series}/instances/{instance}"
    return {
        "0020000D": {"vr": "UI", "Value": [study.uid]},
        "0020000E": {"vr": "UI", "Value": [study.series]},
        "00080018": {"vr": "UI", "Value": [instance]},
        "00080060": {"vr": "CS", "Value": [study.modality]},
        "00081190": {"vr": "UR", "Value": [there]},
        "00280010": {"vr": "US", "Value": [2]},
        "00409096": {
            "vr": "SQ",
            "Value": [{"7FE00010": {"vr": "OW", "BulkDataURI": f"{base}/studies/{study.uid}/bulkdata/1{mark}{capability}"}}],
        },
    }


def listed(study: Study, root: str) -> dict[str, Any]:
    """The study as QIDO-RS lists it."""
    return {
        "0020000D": {"vr": "UI", "Value": [study.uid]},
        "00081190": {"vr": "UR", "Value": [f"{root}/studies/{study.uid}"]},
    }


def parts(bodies: list[bytes], part_type: str, *, location: str | None = None) -> tuple[bytes, str]:
    """A multipart/related body and its Content-Type."""
    headers = f"--{BOUNDARY}\r\nContent-Type: {part_type}\r\n"
    headers += f"Content-Location: {location}/instances/1\r\n" if location else ""
    joined = b"".join(f"{headers}\r\n".encode() + body + b"\r\n" for body in bodies)
    return joined + f"--{BOUNDARY}--\r\n".encode(), f'multipart/related; type="{part_type}"; boundary={BOUNDARY}'


def imaging_study(study: Study, endpoint: str, patient_base: str) -> dict[str, Any]:
    """The study as FHIR R4."""
    return {
        "resourceType": "ImagingStudy",
        "id": study.uid,
        "meta": {"lastUpdated": "2026-11-20T08:00:00Z"},
        "identifier": [
            {"system": "https://hospital.example/accession", "value": f"A{study.uid[-4:]}"},
            {"system": "urn:dicom:uid", "value": f"urn:oid:{study.uid}"},
        ],
        "status": "available",
        "subject": {"reference": f"{patient_base}/Patient/{study.patient}"},
        "started": "2026-11-19",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": study.modality}],
        "endpoint": [{"reference": endpoint}],
        "numberOfSeries": 1,
        "numberOfInstances": 2,
        "series": [
            {
                "uid": study.series,
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": study.modality},
                "instance": [
                    {"uid": uid, "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"}}
                    for uid in study.instances
                ],
            }
        ],
    }
