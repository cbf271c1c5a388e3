"""Debian's Orthanc as a source: new, late, repeated and deleted instances, as its feed and its DICOMweb really tell of them.

Needs ``apt-get install orthanc orthanc-dicomweb``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.orthanc_source import OrthancSource
from pacs_sync.ports import Sighting
from pacs_sync.qido_source import QidoSource
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc
from tests.log_watch import is_secret
from tests.pacs_actors import Slice, a_report
from tests.source_actors import NOW, a_qido_source

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]

STABLE_AGE_S = 1
PATIENCE_S = 30.0


@dataclass
class Fed:
    """A source over Orthanc, and an uploader. ``cursor`` is where the last look ended."""

    orthanc: Orthanc
    source: OrthancSource
    dicomweb: QidoSource
    cursor: str = "0"

    def stores(self, *datasets: FileDataset) -> None:
        """By STOW-RS."""
        body, boundary = b"", "between-instances"
        for dataset in datasets:
            with BytesIO() as written:
                dataset.save_as(written, enforce_file_format=True)
                body += f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + written.getvalue() + b"\r\n"
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        with self.orthanc.session() as session:
            answer = session.post(
                f"{self.orthanc.dicomweb}/studies", data=body + f"--{boundary}--".encode(), headers=headers, timeout=20
            )
            answer.raise_for_status()

    def deletes(self, uid: str) -> None:
        """All studies with this UID."""
        with self.orthanc.session() as session:
            found = session.post(f"{self.orthanc.url}/tools/lookup", data=uid, timeout=20).json()
            for one in found:
                session.delete(f"{self.orthanc.url}{one['Path']}", timeout=20).raise_for_status()

    def news(self) -> list[Sighting]:
        """Everything since the last look."""
        found: list[Sighting] = []
        for _ in range(1000):
            look = self.source.look(self.cursor)
            found, self.cursor = found + list(look.sightings), look.cursor
            if look.is_last:
                return found
        raise AssertionError("the feed has no end")

    def until_stable(self, *uids: str) -> list[Sighting]:
        """All news until these are complete."""
        found: list[Sighting] = []
        until = time.monotonic() + PATIENCE_S
        while not set(uids) <= {one.study for one in found if one.is_complete}:
            assert time.monotonic() < until, f"not stable: {found}"
            time.sleep(0.2)
            found += self.news()
        return found


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    home: Path = tmp_path_factory.mktemp("orthanc")
    with ExitStack() as stack:
        orthanc = stack.enter_context(running_orthanc(home, StableAge=STABLE_AGE_S))
        password = is_secret(orthanc.password)
        settings = PacsSettings(name="orthanc", dicomweb_root=orthanc.dicomweb, user=USER, password=password)
        session = ArchiveSession(settings, roots=[orthanc.url])
        stack.callback(session.close)
        dicomweb = stack.enter_context(a_qido_source(settings, page_size=5))
        source = OrthancSource(orthanc.url, session, dicomweb, changes_at_once=7)
        stack.callback(source.close)
        yield Fed(orthanc, source, dicomweb)


def study(number: int) -> str:
    return f"2.25.61{number:03}"


def test_new_study_is_seen_at_once_and_stable_later(fed: Fed) -> None:
    uid = study(1)
    fed.stores(*(Slice(study_uid=uid, number=n).dataset() for n in range(1, 13)), a_report(uid))

    early = fed.news()
    later = fed.until_stable(uid)

    assert {one.study for one in early} == {uid}
    assert not early[0].is_complete
    assert [one.is_complete for one in later if one.study == uid][-1]
    read = fed.source.study(StudyInstanceUID(uid))
    assert read is not None
    assert (read.number_of_series, read.number_of_instances, read.modalities) == (2, 13, ("CT", "SR"))
    # Orthanc itself names neither zone nor issuer in a search: they come from an instance.
    assert read.started == "2026-01-05T10:15:00+01:00"
    assert [(one.number, one.issuer) for one in read.patients] == [("DEMO-1001", "DEMO")]
    assert read.referrer == "Grün Müller"
    documents = list(fed.source.documents(read))
    assert [one["00080060"]["Value"] for one in documents] == [["SR"]]
    assert documents[0]["0040A730"]["Value"][0]["0040A160"]["Value"] == ["Synthetic nodule, 9 mm"]


def test_repeated_upload_is_no_news(fed: Fed) -> None:
    uid = study(2)
    image = Slice(study_uid=uid).dataset()
    fed.stores(image)
    fed.until_stable(uid)

    fed.stores(image)
    time.sleep(STABLE_AGE_S + 2)

    assert fed.news() == []


def test_late_instance_and_late_series_make_it_stable_again(fed: Fed) -> None:
    """X24: each changes the state that searches tell too."""
    uid = study(3)
    fed.stores(Slice(study_uid=uid).dataset())
    fed.until_stable(uid)
    states = [state_of(fed, uid)]

    fed.stores(Slice(study_uid=uid, number=2).dataset())
    fed.until_stable(uid)
    states.append(state_of(fed, uid))
    fed.stores(Slice(study_uid=uid, series=2).dataset())
    early = fed.news()
    fed.until_stable(uid)
    states.append(state_of(fed, uid))

    assert (uid, False) in {(one.study, one.is_complete) for one in early}
    assert len(set(states)) == 3
    read = fed.source.study(StudyInstanceUID(uid))
    assert read is not None
    assert (read.number_of_series, read.number_of_instances) == (2, 3)


def state_of(fed: Fed, uid: str) -> str:
    return next(one.state for one in fed.source.studies() if one.study == uid)


def test_deleted_study_vanishes_from_the_feed_and_is_missing_in_a_comparison(fed: Fed) -> None:
    """Section 9: no Deleted event, the cursor unmoved."""
    uid, other = study(4), study(5)
    fed.stores(Slice(study_uid=other).dataset())
    fed.stores(Slice(study_uid=uid).dataset())
    fed.until_stable(uid, other)
    before, cursor = {one.study for one in fed.source.studies()}, fed.cursor

    fed.deletes(uid)

    assert fed.news() == []
    assert fed.cursor == cursor
    assert before - {one.study for one in fed.source.studies()} == {uid}
    assert fed.source.study(StudyInstanceUID(uid)) is None
    whole_feed = Fed(fed.orthanc, fed.source, fed.dicomweb).news()
    assert other in {one.study for one in whole_feed}
    assert uid not in {one.study for one in whole_feed}


def test_study_that_comes_back_after_a_deletion_is_news(fed: Fed) -> None:
    uid = study(6)
    image = Slice(study_uid=uid).dataset()
    fed.stores(image)
    fed.until_stable(uid)
    fed.deletes(uid)
    fed.stores(image)

    assert uid in {one.study for one in fed.until_stable(uid)}


def test_one_study_under_two_patients_names_both(fed: Fed) -> None:
    """Orthanc keeps two studies then; they are one for FHIR, which nobody writes (M7)."""
    uid = study(7)
    fed.stores(Slice(study_uid=uid).dataset())
    fed.stores(Slice(study_uid=uid, series=2, patient_id="DEMO-1002", patient_name="Synthetic^Bruno").dataset())
    assert persons_of(fed, uid) == {"DEMO-1001", "DEMO-1002"}

    fed.stores(Slice(study_uid=uid, patient_id="DEMO-1002", patient_name="Synthetic^Bruno").dataset())

    assert persons_of(fed, uid) == {"DEMO-1001", "DEMO-1002"}, "the same image under both"


def persons_of(fed: Fed, uid: str) -> set[str]:
    fed.until_stable(uid)
    read = fed.source.study(StudyInstanceUID(uid))
    assert read is not None
    return {one.number for one in read.patients}


def test_all_studies_are_found_whatever_the_page(fed: Fed) -> None:
    """X17 at the real thing: more studies than one page has."""
    uids = {study(number) for number in range(20, 33)}
    for uid in sorted(uids):
        fed.stores(Slice(study_uid=uid).dataset())

    assert uids <= {one.study for one in fed.source.studies()}
    assert uids <= {one.study for one in fed.news()}


def test_searches_alone_find_today_and_late_instances_too(fed: Fed) -> None:
    """Orthanc as any DICOMweb archive: by Study Date, page by page, each state that of its instances."""
    today, uid = f"{NOW:%Y%m%d}", study(40)
    for number in range(40, 47):
        fed.stores(Slice(study_uid=study(number), study_date=today).dataset())
    before = looked_for(fed.dicomweb)
    fed.stores(Slice(study_uid=uid, study_date=today, number=2).dataset())
    after = looked_for(fed.dicomweb)

    assert set(before) == {study(number) for number in range(40, 47)}
    assert {one for one in after if after[one] != before[one]} == {uid}


def looked_for(source: QidoSource) -> dict[str, str]:
    """States of all that one sweep finds."""
    found: dict[str, str] = {}
    cursor = None
    while True:
        look = source.look(cursor)
        found |= {one.study: one.state for one in look.sightings}
        if look.is_last:
            return found
        cursor = look.cursor


def test_wrong_password_is_no_empty_feed(fed: Fed) -> None:
    settings = PacsSettings(name="orthanc", dicomweb_root=fed.orthanc.dicomweb, user=USER, password="wrong")
    session = ArchiveSession(settings, roots=[fed.orthanc.url])
    source = OrthancSource(fed.orthanc.url, session, fed.dicomweb)
    with pytest.raises(UpstreamError, match="HTTP 401"):
        source.look(None)
    source.close()
    session.close()
