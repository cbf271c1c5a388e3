"""What a chart page says about a patient, read tolerantly from FHIR R4 JSON: one odd resource must not empty the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import Any

from ehr_sandbox.chart_times import local_moment, shown_time

_SEXES = {"male": "Male", "female": "Female", "other": "Other", "unknown": "Unknown sex"}
_MRN_TYPE = "MR"
# An appointment of one of these statuses holds no place for its order any more.
_LAPSED = frozenset({"cancelled", "noshow", "entered-in-error"})
# An appointment of one of these is still to be kept, so it can be cancelled.
STANDING = frozenset({"proposed", "pending", "booked", "waitlist"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """Who the chart is about. `age_years` counts completed years; absent when no full birth date is known."""

    patient_id: str
    name: str
    birth_date: str
    age_years: int | None
    sex: str
    mrn: str
    is_deceased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a chart section. `day` is a FHIR date (YYYY-MM-DD, shorter if the record is).

    `study_id` is the id of an ImagingStudy whose images can be opened from the line, `order_id` that of a ServiceRequest
    with which something can be done from the line, and `booked` the day for which that order is booked. `reference` names
    an order of any type (`Type/id`), `appointment_id` an appointment that can be cancelled. `is_out_of_reach`: images that
    somebody has to fetch, or that nobody gets.
    """

    day: str
    title: str
    facts: tuple[str, ...]
    status: str
    text: str = ""
    study_id: str = ""
    order_id: str = ""
    booked: str = ""
    reference: str = ""
    appointment_id: str = ""
    is_out_of_reach: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of the chart. `missing` says why it is empty when that is not because there is nothing.

    `total` is how many the record has, where that is known and more than are shown.
    """

    key: str
    heading: str
    rows: tuple[Row, ...]
    missing: str = ""
    total: int | None = None


def read_banner(patient: Mapping[str, Any], today: date) -> Banner:
    """The banner of a Patient resource."""
    birth_date = _text(patient.get("birthDate"))
    return Banner(
        patient_id=_text(patient.get("id")),
        name=read_name(patient),
        birth_date=birth_date,
        age_years=_age(birth_date, today),
        sex=_SEXES.get(_text(patient.get("gender")), "Unknown sex"),
        mrn=_mrn(patient),
        is_deceased=bool(patient.get("deceasedBoolean") or patient.get("deceasedDateTime")),
    )


def read_name(patient: Mapping[str, Any]) -> str:
    """Family name first, as charts sort them; the official or usual name before others."""
    names = sorted(_objects(patient.get("name")), key=lambda name: name.get("use") not in ("official", "usual"))
    if not names:
        return "Unnamed patient"
    given = " ".join(part for part in _list(names[0].get("given")) if isinstance(part, str))
    pieces = [piece for piece in (_text(names[0].get("family")), given) if piece]
    return ", ".join(pieces) or _text(names[0].get("text")) or "Unnamed patient"


def encounter_row(encounter: Mapping[str, Any]) -> Row:
    kinds = [concept_text(kind) for kind in _objects(encounter.get("type"))]
    encounter_class = _object(encounter.get("class"))
    title = next(filter(None, kinds), "") or _text(encounter_class.get("display")) or "Encounter"
    reasons = tuple(concept_text(reason) for reason in _objects(encounter.get("reasonCode")))
    return Row(
        day=_day(_object(encounter.get("period")).get("start")),
        title=title,
        facts=tuple(filter(None, reasons)),
        status=_text(encounter.get("status")),
    )


def condition_row(condition: Mapping[str, Any]) -> Row:
    status = _objects(_object(condition.get("clinicalStatus")).get("coding"))
    return Row(
        day=_day(condition.get("onsetDateTime") or condition.get("recordedDate")),
        title=concept_text(condition.get("code")) or "Condition",
        facts=(),
        status=_text(status[0].get("code")) if status else "",
    )


def report_row(report: Mapping[str, Any]) -> Row:
    performers = (
        _text(performer.get("display"))
        for member in ("resultsInterpreter", "performer")
        for performer in _objects(report.get(member))
    )
    return Row(
        day=_day(report.get("effectiveDateTime") or report.get("issued")),
        title=concept_text(report.get("code")) or "Report",
        facts=tuple(dict.fromkeys(filter(None, performers))),
        status=_text(report.get("status")),
        text=_text(report.get("conclusion")),
    )


def imaging_row(study: Mapping[str, Any]) -> Row:
    modalities = (_text(modality.get("code")) for modality in _objects(study.get("modality")))
    counts = (_count(study.get("numberOfSeries"), "series"), _count(study.get("numberOfInstances"), "images"))
    availability = next((words for one in _objects(study.get("extension")) if (words := _AWAY.get(_availability(one)))), "")
    return Row(
        day=_day(study.get("started")),
        title=_text(study.get("description")) or "Imaging study",
        facts=tuple(filter(None, ("/".join(filter(None, modalities)), *counts, availability))),
        status=_text(study.get("status")),
        study_id=_text(study.get("id")),
        is_out_of_reach=bool(availability),
    )


_AWAY = {"OFFLINE": "images kept offline", "UNAVAILABLE": "images no longer there"}


def _availability(extension: Mapping[str, Any]) -> str:
    """DICOM's Instance Availability, whoever's extension for it this is."""
    is_it = _text(extension.get("url")).endswith("instance-availability")
    return _text(extension.get("valueCode")) if is_it else ""


def observation_row(observation: Mapping[str, Any]) -> Row:
    components = (
        f"{concept_text(component.get('code'))}: {_value(component)}"
        for component in _objects(observation.get("component"))
        if _value(component)
    )
    device = _text(_object(observation.get("device")).get("display"))
    return Row(
        day=_day(observation.get("effectiveDateTime") or observation.get("issued")),
        title=concept_text(observation.get("code")) or "Observation",
        facts=tuple(filter(None, (_value(observation), *components, device))),
        status=_text(observation.get("status")),
    )


def medication_row(medication: Mapping[str, Any]) -> Row:
    dosages = tuple(_text(dosage.get("text")) for dosage in _objects(medication.get("dosageInstruction")))
    return Row(
        day=_day(medication.get("authoredOn")),
        title=concept_text(medication.get("medicationCodeableConcept")) or "Medication",
        facts=tuple(filter(None, dosages)),
        status=_text(medication.get("status")),
        reference=f"MedicationRequest/{_text(medication.get('id'))}",
    )


def order_row(order: Mapping[str, Any]) -> Row:
    period = _object(order.get("occurrencePeriod"))
    first = _day(order.get("occurrenceDateTime") or period.get("start"))
    last = _day(period.get("end"))
    wanted = f"for {first} to {last}" if first and last else f"for {first}" if first else ""
    reasons = tuple(concept_text(reason) for reason in _objects(order.get("reasonCode")))
    notes = tuple(_text(note.get("text")) for note in _objects(order.get("note")))
    return Row(
        day=_day(order.get("authoredOn")),
        title=concept_text(order.get("code")) or "Order",
        facts=tuple(filter(None, (wanted, *reasons))),
        status=_text(order.get("status")),
        text="\n".join(filter(None, notes)),
        order_id=_text(order.get("id")),
        reference=f"ServiceRequest/{_text(order.get('id'))}",
    )


def draft_row(order: Mapping[str, Any]) -> Row:
    """The row of an order of whatever type can be drafted here."""
    return medication_row(order) if order["resourceType"] == "MedicationRequest" else order_row(order)


def appointment_row(appointment: Mapping[str, Any], zone: tzinfo = UTC) -> Row:
    """The appointment on the day and at the time that a clock in the zone shows."""
    kinds = [concept_text(kind) for kind in _objects(appointment.get("serviceType"))]
    start = local_moment(appointment.get("start"), zone)
    status = _text(appointment.get("status"))
    return Row(
        day=start.date().isoformat() if start else _day(appointment.get("start")),
        title=_text(appointment.get("description")) or next(filter(None, kinds), "") or "Appointment",
        facts=(shown_time(start),) if start else (),
        status=status,
        appointment_id=_text(appointment.get("id")) if status in STANDING else "",
    )


def booked_days(appointments: Iterable[Mapping[str, Any]], zone: tzinfo = UTC) -> dict[str, str]:
    """Ids of orders with an appointment that stands → the day of the appointment in the zone."""
    days: dict[str, str] = {}
    for appointment in appointments:
        for basis in _objects(appointment.get("basedOn")):
            if appointment.get("status") not in _LAPSED:
                days[_text(basis.get("reference")).rpartition("/")[2]] = (
                    appointment_row(appointment, zone).day or "a day not set"
                )
    return days


def current_encounter(encounters: Iterable[Mapping[str, Any]]) -> str | None:
    """The encounter that the chart is opened in: the latest that is in progress. None when there is none."""
    running = [encounter for encounter in encounters if encounter.get("status") == "in-progress"]
    running.sort(key=lambda encounter: _text(_object(encounter.get("period")).get("start")), reverse=True)
    return _text(running[0].get("id")) or None if running else None


def newest_first(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.day, reverse=True))


def concept_text(concept: object) -> str:
    """A CodeableConcept in words: its text, else the first display, else the first code."""
    fields = _object(concept)
    codings = _objects(fields.get("coding"))
    words = [_text(fields.get("text")), *(_text(coding.get("display")) for coding in codings)]
    return next(filter(None, words), "") or next((_text(coding.get("code")) for coding in codings), "")


def _value(observation: Mapping[str, Any]) -> str:
    quantity = _object(observation.get("valueQuantity"))
    if isinstance(quantity.get("value"), int | float):
        number = f"{_text(quantity.get('comparator'))}{quantity['value']:g}"
        return f"{number} {_text(quantity.get('unit')) or _text(quantity.get('code'))}".strip()
    if isinstance(observation.get("valueInteger"), int):
        return str(observation["valueInteger"])
    return concept_text(observation.get("valueCodeableConcept")) or _text(observation.get("valueString"))


def _mrn(patient: Mapping[str, Any]) -> str:
    identifiers = _objects(patient.get("identifier"))
    for identifier in identifiers:
        types = _objects(_object(identifier.get("type")).get("coding"))
        if any(coding.get("code") == _MRN_TYPE for coding in types):
            return _text(identifier.get("value"))
    return _text(identifiers[0].get("value")) if identifiers else ""


def _age(birth_date: str, today: date) -> int | None:
    try:
        born = date.fromisoformat(birth_date)
    except ValueError:
        return None
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _count(number: object, unit: str) -> str:
    counted = "image" if unit == "images" and number == 1 else unit
    return f"{number} {counted}" if isinstance(number, int) else ""


def _day(moment: object) -> str:
    return _text(moment)[:10]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]
