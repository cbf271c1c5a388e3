"""Archives, a real synchronisation, the FHIR server that it writes, and the imaging FHIR endpoint that reads there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

from flask import Response, request

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.settings import demo_settings
from fhir_imaging.settings import Ownership, SubjectBy
from imaging_cds.settings import ApplicationSettings, from_table
from imaging_cds.sync_job import SyncJob, sync_job
from pacs_sync.reconcile import reconcile
from tests.contract.imaging_fhir_actors import MRN, RULE, ImagingFhir, an_imaging_fhir
from tests.security.gateway_stubs import PACS_PASSWORD, StubEhr

ACCESSIONS, CODES = "https://accession.example", "https://codes.example"

_BY_NUMBER = {SubjectBy.IDENTIFIER, SubjectBy.PATIENT_IDENTIFIER}


class Written(StrEnum):
    """Which FHIR server the synchronisation writes."""

    EHRS_OWN = "the EHR's own"
    SAME_IDS = "another one, whose Patients have the EHR's ids"
    OTHER_IDS = "another one, whose Patients have ids of their own"


PATIENTS = {
    Written.EHRS_OWN: {"pat-a": "MRN-A", "pat-b": "MRN-B"},
    Written.SAME_IDS: {"pat-a": "MRN-A", "pat-b": "MRN-B"},
    # The worst of it: the EHR's id of one patient is there, and is another patient's.
    Written.OTHER_IDS: {"77": "MRN-A", "pat-a": "MRN-B"},
}


@dataclass
class FedBySync:
    """``records`` are what stands in the FHIR server at ``fhir_base``. ``syncs`` are ``[[sync]]`` tables."""

    directory: Path
    world: ImagingFhir
    records: FhirStore
    fhir_base: str
    syncs: list[dict[str, Any]]

    def table(self, pacs: str = "main", **changes: Any) -> dict[str, Any]:
        """The ``[[sync]]`` of one archive, as docs/connecting.md has it."""
        return {
            "name": pacs,
            "pacs": pacs,
            "endpoint_address": f"{self.world.url}/imaging/north/dicom-web/{pacs}",
            "accession_system": ACCESSIONS,
            "coding_schemes": {"99NORTH": CODES},
            "patients": [{"system": MRN, "issuer_of_patient_id": "NORTH"}],
            "target": {"fhir_base": self.fhir_base},
            "pace": {"stable_s": 0.0, "gone_s": 0.0, "workers": 1},
            **changes,
        }

    def settings(self) -> ApplicationSettings:
        roots = {"main": self.world.main.root, "second": self.world.second.root}
        login = {"user": "gateway", "password": PACS_PASSWORD}
        return from_table(
            {
                "public_base_url": self.world.url,
                "components": ["imaging_server"],
                "state": {"state_dir": str(self.directory)},
                "ehr": [{"name": "north", "fhir_base": self.world.north.fhir_base}],
                "pacs": [{"name": name, "dicomweb_root": root, **login} for name, root in roots.items()],
                "sync": self.syncs,
            }
        )

    def jobs(self) -> Iterator[SyncJob]:
        """Each synchronisation in turn, as the command line puts it together."""
        settings = self.settings()
        for sync in settings.sync:
            with sync_job(settings, sync, self.world.store) as job:
                yield job

    def bring(self) -> None:
        """``imaging-cds sync once``."""
        for job in self.jobs():
            summary = job.runner.once(settle_s=0.0)
            assert (summary.failed, summary.dead) == (0, 0), summary

    def compare(self) -> None:
        """``imaging-cds sync reconcile --repair``."""
        for job in self.jobs():
            comparing = job.comparing(repair=True, would_change=job.one_study.would_change)
            assert reconcile(job.source, job.target, job.memory, comparing).is_whole
            job.runner.once(settle_s=0.0)

    def statuses(self) -> dict[str, str]:
        """Of all studies in the FHIR server, by their UIDs."""
        return {uid_of(one): one["status"] for one in self.records.search("ImagingStudy", {})}

    def held(self) -> dict[str, str]:
        """Studies that wait for a person, and why."""
        return {one.study: one.reason.value for job in self.jobs() for one in job.people.held()}


def uid_of(resource: dict[str, Any]) -> str:
    (uid,) = [one["value"] for one in resource["identifier"] if one["system"] == "urn:dicom:uid"]
    return str(uid).removeprefix("urn:oid:")


@contextmanager
def fed_by_sync(
    directory: Path,
    written: Written,
    ownership: Ownership = Ownership.IDENTIFIER,
    subjects: tuple[SubjectBy, ...] | None = None,
    other_server: str | None = None,
) -> Iterator[FedBySync]:
    """Nothing has been brought over yet. The imaging server knows the patients' numbers where it has to.

    ``other_server`` is the base of one that runs already and has its patients; without it, it is the sandbox's.
    """
    named = {} if subjects is None else {"subjects": subjects}
    knows_numbers = ownership is Ownership.IDENTIFIER or subjects is None or bool(_BY_NUMBER & set(subjects))

    def site(north: StubEhr) -> dict[str, Any]:
        base = north.fhir_base if written is Written.EHRS_OWN else other_server
        return {**({"fhir_base": base} if base else {}), **named}

    rules = {"patient_identifiers": {"north": RULE} if knows_numbers else {}}
    with an_imaging_fhir(directory / "state", ownership, server=rules, fed=site) as world:
        world.fed.indexes = {}  # nobody but the synchronisation writes
        if written is Written.EHRS_OWN:
            records = _record_of(world.north, directory / "record")
            base = world.north.fhir_base
        else:
            records, base = world.fed.records, other_server or world.fed.base
        for patient, number in PATIENTS[written].items():
            identifier = {"system": MRN, "value": number}
            records.put({"resourceType": "Patient", "id": patient, "identifier": [identifier]})
        fed = FedBySync(directory, world, records, base, [])
        fed.syncs.append(fed.table())
        yield fed


def _record_of(north: StubEhr, directory: Path) -> FhirStore:
    """Gives the EHR a whole record, the sandbox's, behind the addresses that it has already; its sign-in stays."""
    settings = demo_settings(base_url=north.base, app_url="http://127.0.0.1:1", state_dir=directory, open_fhir=True)
    app = create_ehr(settings)

    def of_record() -> Any:
        if "/.well-known/" in request.path:
            return None
        own = {**request.environ, "wsgi.input": BytesIO(request.get_data())}
        return Response.from_app(app.wsgi_app, {name: value for name, value in own.items() if name != "HTTP_AUTHORIZATION"})

    north.answers["/fhir/"] = of_record
    return FhirStore(directory / "fhir.sqlite3", settings.fhir_base)
