"""The chart's access to the FHIR records, in process and as the user, who may see every patient of this EHR."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import partial
from typing import Any

from ehr_sandbox.chart_prefetch import QueryFailed
from ehr_sandbox.chart_summary import (
    Row,
    Section,
    appointment_row,
    booked_days,
    condition_row,
    encounter_row,
    imaging_row,
    medication_row,
    newest_first,
    observation_row,
    order_row,
    report_row,
)
from ehr_sandbox.fhir_access import full_access
from ehr_sandbox.fhir_faults import FhirFault
from ehr_sandbox.fhir_interactions import FhirInteractions
from ehr_sandbox.fhir_results import searchset
from ehr_sandbox.fhir_store import FhirRecords
from ehr_sandbox.fhir_validation import checked_resource

_MAX_ROWS = 50
DRAFT_TYPES = ("ServiceRequest", "MedicationRequest")
"""The orders that this chart drafts and signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SectionQuery:
    key: str
    heading: str
    resource_type: str
    row: Callable[[Mapping[str, Any]], Row]
    sort: str = ""
    """What the newest of very many are found by."""


_ORDERS = _SectionQuery(key="orders", heading="Orders", resource_type="ServiceRequest", row=order_row)
_APPOINTMENTS = _SectionQuery(key="appointments", heading="Appointments", resource_type="Appointment", row=appointment_row)
_MEDICATIONS = _SectionQuery(key="medications", heading="Medications", resource_type="MedicationRequest", row=medication_row)
_RECORD_SECTIONS = (
    _SectionQuery(key="problems", heading="Problems", resource_type="Condition", row=condition_row),
    _MEDICATIONS,
    _SectionQuery(key="encounters", heading="Encounters", resource_type="Encounter", row=encounter_row),
    _APPOINTMENTS,
    _SectionQuery(key="imaging", heading="Imaging", resource_type="ImagingStudy", row=imaging_row, sort="-started"),
    _SectionQuery(key="reports", heading="Reports", resource_type="DiagnosticReport", row=report_row, sort="-date"),
    _SectionQuery(key="results", heading="Results", resource_type="Observation", row=observation_row, sort="-date"),
)


