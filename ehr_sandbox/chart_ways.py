"""Opening the app from the chart in another way than usual: as the patient, or with something wrong on purpose (S11)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ehr_sandbox.chart_launch import ChartLaunch
from ehr_sandbox.chart_prefetch import QueryFailed
from ehr_sandbox.chart_records import ChartRecords
from ehr_sandbox.launch_variants import LaunchVariant, Names, variant_of

BACKGROUND_ROLE = "https://imaging-cds.example/fhir/launch-role/background"
_SAMPLE_OF: Mapping[Names, tuple[str, int]] = {
    "study": ("ImagingStudy", 1),
    "background": ("ImagingStudy", 1),
    "studies": ("ImagingStudy", 2),
    "report": ("DiagnosticReport", 1),
    "order": ("ServiceRequest", 1),
}


class NoSuchWay(ValueError):
    """A way to launch that this chart does not offer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchUser:
    """Somebody as whom the app can be opened; `reference` is relative."""

    reference: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchWays:
    """What this chart offers of such ways, from its records."""

    records: ChartRecords

    def users(self, patient_id: str) -> tuple[LaunchUser, ...]:
        """The patient and those who act for the patient."""
        return (
            LaunchUser(reference=f"Patient/{patient_id}", label="the patient"),
            *(LaunchUser(reference=f"RelatedPerson/{one['id']}", label=_label(one)) for one in self._related(patient_id)),
        )

    def _related(self, patient_id: str) -> list[dict[str, Any]]:
        """Nobody, where the FHIR server has no such resources: the chart opens all the same."""
        try:
            return self.records.related_persons(patient_id)
        except QueryFailed:
            return []

    def changed(self, launch: ChartLaunch, user: str, variant_key: str) -> ChartLaunch:
        """The launch as that user (empty: as usual) and in that variant (empty: as usual). Raises NoSuchWay."""
        patient_id = launch.moment.patient_id
        if user:
            if user not in {one.reference for one in self.users(patient_id)}:
                raise NoSuchWay(user)
            launch = replace(launch, moment=replace(launch.moment, user=user))
        if not variant_key:
            return launch
        try:
            variant = variant_of(variant_key)
        except KeyError as error:
            raise NoSuchWay(variant_key) from error
        return replace(launch, variant=variant, fhir_context=self._context(variant, patient_id))

    def _context(self, variant: LaunchVariant, patient_id: str) -> tuple[dict[str, str], ...]:
        if variant.names is None:
            return ()
        resource_type, count = _SAMPLE_OF[variant.names]
        named = self.records.references(resource_type, patient_id)[:count]
        role = {"role": BACKGROUND_ROLE} if variant.names == "background" else {}
        return tuple({"reference": one, **role} for one in named)


def _label(related: Mapping[str, Any]) -> str:
    relationship = next((one.get("text", "") for one in related.get("relationship", [])), "")
    name = next((one.get("text", "") for one in related.get("name", [])), "")
    return f"{name}, {relationship}" if relationship else name or "somebody who acts for the patient"
