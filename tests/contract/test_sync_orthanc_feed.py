"""Orthanc's list of changes, as measured on 1.10.1 (clinical rules §9): what is news, what is complete, what vanishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1

import pytest
from flask import Flask, Response, jsonify, request

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.orthanc_source import OrthancSource
from pacs_sync.ports import Sighting
from tests.archive_actors import HeldArchive, HeldStudy
from tests.conftest import free_port_number, serving
from tests.source_actors import a_qido_source

FIRST, SECOND = "2.25.1", "2.25.2"


def orthanc_id(*names: str) -> str:
    digest = sha1("|".join(names).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


@dataclass
class FedOrthanc:
    """Its REST API, as far as the feed goes; studies by UID. Numbers go on after a deletion."""

    archive: HeldArchive = field(default_factory=HeldArchive)
    changes: list[dict[str, object]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    last: int = 0
    asked: list[str] = field(default_factory=list)

    def app(self) -> Flask:
        app = self.archive.app()
        app.before_request(lambda: self.asked.append(request.path))
        app.add_url_rule("/changes", "changes", self._changes)
        app.add_url_rule("/studies/<number>", "study", self._study)
        app.add_url_rule("/series/<number>/study", "series-study", self._study)
        return app

    def tells(self, kind: str, uid: str, level: str = "Study") -> None:
        """One more change; a NewSeries is of a series of this study."""
        number = orthanc_id(uid, level)
        self.known[number] = uid
        self.last += 1
        self.changes.append({"ChangeType": kind, "ID": number, "ResourceType": level, "Seq": self.last})

    def stores(self, uid: str, instances: int = 2) -> None:
        """An upload of a new study."""
        self.archive.studies.append(HeldStudy(uid))
        for number in range(instances):
            self.tells("NewInstance", uid, f"Instance{number}")
            if number == 0:
                self.tells("NewSeries", uid, "Series")
                self.tells("NewStudy", uid)
                self.tells("NewPatient", uid, "Patient")

    def deletes(self, uid: str) -> None:
        """Its entries vanish, no Deleted event, the last number unmoved."""
        gone = {number for number, study in self.known.items() if study == uid}
        self.changes = [one for one in self.changes if one["ID"] not in gone]
        self.known = {number: study for number, study in self.known.items() if study != uid}
        self.archive.studies = [one for one in self.archive.studies if one.uid != uid]

    def begins_anew(self) -> None:
        self.changes, self.last, self.known, self.archive.studies = [], 0, {}, []

    def _changes(self) -> Response:
        since, limit = int(request.args["since"]), int(request.args["limit"])
        later = [one for one in self.changes if int(str(one["Seq"])) > since]
        page = later[:limit]
        last = page[-1]["Seq"] if page else self.last
        return jsonify({"Changes": page, "Done": len(later) <= limit, "Last": last})

    def _study(self, number: str) -> Response:
        uid = self.known.get(number)
        if uid is None:
            return Response("{}", 404, content_type="application/json")
        return jsonify({"ID": number, "MainDicomTags": {"StudyInstanceUID": uid}, "Type": "Study"})


@contextmanager
def a_feed(orthanc: FedOrthanc, *, changes_at_once: int = 1000) -> Iterator[OrthancSource]:
    with serving(orthanc.app(), free_port_number()) as base:
        settings = PacsSettings(name="orthanc", dicomweb_root=f"{base}/dicom-web", user="sync", password="x")
        session = ArchiveSession(settings, roots=[base])
        with a_qido_source(settings) as dicomweb:
            source = OrthancSource(base, session, dicomweb, changes_at_once=changes_at_once)
            yield source
            source.close()
            session.close()


def told(source: OrthancSource, cursor: str | None = None) -> tuple[list[tuple[str, bool]], str]:
    """All news since then: UID and whether it is complete; and the cursor after it."""
    found: list[Sighting] = []
    for _ in range(50):
        look = source.look(cursor)
        found, cursor = found + list(look.sightings), look.cursor
        if look.is_last:
            return [(one.study, one.is_complete) for one in found], cursor
    raise AssertionError("the feed has no end")


def test_new_study_is_seen_early_and_complete_when_stable() -> None:
    """X24."""
    orthanc = FedOrthanc()
    with a_feed(orthanc) as source:
        assert told(source) == ([], "0")
        orthanc.stores(FIRST, 60)
        early, cursor = told(source)
        orthanc.tells("StableSeries", FIRST, "Series")
        orthanc.tells("StableStudy", FIRST)
        stable, cursor = told(source, cursor)
        nothing, same = told(source, cursor)

    assert early == [(FIRST, False)]
    assert stable == [(FIRST, True)]
    assert (nothing, same) == ([], cursor)


def test_what_was_told_last_of_a_study_counts() -> None:
    orthanc = FedOrthanc()
    with a_feed(orthanc) as source:
        orthanc.stores(FIRST)
        orthanc.tells("StableStudy", FIRST)
        orthanc.stores(SECOND)
        assert told(source) == ([(FIRST, True), (SECOND, False)], str(orthanc.last))

        orthanc.tells("NewSeries", FIRST, "SecondSeries")
        assert dict(told(source)[0]) == {FIRST: False, SECOND: False}


def test_late_instance_makes_it_stable_again_and_says_nothing_before() -> None:
    orthanc = FedOrthanc()
    with a_feed(orthanc) as source:
        orthanc.stores(FIRST)
        orthanc.tells("StableStudy", FIRST)
        _, cursor = told(source)
        orthanc.tells("NewInstance", FIRST, "Instance9")
        assert told(source, cursor)[0] == []
        orthanc.tells("StableStudy", FIRST)

        assert told(source, cursor)[0] == [(FIRST, True)]


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_feed_is_read_page_by_page(at_once: int) -> None:
    orthanc = FedOrthanc()
    for uid in (FIRST, SECOND):
        orthanc.stores(uid, 10)
        orthanc.tells("StableStudy", uid)
    with a_feed(orthanc, changes_at_once=at_once) as source:
        found, cursor = told(source)

    assert dict(found) == {FIRST: True, SECOND: True}
    assert cursor == str(orthanc.last)


def test_kill_between_pages_repeats_the_page_and_loses_nothing() -> None:
    orthanc = FedOrthanc()
    orthanc.stores(FIRST, 10)
    orthanc.stores(SECOND, 10)
    with a_feed(orthanc, changes_at_once=5) as source:
        first = source.look(None)
        assert not first.is_last
        assert source.look(None) == first
        assert (SECOND, False) in told(source, first.cursor)[0]


def test_deleted_study_vanishes_and_only_a_comparison_shows_it() -> None:
    orthanc = FedOrthanc()
    with a_feed(orthanc) as source:
        orthanc.stores(FIRST)
        orthanc.stores(SECOND)
        _, cursor = told(source)
        orthanc.deletes(SECOND)

        assert told(source, cursor) == ([], cursor)
        assert [one.study for one in source.studies()] == [FIRST]
        assert source.study(StudyInstanceUID(SECOND)) is None
        kept = source.study(StudyInstanceUID(FIRST))
        assert kept is not None
        assert list(source.documents(kept)) == []


def test_study_that_is_deleted_while_the_page_is_read_is_left_out() -> None:
    orthanc = FedOrthanc()
    orthanc.stores(FIRST)
    orthanc.stores(SECOND)
    changes = list(orthanc.changes)
    orthanc.deletes(FIRST)
    orthanc.changes = changes
    with a_feed(orthanc) as source:
        assert told(source)[0] == [(SECOND, False)]


def test_new_database_begins_the_feed_anew() -> None:
    orthanc = FedOrthanc()
    with a_feed(orthanc) as source:
        orthanc.stores(FIRST, 30)
        _, cursor = told(source)
        orthanc.begins_anew()
        assert told(source, cursor) == ([], "0")
        orthanc.stores(SECOND)
        found, cursor = told(source, cursor)

    assert found == [(SECOND, False)]
    assert cursor == str(orthanc.last)


def test_changes_of_other_things_are_no_news() -> None:
    orthanc = FedOrthanc()
    for kind in ("NewPatient", "UpdatedMetadata", "UpdatedAttachment", "StablePatient", "StableSeries", "SomethingNew"):
        orthanc.tells(kind, FIRST)
    orthanc.changes.append({"ChangeType": "NewStudy", "ID": "../../tools", "Seq": orthanc.last})
    with a_feed(orthanc) as source:
        assert told(source)[0] == []
    assert orthanc.asked == ["/changes"]


@pytest.mark.parametrize("cursor", ["", "{}", "-5", "x"])
def test_cursor_of_another_kind_begins_anew(cursor: str) -> None:
    orthanc = FedOrthanc()
    orthanc.stores(FIRST)
    with a_feed(orthanc) as source:
        assert told(source, cursor)[0] == [(FIRST, False)]


@pytest.mark.parametrize("body", ["{}", "[]", '{"Changes": {}, "Last": 1}', '{"Changes": [], "Done": true}', "<html>"])
def test_what_is_no_list_of_changes_is_an_error(body: str) -> None:
    app = Flask("not-orthanc")
    app.add_url_rule("/changes", view_func=lambda: Response(body, content_type="application/json"))
    with serving(app, free_port_number()) as base:
        assert_no_look(base)


@pytest.mark.parametrize("status", [401, 404, 503])
def test_orthanc_that_is_not_there_is_an_error(status: int) -> None:
    app = Flask("absent-orthanc")
    app.add_url_rule("/changes", view_func=lambda: Response("no", status))
    with serving(app, free_port_number()) as base:
        assert_no_look(base)


def test_list_that_does_not_go_on_is_an_error_and_no_endless_loop() -> None:
    app = Flask("stuck-orthanc")
    stuck = {"Changes": [{"ChangeType": "NewPatient", "ID": "x", "Seq": 3}], "Done": False, "Last": 3}
    app.add_url_rule("/changes", view_func=lambda: jsonify(stuck))
    with serving(app, free_port_number()) as base:
        assert_no_look(base, cursor="3")


def assert_no_look(base: str, cursor: str | None = None) -> None:
    settings = PacsSettings(name="orthanc", dicomweb_root=f"{base}/dicom-web")
    session = ArchiveSession(settings, roots=[base])
    with a_qido_source(settings) as dicomweb:
        source = OrthancSource(base, session, dicomweb)
        with pytest.raises(UpstreamError):
            source.look(cursor)
        source.close()
    session.close()
