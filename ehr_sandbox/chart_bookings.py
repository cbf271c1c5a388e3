"""Booking an examination that was ordered: an appointment is proposed, the services are asked, and what was asked is stored."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from ehr_sandbox.chart_openings import ChartOpening
from ehr_sandbox.chart_order_desk import NotPossible
from ehr_sandbox.chart_orders import replacing_entry, subject_of
from ehr_sandbox.chart_records import ChartRecords
from ehr_sandbox.chart_summary import STANDING, booked_days, concept_text
from ehr_sandbox.chart_times import fhir_instant, local_moment, local_time, shown_time

SLOT_MINUTES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingDesk:
    """Proposes, stores and cancels appointments for signed orders. `clock` gives aware time; days are those of `zone`."""

    records: ChartRecords
    clock: Callable[[], datetime]

    @property
    def zone(self) -> tzinfo:
        """The zone in whose days and times appointments are made."""
        return self.records.zone

    def order(self, opening: ChartOpening, order_id: str) -> dict[str, Any]:
        """The order that is to be booked. Raises NotPossible and QueryFailed."""
        order = self.records.read("ServiceRequest", order_id)
        if order is None or subject_of(order, self.records.fhir_base) != opening.patient_id:
            raise NotPossible("This order is not in the patient's record.")
        if order.get("status") != "active":
            raise NotPossible("Only a signed order that is still open can be booked.")
        booked = booked_days(self.records.appointments(opening.patient_id), self.zone).get(order_id)
        if booked:
            raise NotPossible(f"This order is booked for {booked} already.")
        return order

    def propose(self, opening: ChartOpening, order_id: str, day: str, clock_time: str) -> dict[str, Any]:
        """An appointment at that day (YYYY-MM-DD) and time (HH:MM) in the zone. Raises NotPossible and QueryFailed."""
        with opening.lock:
            opening.proposed = None
            order = self.order(opening, order_id)
            start = self._start(day, clock_time)
            opening.proposed = _appointment(order, opening.patient_id, start)
            return opening.proposed

    def confirm(self, opening: ChartOpening, order_id: str) -> str:
        """Stores the appointment that was proposed last, for that order; its start in words.

        Raises NotPossible and QueryFailed.
        """
        with opening.lock:
            proposed = opening.proposed
            if proposed is None or proposed["basedOn"] != [{"reference": f"ServiceRequest/{order_id}"}]:
                raise NotPossible("Choose a day first.")
            self.order(opening, order_id)
            accepted = [participant | {"status": "accepted"} for participant in proposed["participant"]]
            booked = dict(proposed) | {"status": "booked", "participant": accepted}
            self._store(booked, None)
            opening.proposed = None
            return self._words(booked)

    def cancel(self, opening: ChartOpening, appointment_id: str) -> str:
        """Cancels an appointment that is still to come; its start in words. Raises NotPossible and QueryFailed."""
        with opening.lock:
            appointment = self.records.read("Appointment", appointment_id)
            if appointment is None or not _is_of(appointment, opening.patient_id, self.records.fhir_base):
                raise NotPossible("This appointment is not in the patient's record.")
            if appointment.get("status") not in STANDING:
                raise NotPossible("This appointment does not stand any more.")
            start = local_moment(appointment.get("start"), self.zone)
            if start is not None and start < self.clock():
                raise NotPossible("This appointment has passed.")
            self._store(dict(appointment) | {"status": "cancelled"}, appointment)
            return self._words(appointment)

    def _store(self, appointment: Mapping[str, Any], current: Mapping[str, Any] | None) -> None:
        entry = replacing_entry(appointment, current)
        self.records.transact({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})

    def _words(self, appointment: Mapping[str, Any]) -> str:
        start = local_moment(appointment.get("start"), self.zone)
        return f"{start.date().isoformat()}, {shown_time(start)}" if start else "a day not set"

    def _start(self, day: str, clock_time: str) -> datetime:
        try:
            start = local_time(day, clock_time, self.zone)
        except (ValueError, OverflowError):
            raise NotPossible("Choose a day and a time.") from None
        if start < self.clock():
            raise NotPossible("The appointment would be in the past.")
        return start


def _appointment(order: Mapping[str, Any], patient_id: str, start: datetime) -> dict[str, Any]:
    # By the clock of the world, not of the wall: across a change of the clocks half an hour stays half an hour.
    end = datetime.fromtimestamp(start.timestamp() + timedelta(minutes=SLOT_MINUTES).total_seconds(), start.tzinfo)
    name = concept_text(order.get("code")) or "Imaging"
    appointment: dict[str, Any] = {
        "resourceType": "Appointment",
        "id": str(uuid.uuid4()),
        "status": "proposed",
        "description": name,
        "start": fhir_instant(start),
        "end": fhir_instant(end),
        "minutesDuration": SLOT_MINUTES,
        "basedOn": [{"reference": f"ServiceRequest/{order['id']}"}],
        "participant": [{"actor": {"reference": f"Patient/{patient_id}"}, "status": "needs-action"}],
    }
    return appointment | ({"serviceType": [order["code"]]} if order.get("code") else {})


def _is_of(appointment: Mapping[str, Any], patient_id: str, fhir_base: str) -> bool:
    own = {f"Patient/{patient_id}", f"{fhir_base.rstrip('/')}/Patient/{patient_id}"}
    actors = (participant.get("actor", {}) for participant in appointment.get("participant", ()))
    return any(actor.get("reference") in own for actor in actors)
