"""What the synchronisation and the export write: to a FHIR server on a socket, and by their own mapping in each release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w
from flask import Response, request
from pydicom import dcmwrite

from ehr_sandbox.demo_ct import ct_header
from ehr_sandbox.demo_derived import derived_series
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import alma
from fhir_imaging.archived_study import ArchivedStudy, InstanceAvailability, PatientNumber
from fhir_imaging.fhir_mapping.endpoint import SyncedEndpoint, synced_endpoint
from fhir_imaging.fhir_mapping.synced_study import synced_study, withdrawn
from fhir_imaging.fhir_versions import FhirVersion, Status
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from imaging_cds.cli import main
from pacs_sync.one_study import OneStudy
from pacs_sync.settings import ResourceIds
from pacs_sync.study_results import StudyResults
from tests.pacs_actors import a_running_pacs
from tests.sr_actors import (
    LONG_AXIS,
    PULMONARY_EMBOLISM,
    SCHEMES,
    STARTED,
    STUDY,
    AReport,
    a_nodule,
    evaluated,
    lung_rads,
    mapped,
    size,
    unregioned,
)
from tests.sync_actors import ACCESSIONS, NOW, Sync, a_patient, a_study, a_sync, a_task, json_response
from tests.unit.test_synced_study import CONTEXT
from tests.unit.test_synced_study import STUDY as WHOLE

Json = dict[str, Any]
NUMBERS = {FhirVersion.R4: "4.0.1", FhirVersion.R4B: "4.3.0", FhirVersion.R5: "5.0.0"}
"""As a CapabilityStatement tells the release, which is what the synchronisation goes by."""
ORDER = {
    "resourceType": "ServiceRequest",
    "id": "order",
    "status": "active",
    "intent": "order",
    "subject": {"reference": "Patient/syn"},
    "identifier": [{"system": ACCESSIONS, "value": "A-17"}],
}


def mapped_studies(version: FhirVersion) -> Iterator[Json]:
    """Studies in every state, with much and with little known of them, and withdrawn."""
    full = replace(CONTEXT, with_instances=True, resource_id="study")
    for status in Status:
        yield synced_study(WHOLE, replace(full, status=status), version)
    yield synced_study(a_study(), CONTEXT, version)
    yield synced_study(replace(WHOLE, availability=InstanceAvailability.OFFLINE), full, version)
    for status in (Status.CANCELLED, Status.ENTERED_IN_ERROR):
        for is_gone in (False, True):
            yield withdrawn(synced_study(WHOLE, full, version), status, version, is_gone=is_gone)


def mapped_endpoints(version: FhirVersion) -> Iterator[Json]:
    """With an id of ours and without."""
    for resource_id in (None, "main"):
        where = SyncedEndpoint(
            address="https://gateway.example/dicom-web/", name="main", source="urn:x", resource_id=resource_id
        )
        yield synced_endpoint(where, version)


def mapped_results(version: FhirVersion) -> Iterator[Json]:
    """Of structured reports by programs and by people, signed and not, of each kind of region and statement."""
    measured = [size(LONG_AXIS, 8.2)]
    for report in (
        AReport(),
        AReport(verified_by="Synthetic^Doc", person="Synthetic^Doc"),
        AReport(person="Synthetic^Doc", device=None),
        AReport(is_complete=False),
        AReport(groups=[a_nodule(lung_rads("2", version=None), measurements=measured, algorithm=None)]),
        AReport(groups=[a_nodule(measurements=measured, in_space=True, site=None)]),
        AReport(groups=[unregioned(*measured), a_nodule(lung_rads(), lesion="2.25.6999")]),
        AReport(groups=[unregioned(finding=PULMONARY_EMBOLISM)]),
        AReport(groups=[a_nodule(evaluated(PULMONARY_EMBOLISM, PULMONARY_EMBOLISM), finding=None)]),
    ):
        yield from mapped(report, version=version).resources


def written_by_sync(directory: Path, version: FhirVersion) -> Iterator[Json]:
    """The bodies of what it sends to a server of this release, in single requests and in transactions."""
    for ids, together in ((ResourceIds.SERVER, False), (ResourceIds.STUDY_UID, True), (ResourceIds.SERVER, True)):
        with a_sync(directory / f"{version}-{ids}-{together}", ids=ids, transactions=together) as sync:
            sync.settings = replace(sync.settings, coding_schemes=SCHEMES)
            sync.fhir.change = lambda response: _of_release(response, version)
            sync.fhir.records.put(a_patient("syn", "SYN-1"))
            sync.fhir.records.put(ORDER)
            if version is FhirVersion.R5:
                sync.fhir.instead = _taken
                _lives(sync, [True])
            else:
                _lives(sync, [False, True, None])
            yield from _sent(sync)


def _lives(sync: Sync, states: list[bool | None]) -> None:
    """A study with a report, announced, then whole, then signed and gone; None is gone."""
    first = AReport()
    signed = AReport(number=2, verified_by="Signer^Sara", replaces=[first.dataset()])
    for is_complete in states:
        if is_complete is None:
            sync.archive.reports[STUDY] = [first.json(), signed.json()]
            _brings(sync, is_complete=True)
            sync.archive.studies_by_uid.clear()
        else:
            sync.archive.put(_study())
            sync.archive.reports[STUDY] = [first.json()]
        _brings(sync, is_complete=bool(is_complete))
    if None in states:
        sync.archive.put(a_study("2.25.7009"))
        _brings(sync, "2.25.7009", is_complete=False)
        sync.archive.studies_by_uid.clear()
        _brings(sync, "2.25.7009", is_complete=True)


def _study() -> ArchivedStudy:
    patients = (PatientNumber(number="SYN-1", issuer="DEMO"),)
    return replace(a_study(STUDY, modality="SR"), started=STARTED, patients=patients, accession="A-17")


def _brings(sync: Sync, uid: str = STUDY, *, is_complete: bool) -> None:
    target = sync.target()
    results = StudyResults(sync.archive, target, sync.settings)
    worker = OneStudy(sync.archive, target, sync.notes, sync.settings, results=results, clock=lambda: NOW)
    worker.process(a_task(uid, is_complete=is_complete, quiet_s=20.0))


def _sent(sync: Sync) -> Iterator[Json]:
    for method, path, body, _ in sync.fhir.requests:
        if method in ("POST", "PUT") and "/_search" not in path:
            yield json.loads(body)


def _of_release(response: Response, version: FhirVersion) -> Response:
    if not request.path.endswith("/metadata"):
        return response
    return json_response({**response.get_json(), "fhirVersion": NUMBERS[version]})


def _taken() -> Response | None:
    """A server that takes what it is sent: the sandbox keeps R4 alone."""
    if request.method not in ("POST", "PUT") or request.path.endswith("/_search"):
        return None
    body = request.get_json(force=True)
    if body["resourceType"] != "Bundle":
        return json_response({**body, "id": body.get("id", "made")}, 201)
    places = (entry["request"]["url"].split("?")[0] for entry in body["entry"])
    located = [f"{one}/_history/1" if "/" in one else f"{one}/made-{n}/_history/1" for n, one in enumerate(places)]
    answers = [{"response": {"status": "201 Created", "location": one}} for one in located]
    return json_response({"resourceType": "Bundle", "type": "transaction-response", "entry": answers})


def exported(directory: Path) -> Json:
    """What ``imaging-cds export`` writes beside the images, as it is given away."""
    images = directory / "images"
    images.mkdir()
    calendar = DemoCalendar(demo_day=date(2026, 11, 21))
    report = next(one for one in derived_series(alma.CURRENT) if one.modality == "SR")
    for name, dataset in (
        ("slice", ct_header(alma.CURRENT, calendar, alma.CURRENT.nodule_slice)),
        ("report", derived_object(report, alma.CURRENT, calendar, alma.AI_CLAIM)),
    ):
        dcmwrite(images / f"{name}.dcm", dataset, enforce_file_format=True)
    state = directory / "state"
    with closing(Store.open(StateSettings(state_dir=state))) as store:
        store.migrate()
    with a_running_pacs(directory / "pacs", images) as pacs:
        file = directory / "app.toml"
        ehr = {"name": "north", "fhir_base": "https://ehr.example/fhir"}
        archive = {"name": "main", "dicomweb_root": pacs.url}
        site = {"public_base_url": "http://localhost:8000", "state": {"state_dir": str(state)}, "ehr": [ehr], "pacs": [archive]}
        file.write_text(tomli_w.dumps(site))
        out = directory / "out"
        more = ["--config", str(file), "--out", str(out), "--deidentify", "--retain-dates"]
        assert main(["export", alma.CURRENT.study_instance_uid, *more]) == 0
    return dict(json.loads((out / "fhir.json").read_text()))
