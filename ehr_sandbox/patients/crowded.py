"""A patient with very many studies and a report on each, for trying long lists: `imaging-cds demo --crowded 1000`.

The images of these studies are in no archive, so nothing brings them into the record but this: what is tried is the list.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ehr_sandbox.demo_study import CHEST, MRN_SYSTEM, SITE_ZONE, Coding, uid_of
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.elements import Json, coding, concept, reference, transaction
from ehr_sandbox.patients.hospital import ORGANIZATION, RADIOLOGIST
from ehr_sandbox.settings import LARGEST_CROWD

CROWDED_KEY = "demo-crowded"
LARGEST = LARGEST_CROWD
"""More studies than anybody has."""
_A_BUNDLE = 400
_DAYS_BETWEEN = 4


@dataclass(frozen=True, slots=True)
class _Kind:
    """One sort of examination that keeps coming back."""

    modality: Coding
    procedure: Coding
    region: Coding
    words: str


_KINDS = (
    _Kind(codings.CT, codings.CHEST_CT, CHEST, "CT CHEST"),
    _Kind(codings.DX, codings.CHEST_XRAY, CHEST, "CHEST RADIOGRAPH PA"),
    _Kind(codings.CT, codings.ABDOMEN_PELVIS_CT, codings.ABDOMEN_AND_PELVIS, "CT ABDOMEN AND PELVIS"),
    _Kind(codings.DX, codings.CHEST_XRAY_IN_BED, CHEST, "CHEST RADIOGRAPH IN BED"),
)


def crowded_bundles(studies: int, *, demo_day: date, fhir_base: str) -> Iterator[Json]:
    """Transaction Bundles with the patient and so many studies, one every four days back from the demo day.

    ValueError for a number that cannot be meant.
    """
    if not 0 < studies <= LARGEST:
        raise ValueError(f"{studies} studies: between 1 and {LARGEST} are possible")
    resources = [_patient(), *(one for number in range(studies) for one in _examination(number, demo_day))]
    yield from (transaction(part, fhir_base) for part in _parts(resources))


def _parts(resources: Sequence[Json]) -> Iterator[Sequence[Json]]:
    for start in range(0, len(resources), _A_BUNDLE):
        yield resources[start : start + _A_BUNDLE]


def _patient() -> Json:
    identifier = {"use": "usual", "type": concept(codings.MEDICAL_RECORD_NUMBER), "system": MRN_SYSTEM, "value": "DEMO-1999"}
    return {
        "resourceType": "Patient",
        "id": CROWDED_KEY,
        "active": True,
        "identifier": [identifier],
        "name": [{"use": "official", "family": "Crowded", "given": ["Zoe"], "text": "Zoe Crowded"}],
        "gender": "female",
        "birthDate": "1950-02-01",
        "managingOrganization": ORGANIZATION,
    }


def _examination(number: int, demo_day: date) -> tuple[Json, Json]:
    kind = _KINDS[number % len(_KINDS)]
    day = demo_day - timedelta(days=2 + number * _DAYS_BETWEEN)
    started = datetime.combine(day, time(8 + number % 9, number * 7 % 60), tzinfo=SITE_ZONE)
    key = f"{CROWDED_KEY}-{number + 1:05d}"
    subject = reference(f"Patient/{CROWDED_KEY}", "Zoe Crowded")
    study = {
        "resourceType": "ImagingStudy",
        "id": key,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid_of(key)}"}],
        "status": "available",
        "modality": [coding(kind.modality)],
        "subject": subject,
        "started": started.isoformat(),
        "numberOfSeries": 1,
        "numberOfInstances": 1 + number % 120,
        "procedureCode": [concept(kind.procedure)],
        "description": kind.words,
        "series": [
            {"uid": uid_of(f"{key}/1"), "number": 1, "modality": coding(kind.modality), "bodySite": coding(kind.region)}
        ],
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": f"{key}-report",
        "status": "final",
        "category": [concept(codings.RADIOLOGY)],
        "code": concept(kind.procedure),
        "subject": subject,
        "effectiveDateTime": started.isoformat(),
        "issued": (started + timedelta(hours=4)).isoformat(),
        "performer": [ORGANIZATION],
        "resultsInterpreter": [RADIOLOGIST],
        "imagingStudy": [reference(f"ImagingStudy/{key}")],
        "conclusion": f"Examination {number + 1}: no change.",
    }
    return study, report
