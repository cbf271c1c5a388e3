"""What patient A's record holds besides her story: her daughter, images that are kept offline, and an unsigned report.

- Her daughter acts for her in the portal (RelatedPerson).
- 6 years ago: a chest radiograph before an operation. The archive has since moved it to tape: it still lists the study, as
  OFFLINE, and nobody gets the images until somebody brings them back.
- 1 day ago: a preliminary report on this year's CT about the coronary arteries. Nobody has signed it, so no patient sees it.
"""

from base64 import b64encode
from datetime import timedelta

from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import DemoCt
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.chart import Chart, accession
from ehr_sandbox.patients.elements import Json, concept, reference, study_of
from ehr_sandbox.patients.hospital import ORGANIZATION, RADIOLOGIST

_RADIOGRAPH_TEXT = "CHEST RADIOGRAPH PA\n\nLungs clear. Heart not enlarged. No effusion.\n\nImpression: Normal chest.\n"
_DICTATED = "Dictated, not signed: moderate calcification of the coronary arteries."


def portal_resources(chart: Chart, radiograph: DemoRadiograph, current: DemoCt) -> list[Json]:
    """What is said of them, in an order in which each refers only backwards."""
    return [_daughter(chart), _radiograph_report(chart, radiograph), _unsigned_report(chart, current)]


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


def _radiograph_report(chart: Chart, radiograph: DemoRadiograph) -> Json:
    """Without an order: it was asked for in a hospital whose orders are not here."""
    started = chart.calendar.at(radiograph.days_ago, radiograph.clock)
    return {
        "resourceType": "DiagnosticReport",
        "id": f"{radiograph.key}-report",
        "identifier": [accession(radiograph)],
        "status": "final",
        "category": [concept(codings.RADIOLOGY), concept(codings.LOINC_RADIOLOGY)],
        "code": concept(radiograph.procedure),
        "subject": chart.subject,
        "effectiveDateTime": started.isoformat(),
        "issued": (started + timedelta(minutes=radiograph.minutes_to_report)).isoformat(),
        "performer": [ORGANIZATION],
        "resultsInterpreter": [RADIOLOGIST],
        "imagingStudy": [study_of(radiograph)],
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
