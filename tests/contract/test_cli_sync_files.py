"""``imaging-cds sync files``: what waits of a folder is shown like all else, and a folder takes nothing back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Work
from tests.contract.test_cli_sync import Site, site
from tests.pacs_actors import STUDY_A, Slice
from tests.sync_actors import a_patient

__all__ = ["site"]
DISC = "2.25.5001"


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A folder with a study of somebody whom nobody knows, and with one that is in the archive too."""
    folder = tmp_path / "disc"
    Slice(study_uid=DISC, patient_id="GUEST-1").write(folder)
    Slice().write(folder)
    return folder


def held(site: Site, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert site.sync("held", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {one["study"]: one["sync"] for one in lines}


def test_a_held_study_of_a_folder_is_listed_and_can_be_given_to_somebody(
    site: Site, disc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.sync("files", str(disc))
    waiting = held(site, capsys)
    assert list(waiting) == [DISC]
    assert waiting[DISC].startswith("main.files-")

    assert site.sync("held", "--study", DISC, "--patient", "pat-b") == 0
    assert site.sync("files", str(disc)) == 0

    assert site.statuses()[DISC] == "available"
    assert held(site, capsys) == {}


def test_a_folder_that_lost_its_files_takes_nothing_back(site: Site, disc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("files", str(disc))
    site.fhir.records.put(a_patient("guest", "GUEST-1"))
    (name,) = held(site, capsys).values()
    assert site.sync("held", "--retry") == 0
    store = Store.open(StateSettings(state_dir=site.config.parent / "state"))
    assert StoredMemory(store, name).enqueue([StudyInstanceUID(STUDY_A)], Work.RELEASED, now=time.time()) == 1
    store.close()
    for file in disc.iterdir():
        file.unlink()

    assert site.sync("files", str(disc)) == 0

    assert site.statuses() == {STUDY_A: "available"}, "it is in the archive all the same"
    assert held(site, capsys) == {}
