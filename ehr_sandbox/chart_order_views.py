"""Order entry over HTTP: the form and its order-select, the drafts, and order-sign before the signature."""

from dataclasses import dataclass, fields
from typing import Any

from flask import Response, jsonify, render_template

from ehr_sandbox.chart_catalogue import CATALOGUE
from ehr_sandbox.chart_contexts import order_select_context, order_sign_context
from ehr_sandbox.chart_drafts import AS_ORDERED, LOW_DOSE, PRIORITIES, OrderForm
from ehr_sandbox.chart_openings import ChartOpening, Place
from ehr_sandbox.chart_order_desk import by_reference
from ehr_sandbox.chart_orders import reference_to
from ehr_sandbox.chart_parts import ChartParts, ChartRoute, Firing, fired, hook_is
from ehr_sandbox.chart_summary import concept_text, draft_row
from ehr_sandbox.chart_web import read_json_object, text_field, texts_field


@dataclass(frozen=True, slots=True)
class OrderViews:
    """The views of order entry. Every one raises UnknownOpening, NotPossible and QueryFailed."""

    parts: ChartParts

    def routes(self) -> tuple[ChartRoute, ...]:
        chart = "/patients/<patient_id>"
        return (
            (f"{chart}/orders", "GET", self.orders),
            (f"{chart}/sections/appointments", "GET", self.appointments),
            (f"{chart}/work/order", "POST", self.open_form),
            (f"{chart}/hooks/order-select", "POST", self.fire_order_select),
            (f"{chart}/orders/keep", "POST", self.keep),
            (f"{chart}/orders/save", "POST", self.save),
            (f"{chart}/orders/discard", "POST", self.discard),
            (f"{chart}/orders/remove", "POST", self.remove),
            (f"{chart}/work/signing", "POST", self.open_signing),
            (f"{chart}/hooks/order-sign", "POST", self.fire_order_sign),
            (f"{chart}/orders/sign", "POST", self.sign),
        )

    def orders(self, patient_id: str) -> str:
        """The orders of the chart, for the page to draw again after a change."""
        return render_template("chart/section.html", section=self.parts.records.orders(patient_id))

    def appointments(self, patient_id: str) -> str:
        """The appointments of the chart, for the page to draw again after a booking."""
        return render_template("chart/section.html", section=self.parts.records.appointments_section(patient_id))

    def open_form(self, patient_id: str) -> Response:
        """The form: of the draft named, or of the order that was left in it; `again` leaves the cards beside it alone."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        if "again" in posted:
            form = self.parts.orders.form(opening)
        else:
            opening.begin_work()
            form = self.parts.orders.compose(opening, text_field(posted, "order"))
        return jsonify(html=self._form(opening, form))

    def fire_order_select(self, patient_id: str) -> Response:
        """Fires order-select for the order as it is typed now, among the patient's stored drafts."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        order = self.parts.orders.write(opening, _form_of(posted))
        drafts = self.parts.orders.drafts_with(opening, order)
        context = order_select_context(self.parts.moment(opening), reference_to(order), drafts)
        return fired(self.parts, opening, _firing("order-select", context, "order", drafts))

    def keep(self, patient_id: str) -> Response:
        """Remembers what is typed, for when the form is opened again."""
        posted = read_json_object()
        self.parts.orders.write(self.parts.opening(posted, patient_id), _form_of(posted))
        return jsonify(text="")

    def save(self, patient_id: str) -> Response:
        """Stores what is typed as a draft."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        self.parts.orders.write(opening, _form_of(posted))
        self.parts.orders.save(opening)
        return jsonify(text="Saved as a draft; it is not active until it is signed.")

    def discard(self, patient_id: str) -> Response:
        """Empties the form."""
        self.parts.orders.discard(self.parts.opening(read_json_object(), patient_id))
        return jsonify(text="The order was discarded.")

    def remove(self, patient_id: str) -> Response:
        """Removes a stored draft."""
        posted = read_json_object()
        self.parts.orders.remove(self.parts.opening(posted, patient_id), text_field(posted, "order"))
        return jsonify(text="The draft order was removed.")

    def open_signing(self, patient_id: str) -> Response:
        """The drafts that may be signed: all are chosen, or the one that is named by its reference."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        opening.begin_work()
        rows = [draft_row(draft) for draft in self.parts.orders.drafts(opening)]
        only = text_field(posted, "order")
        return jsonify(html=render_template("chart/work_signing.html", rows=rows, only=only))

    def fire_order_sign(self, patient_id: str) -> Response:
        """Fires order-sign for the drafts that are chosen, or all; from now on these can be signed as they are."""
        posted = read_json_object()
        opening = self.parts.opening(posted, patient_id)
        drafts = self.parts.orders.begin_signing(opening, texts_field(posted, "orders"))
        context = order_sign_context(self.parts.moment(opening), drafts)
        return fired(self.parts, opening, _firing("order-sign", context, "signature", drafts))

    def sign(self, patient_id: str) -> Response:
        """Signs the drafts that were checked, whatever the cards say."""
        posted = read_json_object()
        count = self.parts.orders.sign(self.parts.opening(posted, patient_id), texts_field(posted, "orders"))
        return jsonify(text=f"{count} {'order' if count == 1 else 'orders'} signed.")

    def _form(self, opening: ChartOpening, form: OrderForm) -> str:
        composition = opening.composition
        conditions = self.parts.records.conditions(opening.patient_id)
        return render_template(
            "chart/work_order.html",
            form=form,
            catalogue=CATALOGUE,
            as_ordered=AS_ORDERED,
            ordered_name=concept_text(composition.original.get("code")) if composition else "",
            is_stored=bool(composition and composition.stored),
            conditions=[(condition["id"], concept_text(condition.get("code"))) for condition in conditions],
            priorities=PRIORITIES,
            low_dose=LOW_DOSE,
            today=self.parts.clock().date().isoformat(),
        )


def _form_of(posted: dict[str, Any]) -> OrderForm:
    names = (one.name for one in fields(OrderForm))
    return OrderForm(**{name: text_field(posted, name).strip() for name in names if name in posted})


def _firing(hook: str, context: dict[str, Any], subject: str, drafts: Any) -> Firing:
    return Firing(listens=hook_is(hook), context=context, place=Place.WORK, subject=subject, sent=by_reference(drafts))