@dataclass(frozen=True, slots=True)
class ChartRecords:
    """Reads for prefetch and for the page, and the writes that the chart makes: orders and appointments."""

    store: FhirRecords
    zone: tzinfo = UTC
    """Where the practice is: the days and times of appointments are told by its clock."""

    @property
    def fhir_base(self) -> str:
        """The address under which others know these records."""
        return self.store.backend.base_url

    def read(self, resource_type: str, resource_id: str) -> dict[str, Any] | None:
        """The resource, or None when there is none. Raises QueryFailed."""
        try:
            return self.store.read(resource_type, resource_id)
        except FhirFault as fault:
            raise QueryFailed(fault.diagnostics) from fault

    def stored(self, reference: str) -> dict[str, Any] | None:
        """The resource of a relative reference, or None when there is none. Raises QueryFailed."""
        resource_type, _, resource_id = reference.partition("/")
        return self.read(resource_type, resource_id)

    def search(self, resource_type: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        """The first page of a search as a Bundle; an unknown parameter fails rather than widens. Raises QueryFailed."""
        backend = self.store.backend
        try:
            with backend.reading() as session:
                interactions = FhirInteractions(session=session, access=full_access(backend.base_url))
                query, page = interactions.search(resource_type, list(parameters), strict=True)
            return searchset(query, page, backend.base_url)
        except FhirFault as fault:
            raise QueryFailed(fault.diagnostics) from fault

    def check(self, resource: Mapping[str, Any]) -> None:
        """Whether a resource could be stored as it is. Raises QueryFailed."""
        try:
            checked_resource(dict(resource))
        except FhirFault as fault:
            raise QueryFailed(fault.diagnostics) from fault

    def transact(self, bundle: dict[str, Any]) -> None:
        """Carries out a transaction Bundle wholly or not at all. Raises QueryFailed."""
        try:
            self.store.transaction(bundle)
        except FhirFault as fault:
            raise QueryFailed(fault.diagnostics) from fault

    def owner_of(self, reference: str) -> str | None:
        """The id of the patient that a resource belongs to: empty for nobody's, None when it does not exist."""
        resource_type, _, resource_id = reference.partition("/")
        resource = self.read(resource_type, resource_id)
        if resource is None:
            return None
        if resource_type == "Patient":
            return resource_id
        subject = resource.get("subject") or resource.get("patient")
        named = subject.get("reference", "") if isinstance(subject, dict) else ""
        head, _, patient_id = str(named).rpartition("/")
        return patient_id if head == "Patient" or head.endswith("/Patient") else ""

    def patients(self, words: str) -> list[dict[str, Any]]:
        """Patients whose name begins with the words, or whose identifier they are. Raises QueryFailed."""
        count = ("_count", str(_MAX_ROWS))
        if not words:
            return self._resources("Patient", (("_sort", "family"), count))
        by_name = self._resources("Patient", (("name", words), ("_sort", "family"), count))
        return by_name or self._resources("Patient", (("identifier", words), count))

    def encounters(self, patient_id: str) -> list[dict[str, Any]]:
        """The patient's encounters, for choosing the one that the chart is opened in. Raises QueryFailed."""
        return self._resources("Encounter", (("patient", patient_id), ("_count", str(_MAX_ROWS))))

    def sections(self, patient_id: str) -> tuple[Section, ...]:
        """The chart but for its orders; a section that cannot be read says so and hides no other."""
        return tuple(self._section(query, patient_id) for query in _RECORD_SECTIONS)

    def orders(self, patient_id: str) -> Section:
        """The patient's orders, drafts among them, each with the day that is booked for it."""
        section = self._section(_ORDERS, patient_id)
        try:
            days = booked_days(self.appointments(patient_id), self.zone)
            medicines = [medication_row(draft) for draft in self._drafts("MedicationRequest", patient_id)]
        except QueryFailed:
            return section
        rows = (*medicines, *(replace(row, booked=days.get(row.order_id, "")) for row in section.rows))
        return replace(section, rows=newest_first(rows))

    def appointments_section(self, patient_id: str) -> Section:
        """The patient's appointments."""
        return self._section(_APPOINTMENTS, patient_id)

    def medications_section(self, patient_id: str) -> Section:
        """The patient's medications; drafts stand among the orders until they are signed."""
        return self._section(_MEDICATIONS, patient_id)

    def draft_orders(self, patient_id: str) -> list[dict[str, Any]]:
        """The patient's unsigned orders, of examinations and of medicines. Raises QueryFailed."""
        return [draft for resource_type in DRAFT_TYPES for draft in self._drafts(resource_type, patient_id)]

    def appointments(self, patient_id: str) -> list[dict[str, Any]]:
        """The patient's appointments, past ones among them. Raises QueryFailed."""
        return self._resources("Appointment", (("patient", patient_id), ("_count", str(_MAX_ROWS))))

    def conditions(self, patient_id: str) -> list[dict[str, Any]]:
        """The patient's problems, for choosing the reason of an order. Raises QueryFailed."""
        return self._resources("Condition", (("patient", patient_id), ("_count", str(_MAX_ROWS))))

    def related_persons(self, patient_id: str) -> list[dict[str, Any]]:
        """Those who act for the patient. Raises QueryFailed."""
        return self._resources("RelatedPerson", (("patient", patient_id), ("_count", str(_MAX_ROWS))))

    def references(self, resource_type: str, patient_id: str) -> list[str]:
        """Relative references to the patient's resources of a type, in the order of their ids. Raises QueryFailed."""
        found = self._resources(resource_type, (("patient", patient_id), ("_sort", "_id"), ("_count", str(_MAX_ROWS))))
        return [f"{resource_type}/{one['id']}" for one in found]

    def _drafts(self, resource_type: str, patient_id: str) -> list[dict[str, Any]]:
        return self._resources(resource_type, (("patient", patient_id), ("status", "draft"), ("_count", str(_MAX_ROWS))))

    def _section(self, query: _SectionQuery, patient_id: str) -> Section:
        sort = (("_sort", query.sort),) if query.sort else ()
        parameters = (("patient", patient_id), *sort, ("_count", str(_MAX_ROWS)))
        try:
            bundle = self.search(query.resource_type, parameters)
        except QueryFailed:
            return Section(key=query.key, heading=query.heading, rows=(), missing="could not be read")
        draw = partial(appointment_row, zone=self.zone) if query is _APPOINTMENTS else query.row
        found = _matches(bundle, query.resource_type)
        rows = [draw(resource) for resource in found]
        if query is _MEDICATIONS:
            rows = [row for row in rows if row.status != "draft"]
        total = bundle.get("total")
        is_more = isinstance(total, int) and total > len(found)
        return Section(key=query.key, heading=query.heading, rows=newest_first(rows), total=total if is_more else None)

    def _resources(self, resource_type: str, parameters: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
        return _matches(self.search(resource_type, parameters), resource_type)


def _matches(bundle: Mapping[str, Any], resource_type: str) -> list[dict[str, Any]]:
    resources = [entry.get("resource", {}) for entry in bundle.get("entry", [])]
    return [resource for resource in resources if resource.get("resourceType") == resource_type]
