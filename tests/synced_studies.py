"""What the synchronisation makes of the demo's DICOM files, without servers: the real reading, deciding and mapping.

Only the FHIR server is a table in memory. Whatever the demo's charts lack (studies, the Endpoint, what the AI found) comes from
here, as it comes from the archive in a running demo.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import tomli_w

from ehr_sandbox.patients import DemoData
from fhir_imaging.archived_study import ArchivedStudy, InstanceAvailability
from fhir_imaging.fhir_mapping.endpoint import SyncedEndpoint, synced_endpoint
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.tolerant import dicts
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.settings import load
from pacs_sync.fhir_target import has_accession
from pacs_sync.files import FileSource
from pacs_sync.one_study import OneStudy
from pacs_sync.ports import Held, Memory, Task, Work, WrittenStudy
from pacs_sync.settings import SyncSettings
from pacs_sync.standing import Mark, study_uids, subject_id
from pacs_sync.study_facts import SiteRules
from pacs_sync.study_results import StudyResults

Json = dict[str, Any]


def demo_sync(directory: Path, gateway: str | None = None) -> SyncSettings:
    """The demo's own settings of its synchronisation, as its settings file has them."""
    table = app_table(DemoOptions(directory=directory, viewer_dir=directory))
    if gateway is not None:
        table["sync"][0]["endpoint_address"] = gateway
    config = directory / "sync.toml"
    config.write_text(tomli_w.dumps(table))
    (settings,) = load(config).sync
    return settings


@dataclass
class Charts:
    """``ports.Target`` over what a record holds. ``ids`` are the Study Instance UIDs."""

    settings: SyncSettings
    resources: dict[str, Json]
    version: FhirVersion = FhirVersion.R4

    def patients_with(self, system: str, number: str) -> tuple[Json, ...]:
        return tuple(one for one in self.of("Patient") if {"system": system, "value": number} in bare(one["identifier"]))

    def standing_for(self, patient_id: str) -> tuple[Json, ...]:
        return tuple(one for one in self.of("Patient") if one["id"] == patient_id)

    def order_with(self, system: str | None, accession: str, *, patient_id: str) -> str | None:
        found = [one for one in self.of("ServiceRequest") if has_accession(one, system, accession)]
        own = [one["id"] for one in found if subject_id(one) == patient_id]
        return f"ServiceRequest/{own[0]}" if len(found) == len(own) == 1 else None

    def endpoint(self) -> str:
        made = SyncedEndpoint(
            address=self.settings.endpoint_address,
            name=self.settings.pacs,
            source=Mark(self.settings.name).source,
            resource_id=self.settings.pacs,
        )
        return self.put(synced_endpoint(made, self.version))

    def find(self, uid: StudyInstanceUID) -> tuple[WrittenStudy, ...]:
        found = [one for one in self.of("ImagingStudy") if uid in study_uids(one)]
        return tuple(WrittenStudy(id=one["id"], version=None, content=one) for one in found)

    def all_studies(self) -> Iterator[WrittenStudy]:
        raise NotImplementedError("nothing is compared here")

    def write(self, resource: Mapping[str, Any], *, replaces: WrittenStudy | None) -> WrittenStudy:
        (uid,) = study_uids(resource)
        study = {**resource, "id": uid}
        self.put(study)
        return WrittenStudy(id=uid, version=None, content=study)

    def write_results(self, uid: StudyInstanceUID, resources: Iterable[Mapping[str, Any]]) -> None:
        raise NotImplementedError("results come with their study")

    def write_together(
        self, resource: Mapping[str, Any], results: Iterable[Mapping[str, Any]], *, replaces: WrittenStudy | None
    ) -> WrittenStudy:
        """Conditional references become references to what stands, by the identifier that they name."""
        written = self.write(resource, replaces=replaces)
        known = {_condition("ImagingStudy", one): f"ImagingStudy/{written.id}" for one in dicts(resource.get("identifier"))}
        for number, one in enumerate(results, 1):
            made = _resolved({**one, "id": f"{written.id}-{number}"[-64:]}, known)
            known[_condition(made["resourceType"], made["identifier"][0])] = self.put(made)
        return written

    def reported_on(self, study_id: str) -> frozenset[StudyInstanceUID]:
        return frozenset()

    def results_of(self, uid: StudyInstanceUID) -> tuple[Json, ...]:
        return ()

    def of(self, kind: str) -> list[Json]:
        """All of one type."""
        return [one for one in self.resources.values() if one["resourceType"] == kind]

    def put(self, resource: Json) -> str:
        """Its reference."""
        reference = f"{resource['resourceType']}/{resource['id']}"
        self.resources[reference] = resource
        return reference


