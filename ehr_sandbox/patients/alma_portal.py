"""What patient A's record holds besides her story: her daughter, images that are kept offline, and an unsigned report.

- Her daughter acts for her in the portal (RelatedPerson).
- 6 years ago: a chest radiograph before an operation. The film library has the films and keeps its own record of them: the one
  study here that does not come from the archive, since no DICOM was ever made of it. So no Endpoint is named.
- 1 day ago: a preliminary report on this year's CT about the coronary arteries. Nobody has signed it, so no patient sees it.
"""

from base64 import b64encode
from datetime import time, timedelta

from ehr_sandbox.demo_study import CHEST, DemoCt, uid_of
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart, accession
from ehr_sandbox.patients.elements import Json, coding, concept, reference, study_of
from ehr_sandbox.patients.hospital import ORGANIZATION, RADIOLOGIST

RADIOGRAPH_KEY = "demo-a-dx-archived"
RADIOGRAPH_DAYS_AGO = 2197
FILM_LIBRARY = "https://imaging-cds.example/demo/film-library"
AVAILABILITY = "https://imaging-cds.example/fhir/StructureDefinition/instance-availability"
"""R4 has no element for it; DICOM's word (0008,0056) stands in an extension."""

_RADIOGRAPH_TEXT = "CHEST RADIOGRAPH PA\n\nLungs clear. Heart not enlarged. No effusion.\n\nImpression: Normal chest.\n"
_DICTATED = "Dictated, not signed: moderate calcification of the coronary arteries."


def portal_resources(chart: Chart, current: DemoCt) -> list[Json]:
    """The three, in an order in which each refers only backwards."""
    study = _radiograph(chart)
    return [_daughter(chart), study, _radiograph_report(chart, study), _unsigned_report(chart, current)]


def _daughter(chart: Chart) -> Json:
    return {
        "resourceType": "RelatedPerson",
        "id": f"{chart.person.key}-daughter",
        "active": True,
        "patient": chart.subject,
        "relationship": [concept(codings.CHILD, text="daughter")],
        "name": [{"use": "official", "family": "Synthetic", "given": ["Bea"], "text": "Bea Synthetic"}],
        "gender": "female",
    }


def _radiograph(chart: Chart) -> Json:
    started = chart.calendar.at(RADIOGRAPH_DAYS_AGO, time(14, 20)).isoformat()
    series = {
        "uid": uid_of(f"{RADIOGRAPH_KEY}/dx"),
        "number": 1,
        "modality": coding(codings.DX),
        "description": "Chest PA",
        "numberOfInstances": 2,
        "bodySite": coding(CHEST),
        "started": started,
    }
    return {
        "resourceType": "ImagingStudy",
        "id": RADIOGRAPH_KEY,
        "meta": {"source": FILM_LIBRARY},
        "extension": [{"url": AVAILABILITY, "valueCode": "OFFLINE"}],
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid_of(RADIOGRAPH_KEY)}"}],
        "status": "available",
        "modality": [coding(codings.DX)],
        "subject": chart.subject,
        "started": started,
        "interpreter": [RADIOLOGIST],
        "numberOfSeries": 1,
        "numberOfInstances": 2,
        "procedureCode": [concept(codings.CHEST_XRAY)],
        "description": "CHEST RADIOGRAPH PA AND LATERAL",
        "series": [series],
    }


def _radiograph_report(chart: Chart, study: Json) -> Json:
    issued = chart.calendar.at(RADIOGRAPH_DAYS_AGO, time(17, 5)).isoformat()
    return {
        "resourceType": "DiagnosticReport",
        "id": f"{RADIOGRAPH_KEY}-report",
        "status": "final",
        "category": [concept(codings.RADIOLOGY), concept(codings.LOINC_RADIOLOGY)],
        "code": concept(codings.CHEST_XRAY),
        "subject": chart.subject,
        "effectiveDateTime": study["started"],
        "issued": issued,
        "performer": [ORGANIZATION],
        "resultsInterpreter": [RADIOLOGIST],
        "imagingStudy": [reference(f"ImagingStudy/{RADIOGRAPH_KEY}")],
        "conclusion": _RADIOGRAPH_TEXT.rpartition("Impression: ")[2].strip(),
        "presentedForm": [_as_text(_RADIOGRAPH_TEXT)],
    }


def _unsigned_report(chart: Chart, current: DemoCt) -> Json:
    dictated = chart.calendar.at(current.days_ago, current.clock) + timedelta(days=2)
    return {
        "resourceType": "DiagnosticReport",
        "id": f"{current.key}-heart-report",
        "identifier": [accession(current)],
        "basedOn": [reference(f"ServiceRequest/{current.key}-order")],
        "status": "preliminary",
        "category": [concept(codings.RADIOLOGY), concept(codings.LOINC_RADIOLOGY)],
        "code": concept(current.procedure, text="Coronary arteries on the screening CT"),
        "subject": chart.subject,
        "effectiveDateTime": chart.calendar.at(current.days_ago, current.clock).isoformat(),
        "issued": dictated.isoformat(),
        "performer": [ORGANIZATION],
        "imagingStudy": [study_of(current)],
        "conclusion": _DICTATED,
        "presentedForm": [_as_text(_DICTATED)],
    }


def _as_text(words: str) -> Json:
    return {"contentType": "text/plain; charset=utf-8", "data": b64encode(words.encode()).decode()}
