"""How soon the images can be had, from the archive's answer to the record: said where it is not at once, and taken back again.

Spec: PS3.18 §10.6.3.3 and PS3.4 §C.4.1.1.3.2 (Instance Availability).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy

from fhir_imaging.archived_study import InstanceAvailability as Availability
from fhir_imaging.fhir_mapping.study_dialects import AVAILABILITY
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.settings import ResourceIds
from tests.archive_actors import HeldArchive, HeldStudy
from tests.pacs_actors import STUDY_B, a_running_pacs, write_demo
from tests.source_actors import a_qido_source, a_source, states, sweep
from tests.sync_actors import Sync, a_study, a_sync


@pytest.fixture(params=[(ids, together) for ids in ResourceIds for together in (False, True)], ids=str)
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    ids, together = request.param
    with a_sync(tmp_path, ids=ids, transactions=together) as made:
        yield made


def said(stands: dict[str, Any]) -> list[str]:
    return [one["valueCode"] for one in stands.get("extension", []) if one["url"] == AVAILABILITY]


def test_a_study_goes_offline_and_comes_back_and_each_is_written_once(sync: Sync) -> None:
    course = [
        (None, [], True),
        (Availability.ONLINE, [], True),
        (Availability.NEARLINE, ["NEARLINE"], True),
        (Availability.OFFLINE, ["OFFLINE"], False),
        (Availability.UNAVAILABLE, ["UNAVAILABLE"], False),
        (Availability.ONLINE, [], True),
    ]
    writes = []
    for availability, words, has_address in course:
        sync.archive.put(replace(a_study(), availability=availability))
        sync.bring()
        sync.bring()
        stands = sync.fhir.one("ImagingStudy")
        ImagingStudy.model_validate(stands)
        assert said(stands) == words
        assert ("endpoint" in stands) == has_address
        assert stands["status"] == "available", "the study was made, wherever its images are"
        writes.append(len(sync.fhir.writes))
        sync.fhir.requests.clear()

    assert writes[1] == 0, "an archive that says ONLINE says nothing new"
    assert [count for number, count in enumerate(writes[2:]) if count != 1] == []


def test_what_others_added_stays_while_ours_comes_and_goes(sync: Sync) -> None:
    sync.archive.put(replace(a_study(), availability=Availability.OFFLINE))
    sync.bring()
    stands = sync.fhir.one("ImagingStudy")
    theirs = {"url": "https://ehr.example/fhir/StructureDefinition/shelf", "valueString": "B 12"}
    sync.fhir.records.put({**stands, "extension": [*stands["extension"], theirs]})

    sync.bring()
    assert sync.fhir.one("ImagingStudy")["extension"] in ([stands["extension"][0], theirs], [theirs, stands["extension"][0]])
    sync.archive.put(a_study())
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["extension"] == [theirs]


def test_an_archive_that_changes_its_word_is_noticed_and_one_that_says_nothing_says_nothing() -> None:
    held = HeldStudy("2.25.1")
    archive = HeldArchive(studies=[held])
    with a_source(archive) as source:
        seen, told = [], []
        for word in (None, "ONLINE", "OFFLINE", "offline ", "SOMEWHERE"):
            held.availability = word
            seen.append(states(sweep(source)[0])["2.25.1"])
            study = source.study(StudyInstanceUID("2.25.1"))
            assert study is not None
            told.append(study.availability)

    assert told[:3] == [None, Availability.ONLINE, Availability.OFFLINE]
    assert told[4] is None
    assert len(set(seen[:3])) == 3


def test_a_study_on_the_sandboxs_tape_is_told_as_whole_as_before(tmp_path: Path) -> None:
    write_demo(tmp_path / "files")
    with a_running_pacs(tmp_path / "pacs", tmp_path / "files") as pacs:
        settings = PacsSettings(name="sandbox", dicomweb_root=pacs.url)
        with a_qido_source(settings) as source:
            online = source.study(StudyInstanceUID(STUDY_B))
            assert pacs.session.put(f"{pacs.url.removesuffix('/dicom-web')}/tape/{STUDY_B}", timeout=5).status_code == 204
            offline = source.study(StudyInstanceUID(STUDY_B))

    assert online is not None
    assert online.availability is Availability.ONLINE
    assert offline == replace(online, availability=Availability.OFFLINE)
