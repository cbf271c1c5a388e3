"""A worker that stood still after it had read a study: what it read is old, and never stands over what another one wrote since.

Spec: clinical rules X14, X17, §9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.settings import ResourceIds
from tests.contract.test_sync_target_lifecycle import some_results
from tests.sync_actors import STUDY, Archive, Sync, a_study, a_sync


@dataclass
class ArchiveThatIsReadSlowly(Archive):
    """Between the reading of a study and what comes of it ``meanwhile`` happens, once."""

    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        read = super().study(uid)
        if self.meanwhile:
            self.meanwhile.pop()()
        return read


@pytest.fixture(params=[(ids, together) for ids in ResourceIds for together in (False, True)], ids=str)
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    ids, together = request.param
    with a_sync(tmp_path, ids=ids, transactions=together) as made:
        made.archive = ArchiveThatIsReadSlowly()
        made.results.resources[STUDY] = some_results()
        yield made


def charts(sync: Sync) -> set[str]:
    """In which anything of the study is to be seen."""
    kinds = ("ImagingStudy", "Observation", "DiagnosticReport")
    shown = (one for kind in kinds for one in sync.fhir.all(kind) if one["status"] not in ("entered-in-error", "cancelled"))
    return {one["subject"]["reference"] for one in shown}


def moves_while_it_is_read(sync: Sync, number: str, modality: str, *, ticket: str) -> None:
    """Another worker, who has ``ticket``, brings the study as it is by then, before the first has written."""
    other = sync.worker()

    def moved() -> None:
        sync.archive.put(a_study(number=number, modality=modality))
        sync.bring(worker=other, ticket=ticket)

    assert isinstance(sync.archive, ArchiveThatIsReadSlowly)
    sync.archive.meanwhile.append(moved)


@pytest.mark.parametrize("stands", [True, False], ids=["stands", "new"])
def test_X14_X17_old_news_never_go_over_what_somebody_wrote_since(sync: Sync, stands: bool) -> None:
    """Also where both have the study by right, as a service and a run over a folder of files do."""
    sync.archive.put(a_study())
    if stands:
        sync.bring()
        sync.archive.put(a_study(images=4))
    moves_while_it_is_read(sync, "DEMO-1002", "CT", ticket="t")

    sync.bring()

    assert charts(sync) == {"Patient/pat-b"}


@pytest.mark.parametrize("modality", ["CT", "SR"])
@pytest.mark.parametrize("stands", [True, False], ids=["stands", "new"])
@pytest.mark.parametrize(
    ("number", "chart"), [("DEMO-1002", {"Patient/pat-b"}), ("DEMO-9999", set())], ids=["moved", "nobodys"]
)
def test_X14_whoever_has_lost_a_study_to_another_worker_writes_nothing(
    sync: Sync, modality: str, stands: bool, number: str, chart: set[str]
) -> None:
    sync.archive.put(a_study(modality=modality))
    if stands:
        sync.bring()
    moves_while_it_is_read(sync, number, modality, ticket="another")
    sync.notes.lost.add("t")
    sync.notes.done_.clear()

    sync.bring()

    assert charts(sync) == chart
    assert len(sync.notes.done_) + len(sync.notes.held_) == 1, "only the other has a word to say"
