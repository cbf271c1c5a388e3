"""Waits until the synchronisation, which runs, has brought the demo's studies from the archive into the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime

from ehr_sandbox.demo_study import DemoCalendar, DemoExamination
from ehr_sandbox.fhir_store import FhirRecords
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.audit_trail import open_store
from imaging_cds.demo_data import Prepared, records_of
from imaging_cds.demo_plan import PACS_NAME, DemoOptions
from imaging_cds.demo_progress import Step
from imaging_cds.settings import load
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Work

ARRIVAL_TIMEOUT_S = 60.0
"""So long after the last one came, the others are not waited for."""
POLL_S = 0.2
ARRIVING = "Studies coming in from the archive"
_LOOKED_FOR_AT_ONCE = 50


def await_studies(
    options: DemoOptions,
    prepared: Prepared,
    show: Step,
    check: Callable[[], None] = lambda: None,
    is_given_up: Callable[[], bool] = lambda: False,
) -> tuple[str, ...]:
    """The keys of those that did not come.

    They are asked for by name: of a foreign archive only its newest studies are looked at by themselves. One that did not get
    them now is not waited for: who knows whether somebody stored them there before.
    """
    _ask_for(options, prepared)
    if not options.stores_demo_images:
        return ()
    records, calendar = records_of(options), DemoCalendar(demo_day=prepared.day)
    missing: Sequence[DemoExamination] = tuple(prepared.demo.studies.values())
    since = time.monotonic()
    while missing and not is_given_up() and time.monotonic() < since + ARRIVAL_TIMEOUT_S:
        check()
        if _is_way_to_images_open(records, options):
            before = len(missing)
            missing = _still_missing(missing, lambda one: _is_there(records, one, calendar))
            since = since if len(missing) == before else time.monotonic()
        show(ARRIVING, len(prepared.demo.studies) - len(missing), len(prepared.demo.studies))
        if missing:
            time.sleep(POLL_S)
    return tuple(one.key for one in missing)


def _ask_for(options: DemoOptions, prepared: Prepared) -> None:
    examinations = (*prepared.demo.studies.values(), *prepared.demo.strays)
    uids = [StudyInstanceUID(one.study_instance_uid) for one in examinations]
    with closing(open_store(load(options.app_config))) as store:
        StoredMemory(store, PACS_NAME).enqueue(uids, Work.CHANGED, now=time.time())


def _still_missing(
    awaited: Sequence[DemoExamination], is_there: Callable[[DemoExamination], bool]
) -> Sequence[DemoExamination]:
    """Those awaited without those that are found there. Of very many some are looked for, next time those after them."""
    now, later = awaited[:_LOOKED_FOR_AT_ONCE], awaited[_LOOKED_FOR_AT_ONCE:]
    return (*later, *(one for one in now if not is_there(one)))


def _is_way_to_images_open(records: FhirRecords, options: DemoOptions) -> bool:
    """Whether the Endpoint of all these studies names the gateway where it is: the last start may have had other ports."""
    endpoint = records.read("Endpoint", PACS_NAME)
    return endpoint is not None and endpoint["address"] == options.gateway_root


def _is_there(records: FhirRecords, examination: DemoExamination, calendar: DemoCalendar) -> bool:
    """Of the day that the calendar tells: a study of the day before is about to be changed."""
    study = records.read("ImagingStudy", examination.study_instance_uid)
    started = calendar.at(examination.days_ago, examination.clock)
    return study is not None and datetime.fromisoformat(study["started"]) == started
