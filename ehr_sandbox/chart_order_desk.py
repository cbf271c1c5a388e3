"""What the clinician does with orders: composes, saves, removes and signs them. Cards advise; none of them stops a signature.

An order has its id from the first moment, so that a service can name it before it is stored.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ehr_sandbox.chart_drafts import OrderForm, faults_of_form, new_order, read_form, write_form
from ehr_sandbox.chart_openings import ChartOpening, Composition
from ehr_sandbox.chart_orders import reference_to, removing_entry, replacing_entry, subject_of
from ehr_sandbox.chart_records import DRAFT_TYPES, ChartRecords


class NotPossible(Exception):
    """Something that cannot be done with an order or an appointment; the message is fit for the clinician's eyes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDesk:
    """Carries out what is done in the order form and at signing. `user` is a relative reference.

    `clock` gives aware time in the chart's zone: whether a planned day has passed is a matter of that zone.
    """

    records: ChartRecords
    user: str
    clock: Callable[[], datetime]

    def compose(self, opening: ChartOpening, order_id: str) -> OrderForm:
        """Opens the form: for a stored draft, or for the order that is in it already, or for a new one.

        Raises NotPossible and QueryFailed.
        """
        with opening.lock:
            if order_id:
                composition = opening.composition
                if composition and not composition.stored and composition.order.get("code"):
                    raise NotPossible("An order is still open in the form. Save or discard it first.")
                draft = self._own_draft(opening, order_id)
                opening.composition = Composition(original=draft, order=draft, stored=draft)
            elif opening.composition is None or opening.composition.stored is not None:
                blank = new_order(
                    str(uuid.uuid4()), patient_id=opening.patient_id, encounter_id=opening.encounter_id, user=self.user
                )
                opening.composition = Composition(original=blank, order=blank, stored=None)
            return read_form(opening.composition.order)

    def form(self, opening: ChartOpening) -> OrderForm:
        """What the form shows of the order that is in it. Raises NotPossible."""
        with opening.lock:
            return read_form(self._composition(opening).order)

    def write(self, opening: ChartOpening, form: OrderForm) -> Mapping[str, Any]:
        """The order in the form as it is typed now. Raises NotPossible and QueryFailed."""
        with opening.lock:
            composition = self._composition(opening)
            faults = faults_of_form(form, composition.original, self.clock().date())
            if form.condition_id and self.records.owner_of(f"Condition/{form.condition_id}") != opening.patient_id:
                faults += ("This problem is not in the patient's record.",)
            if faults:
                raise NotPossible(" ".join(faults))
            order = write_form(composition.original, form)
            opening.composition = replace(composition, order=order)
            return order

    def drafts(self, opening: ChartOpening) -> list[dict[str, Any]]:
        """The patient's stored drafts, of examinations and of medicines. Raises QueryFailed."""
        return self.records.draft_orders(opening.patient_id)

    def drafts_with(self, opening: ChartOpening, order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The patient's drafts with the order in the form in its place, or after them. Raises QueryFailed."""
        others = [draft for draft in self.drafts(opening) if reference_to(draft) != reference_to(order)]
        return [*others, order]

    def save(self, opening: ChartOpening) -> None:
        """Stores the order in the form as a draft and empties the form. Raises NotPossible and QueryFailed."""
        with opening.lock:
            composition = self._composition(opening)
            self.store_draft(composition.order, composition.stored)
            opening.composition = None

    def store_draft(self, draft: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> None:
        """Stores a draft, dated now, in the place of what is stored of it. Raises QueryFailed."""
        order = dict(draft) | {"authoredOn": self._now()}
        self.records.transact(_transaction(replacing_entry(order, stored)))

    def discard(self, opening: ChartOpening) -> None:
        """Empties the form; a stored draft that was in it stays as it is stored."""
        with opening.lock:
            opening.composition = None

    def remove(self, opening: ChartOpening, order: str) -> None:
        """Deletes a stored draft, named by its reference or, of an examination, its id. Raises NotPossible and QueryFailed."""
        with opening.lock:
            resource_type, _, order_id = order.rpartition("/")
            draft = self._own_draft(opening, order_id, resource_type or "ServiceRequest")
            self.records.transact(_transaction(removing_entry(draft)))
            if opening.composition and reference_to(opening.composition.order) == reference_to(draft):
                opening.composition = None

    def begin_signing(self, opening: ChartOpening, chosen: frozenset[str] | None = None) -> list[dict[str, Any]]:
        """The drafts that are about to be signed: those named by reference, or all; remembered as they are.

        Raises NotPossible and QueryFailed.
        """
        with opening.lock:
            drafts = self.drafts(opening)
            meant = _meant(drafts, chosen)
            if chosen is not None and not chosen:
                raise NotPossible("Choose at least one order.")
            if chosen is not None and len(meant) < len(chosen):
                raise NotPossible("An order that was chosen is not a draft any more. Look at the drafts again.")
            opening.checked_drafts = _versions(drafts)
            opening.chosen_drafts = frozenset(map(reference_to, meant))
            return meant

    def sign(self, opening: ChartOpening, chosen: frozenset[str] | None = None) -> int:
        """Makes the drafts that were checked active, all or none; how many. Raises NotPossible and QueryFailed.

        What was checked is the choice among the drafts as they all were: a change of any asks for another check.
        """
        with opening.lock:
            drafts = self.drafts(opening)
            if not drafts:
                raise NotPossible("There is no draft order to sign.")
            is_as_chosen = chosen is None or chosen == opening.chosen_drafts
            if _versions(drafts) != opening.checked_drafts or not is_as_chosen:
                raise NotPossible("The draft orders have changed since they were checked. Check them again.")
            meant = _meant(drafts, opening.chosen_drafts)
            signed = {"status": "active", "authoredOn": self._now(), "requester": {"reference": self.user}}
            self.records.transact(_transaction(*(replacing_entry(draft | signed, draft) for draft in meant)))
            opening.checked_drafts, opening.chosen_drafts = {}, frozenset()
            return len(meant)

    def _composition(self, opening: ChartOpening) -> Composition:
        if opening.composition is None:
            raise NotPossible("This order is no longer open. Start it again.")
        return opening.composition

    def _own_draft(self, opening: ChartOpening, order_id: str, resource_type: str = "ServiceRequest") -> dict[str, Any]:
        order = self.records.read(resource_type, order_id) if resource_type in DRAFT_TYPES else None
        if order is None or subject_of(order, self.records.fhir_base) != opening.patient_id:
            raise NotPossible("This order is not in the patient's record.")
        if order.get("status") != "draft":
            raise NotPossible("This order is not a draft any more.")
        return order

    def _now(self) -> str:
        return self.clock().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def by_reference(orders: list[Mapping[str, Any]] | list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Orders by `Type/id`."""
    return {reference_to(order): order for order in orders}


def _meant(drafts: list[dict[str, Any]], chosen: frozenset[str] | None) -> list[dict[str, Any]]:
    return [draft for draft in drafts if chosen is None or reference_to(draft) in chosen]


def _versions(drafts: list[dict[str, Any]]) -> dict[str, str]:
    return {reference_to(draft): str(draft.get("meta", {}).get("versionId", "")) for draft in drafts}


def _transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
