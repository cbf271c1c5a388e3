"""Ordering a medicine over HTTP: a small form, its order-select among the other drafts, and the draft that it saves."""

import uuid
from dataclasses import dataclass
from typing import Any

from flask import Response, jsonify, render_template

from ehr_sandbox.chart_contexts import order_select_context
from ehr_sandbox.chart_medicines import LONGEST_DOSE, MEDICINES, Prescriber, find_medicine, medication_draft
from ehr_sandbox.chart_openings import ChartOpening, Place
from ehr_sandbox.chart_order_desk import NotPossible, by_reference
from ehr_sandbox.chart_orders import reference_to
from ehr_sandbox.chart_parts import ChartParts, ChartRoute, Firing, fired, hook_is
from ehr_sandbox.chart_web import read_json_object, text_field


@dataclass(frozen=True, slots=True)
class MedicationViews:
    """The views of the medicine form. Every one raises UnknownOpening, NotPossible and QueryFailed."""

    parts: ChartParts

    def routes(self) -> tuple[ChartRoute, ...]:
        chart = "/patients/<patient_id>"
        return (
            (f"{chart}/sections/medications", "GET", self.medications),
            (f"{chart}/work/medication", "POST", self.open_medication),
            (f"{chart}/hooks/order-select/medication", "POST", self.fire_medication_select),
            (f"{chart}/medications", "POST", self.save_medication),
        )

    def medications(self, patient_id: str) -> str:
        """The medications of the chart, for the page to draw again after a signature."""
        return render_template("chart/section.html", section=self.parts.records.medications_section(patient_id))

    def open_medication(self, patient_id: str) -> Response:
        """The empty form; what it makes has its id from now on."""
        opening = self.parts.opening(read_json_object(), patient_id)
        opening.begin_work()
        opening.medication_id = str(uuid.uuid4())
        return jsonify(html=render_template("chart/work_medication.html", medicines=MEDICINES, longest=LONGEST_DOSE))

    def fire_medication_select(self, patient_id: str) -> Response:
        """Fires order-select for the medicine in the form, among the patient's stored drafts."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        draft = self._draft(opening, posted)
        drafts = self.parts.orders.drafts_with(opening, draft)
        context = order_select_context(self.parts.moment(opening), reference_to(draft), drafts)
        sent = by_reference(drafts)
        firing = Firing(listens=hook_is("order-select"), context=context, place=Place.WORK, subject="medicine", sent=sent)
        return fired(self.parts, opening, firing)

    def save_medication(self, patient_id: str) -> Response:
        """Stores what is in the form as a draft."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        with opening.lock:
            self.parts.orders.store_draft(self._draft(opening, posted))
            opening.medication_id = ""
        return jsonify(text="Saved as a draft; it is not active until it is signed.")

    def _draft(self, opening: ChartOpening, posted: dict[str, Any]) -> dict[str, Any]:
        medicine, dose = find_medicine(text_field(posted, "medicine")), text_field(posted, "dose").strip()
        if not opening.medication_id:
            raise NotPossible("This medicine is no longer being ordered. Start it again.")
        if medicine is None:
            raise NotPossible("Choose a medicine.")
        if len(dose) > LONGEST_DOSE:
            raise NotPossible(f"The dose is longer than {LONGEST_DOSE} characters.")
        by = Prescriber(user=self.parts.user, patient_id=opening.patient_id, encounter_id=opening.encounter_id)
        return medication_draft(opening.medication_id, medicine, dose, by)
