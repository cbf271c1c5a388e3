"""The visit over HTTP: preparing the discharge, booking what was ordered, announcing a study as complete."""

from dataclasses import dataclass

from flask import Response, abort, jsonify, render_template

from ehr_sandbox.chart_bookings import SLOT_MINUTES
from ehr_sandbox.chart_contexts import (
    appointment_book_context,
    is_study_complete,
    patient_view_context,
    study_complete_context,
)
from ehr_sandbox.chart_drafts import read_form
from ehr_sandbox.chart_openings import ChartOpening, Place
from ehr_sandbox.chart_order_desk import NotPossible
from ehr_sandbox.chart_parts import ChartParts, ChartRoute, Firing, fired, hook_is
from ehr_sandbox.chart_summary import Row, encounter_row, imaging_row, order_row
from ehr_sandbox.chart_web import read_json_object, text_field


@dataclass(frozen=True, slots=True)
class VisitViews:
    """The views of discharge, booking and completed studies. Every one raises UnknownOpening, NotPossible and QueryFailed."""

    parts: ChartParts

    def routes(self) -> tuple[ChartRoute, ...]:
        chart = "/patients/<patient_id>"
        return (
            (f"{chart}/work/discharge", "POST", self.open_discharge),
            (f"{chart}/hooks/encounter-discharge", "POST", self.fire_discharge),
            (f"{chart}/work/booking", "POST", self.open_booking),
            (f"{chart}/hooks/appointment-book", "POST", self.fire_booking),
            (f"{chart}/appointments", "POST", self.book),
            (f"{chart}/appointments/cancel", "POST", self.cancel),
            (f"{chart}/work/study", "POST", self.open_study),
            (f"{chart}/hooks/imaging-study-complete", "POST", self.fire_study_complete),
        )

    def open_discharge(self, patient_id: str) -> Response:
        """The visit that is about to end."""
        opening = self.parts.opening(read_json_object(), patient_id)
        row = self._visit(opening)
        opening.begin_work()
        return jsonify(html=render_template("chart/work_discharge.html", row=row))

    def fire_discharge(self, patient_id: str) -> Response:
        """Fires encounter-discharge for the visit in which the chart is opened."""
        opening = self.parts.opening(read_json_object(), patient_id)
        self._visit(opening)
        context = patient_view_context(self.parts.moment(opening))
        firing = Firing(listens=hook_is("encounter-discharge"), context=context, place=Place.WORK, subject="discharge")
        return fired(self.parts, opening, firing)

    def open_booking(self, patient_id: str) -> Response:
        """The order that is to be booked, and the choice of a day."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        order = self.parts.bookings.order(opening, text_field(posted, "order"))
        opening.begin_work()
        today, planned = self.parts.clock().date().isoformat(), read_form(order).planned
        day = planned if planned > today else ""
        shown = {"row": order_row(order), "today": today, "day": day, "minutes": SLOT_MINUTES}
        return jsonify(html=render_template("chart/work_booking.html", zone=str(self.parts.bookings.zone), **shown))

    def fire_booking(self, patient_id: str) -> Response:
        """Fires appointment-book for the day that is chosen."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        order_id, day, time = (text_field(posted, name) for name in ("order", "day", "time"))
        appointment = self.parts.bookings.propose(opening, order_id, day, time)
        context = appointment_book_context(self.parts.moment(opening), appointment)
        firing = Firing(listens=hook_is("appointment-book"), context=context, place=Place.WORK, subject="appointment")
        return fired(self.parts, opening, firing)

    def book(self, patient_id: str) -> Response:
        """Books the appointment for which the services were asked last."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        start = self.parts.bookings.confirm(opening, text_field(posted, "order"))
        return jsonify(text=f"Booked for {start}.")

    def cancel(self, patient_id: str) -> Response:
        """Cancels an appointment; its order can be booked again."""
        posted = read_json_object()
        start = self.parts.bookings.cancel(self.parts.opening(posted, patient_id), text_field(posted, "appointment"))
        return jsonify(text=f"The appointment of {start} was cancelled.")

    def open_study(self, patient_id: str) -> Response:
        """The study that is announced as complete."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        study = self._own_study(patient_id, text_field(posted, "study"))
        opening.begin_work()
        return jsonify(html=render_template("chart/work_study.html", row=imaging_row(study)))

    def fire_study_complete(self, patient_id: str) -> Response:
        """Fires the hook of a completed study by whatever name the services of the discovery have for it."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        study = self._own_study(patient_id, text_field(posted, "study"))
        context = study_complete_context(self.parts.moment(opening), study)
        firing = Firing(listens=is_study_complete, context=context, place=Place.WORK, subject="study")
        return fired(self.parts, opening, firing)

    def _visit(self, opening: ChartOpening) -> Row:
        encounter = self.parts.records.read("Encounter", opening.encounter_id) if opening.encounter_id else None
        if encounter is None or encounter.get("status") != "in-progress":
            raise NotPossible("There is no visit in progress to be discharged from.")
        return encounter_row(encounter)

    def _own_study(self, patient_id: str, study_id: str) -> dict[str, object]:
        study = self.parts.records.read("ImagingStudy", study_id)
        if study is None or self.parts.records.owner_of(f"ImagingStudy/{study_id}") != patient_id:
            abort(404, "This imaging study is not in the patient's record.")
        return study
