"""Booking an examination that was ordered: an appointment is proposed, the services are asked, and what was asked is stored."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ehr_sandbox.chart_openings import ChartOpening
from ehr_sandbox.chart_order_desk import NotPossible
from ehr_sandbox.chart_orders import subject_of
from ehr_sandbox.chart_records import ChartRecords
from ehr_sandbox.chart_summary import booked_days, concept_text

SLOT_MINUTES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingDesk:
    """Proposes and stores appointments for signed orders. `clock` gives aware UTC time."""

    records: ChartRecords
    clock: Callable[[], datetime]

    def order(self, opening: ChartOpening, order_id: str) -> dict[str, Any]:
        """The order that is to be booked. Raises NotPossible and QueryFailed."""
        order = self.records.read("ServiceRequest", order_id)
        if order is None or subject_of(order, self.records.fhir_base) != opening.patient_id:
            raise NotPossible("This order is not in the patient's record.")
        if order.get("status") != "active":
            raise NotPossible("Only a signed order that is still open can be booked.")
        booked = booked_days(self.records.appointments(opening.patient_id)).get(order_id)
        if booked:
            raise NotPossible(f"This order is booked for {booked} already.")
        return order

    def propose(self, opening: ChartOpening, order_id: str, day: str, clock_time: str) -> dict[str, Any]:
        """An appointment at that day (YYYY-MM-DD) and time (HH:MM, UTC). Raises NotPossible and QueryFailed."""
        with opening.lock:
            opening.proposed = None
            order = self.order(opening, order_id)
            start = self._start(day, clock_time)
            opening.proposed = _appointment(order, opening.patient_id, start)
            return opening.proposed

    def confirm(self, opening: ChartOpening, order_id: str) -> str:
        """Stores the appointment that was proposed last, for that order; its start. Raises NotPossible and QueryFailed."""
        with opening.lock:
            proposed = opening.proposed
            if proposed is None or proposed["basedOn"] != [{"reference": f"ServiceRequest/{order_id}"}]:
                raise NotPossible("Choose a day first.")
            self.order(opening, order_id)
            accepted = [participant | {"status": "accepted"} for participant in proposed["participant"]]
            booked = dict(proposed) | {"status": "booked", "participant": accepted}
            request = {"method": "PUT", "url": f"Appointment/{booked['id']}"}
            entry = {"resource": booked, "request": request}
            self.records.transact({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
            opening.proposed = None
            return str(booked["start"])

    def _start(self, day: str, clock_time: str) -> datetime:
        try:
            start = datetime.fromisoformat(f"{day}T{clock_time}").replace(tzinfo=UTC)
        except ValueError:
            raise NotPossible("Choose a day and a time.") from None
        if start < self.clock():
            raise NotPossible("The appointment would be in the past.")
        return start


def _appointment(order: Mapping[str, Any], patient_id: str, start: datetime) -> dict[str, Any]:
    end = start + timedelta(minutes=SLOT_MINUTES)
    name = concept_text(order.get("code")) or "Imaging"
    appointment: dict[str, Any] = {
        "resourceType": "Appointment",
        "id": str(uuid.uuid4()),
        "status": "proposed",
        "description": name,
        "start": start.isoformat().replace("+00:00", "Z"),
        "end": end.isoformat().replace("+00:00", "Z"),
        "minutesDuration": SLOT_MINUTES,
        "basedOn": [{"reference": f"ServiceRequest/{order['id']}"}],
        "participant": [{"actor": {"reference": f"Patient/{patient_id}"}, "status": "needs-action"}],
    }
    return appointment | ({"serviceType": [order["code"]]} if order.get("code") else {})