class ArchiveWithTape(FileSource):
    """The demo's files as the sandbox PACS tells of them: also which studies it has on tape."""

    on_tape: frozenset[str] = frozenset()

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        found = super().study(uid)
        is_away = found is not None and uid in self.on_tape
        return replace(found, availability=InstanceAvailability.OFFLINE) if found and is_away else found


@dataclass
class Notes:
    """The methods of ``ports.Memory`` that bringing one study over needs."""

    held: list[Held] = field(default_factory=list)
    done_: list[str] = field(default_factory=list)

    def still_has(self, task: Task) -> bool:
        return True

    def done(self, task: Task, *, now: float, again_in_s: float | None = None, is_lacking: bool = False) -> None:
        assert again_in_s is None, "the study was not complete"
        self.done_.append(str(task.study))

    def hold(self, task: Task, held: Held, *, now: float) -> None:
        self.held.append(held)

    def failed(self, task: Task, reason: str, *, now: float, again_in_s: float | None) -> None:
        raise AssertionError(reason)


@dataclass(frozen=True)
class SyncedDemo:
    """The demo's record once the archive's studies are in it. ``held`` are those that nobody knows the patient of."""

    resources: tuple[Json, ...]
    held: tuple[Held, ...]

    def of(self, kind: str) -> list[Json]:
        """All of one type."""
        return [one for one in self.resources if one["resourceType"] == kind]


def synced_demo(demo: DemoData, dicom_dir: Path, gateway: str | None = None) -> SyncedDemo:
    """Charts, what the archive's files tell, and the reports on them, as a running demo has them."""
    settings = demo_sync(dicom_dir, gateway)
    charts, notes = Charts(settings, {}), Notes()
    for resource in in_bundles(demo.charts):
        charts.put(resource)
    with closing(ArchiveWithTape([dicom_dir], SiteRules.of(settings))) as source:
        source.on_tape = frozenset(one.study_instance_uid for one in demo.studies.values() if one.is_on_tape)
        results = StudyResults(source, charts, settings)
        one_study = OneStudy(source, charts, cast(Memory, notes), settings, results=results)
        for sighting in source.studies():
            one_study.process(Task(study=sighting.study, work=Work.CHANGED, attempts=1, ticket="", is_complete=True))
    for resource in in_bundles(demo.reports):
        charts.put(resource)
    return SyncedDemo(tuple(charts.resources.values()), tuple(notes.held))


def in_bundles(bundles: Iterable[Json]) -> Iterator[Json]:
    """The resources of transaction Bundles."""
    return (entry["resource"] for bundle in bundles for entry in bundle["entry"])


def bare(identifiers: Iterable[Json]) -> list[Json]:
    """Identifiers by what tells them apart."""
    return [{"system": one["system"], "value": one["value"]} for one in identifiers]


def _condition(kind: str, identifier: Mapping[str, Any]) -> str:
    return f"{kind}?identifier={identifier.get('system', '')}|{identifier['value']}"


def _resolved(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            name: known.get(inner, inner) if name == "reference" else _resolved(inner, known) for name, inner in value.items()
        }
    return [_resolved(one, known) for one in value] if isinstance(value, list) else value
