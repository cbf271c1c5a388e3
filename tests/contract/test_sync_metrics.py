"""What Prometheus is told of synchronisations; no label names a study or a patient."""

from __future__ import annotations

from pathlib import Path

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.metrics import Metrics
from imaging_cds.sync_metrics import SyncFigures
from pacs_sync.counts import counts
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Held, HoldReason, Sighting

NOW = 1_795_000_000.0


def test_waiting_held_and_finished_studies_are_told_for_each_synchronisation(tmp_path: Path) -> None:
    store = Store.open(StateSettings(state_dir=tmp_path))
    store.migrate()
    memory = StoredMemory(store, "main")
    studies = [Sighting(study=StudyInstanceUID(f"2.25.{number}"), is_complete=True) for number in range(1, 5)]
    memory.note(studies, cursor="1", now=NOW)
    first, second, *_ = memory.take(now=NOW, limit=2)
    memory.done(first, now=NOW)
    memory.hold(second, Held(reason=HoldReason.NO_PATIENT), now=NOW)

    text = Metrics(looked_up=[SyncFigures(lambda: counts(store, ["main"], now=NOW + 30))]).as_text().decode()
    store.close()

    assert 'imaging_cds_sync_waiting{sync="main"} 2.0' in text
    assert 'imaging_cds_sync_lag_seconds{sync="main"} 30.0' in text
    assert 'imaging_cds_sync_held{reason="no-patient",sync="main"} 1.0' in text
    assert 'imaging_cds_sync_studies_total{outcome="done",sync="main"} 1.0' in text
    assert "2.25." not in text


def test_without_a_database_the_other_figures_are_told(tmp_path: Path) -> None:
    store = Store.open(StateSettings(state_dir=tmp_path))
    text = Metrics(looked_up=[SyncFigures(lambda: counts(store, ["main"], now=NOW))]).as_text().decode()
    store.close()

    assert "imaging_cds_sync" not in text
    assert "imaging_cds_requests" in text
