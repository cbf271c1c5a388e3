"""``imaging-cds check``: what it says of the database and the master key on this machine, before a start says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
from sqlalchemy import text

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from imaging_cds.check_installation import check_installation
from imaging_cds.cli import main
from tests.conftest import free_port_number


@pytest.fixture
def state(tmp_path: Path) -> StateSettings:
    return StateSettings(state_dir=tmp_path / "state")


def nothing_yet(state: StateSettings) -> StateSettings:
    return state


def migrated(state: StateSettings) -> StateSettings:
    with closing(Store.open(state)) as store:
        store.migrate()
    return state


def started(state: StateSettings) -> StateSettings:
    with closing(Store.open(migrated(state))) as store:
        store.check_migrated()
    return state


def of_an_older_version(state: StateSettings) -> StateSettings:
    with closing(Store.open(started(state))) as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
    return state


def open_to_others(state: StateSettings) -> StateSettings:
    (started(state).state_dir / "master.key").chmod(0o644)
    return state


def without_its_server(state: StateSettings) -> StateSettings:
    address = f"postgresql://imaging@127.0.0.1:{free_port_number()}/nothing"
    return replace(started(state), database_url=address)


def beside_no_database(state: StateSettings) -> StateSettings:
    (started(state).state_dir / SQLITE_FILE).unlink()
    return state


@pytest.mark.parametrize(
    ("given", "verdict", "said"),
    [
        (nothing_yet, "note", "the first start makes them"),
        (beside_no_database, "note", "the first start makes them"),
        (migrated, "ok", "the first start marks it with master.key"),
        (started, "ok", "master.key is the key that the database was sealed with"),
        (of_an_older_version, "warning", "run imaging-cds migrate"),
        (open_to_others, "fault", "run chmod 600 on it"),
        (without_its_server, "fault", "The database does not answer"),
    ],
)
def test_each_state_of_an_installation_is_told(
    state: StateSettings, given: Callable[[StateSettings], StateSettings], verdict: str, said: str
) -> None:
    settings = given(state)
    before = sorted(settings.state_dir.iterdir()) if settings.state_dir.exists() else None

    (finding,) = check_installation(settings)

    assert (finding.verdict, said in finding.what) == (verdict, True), finding
    assert (sorted(settings.state_dir.iterdir()) if settings.state_dir.exists() else None) == before


def test_the_command_tells_it_beside_the_ehrs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {
        "public_base_url": "https://imaging.example",
        "state": {"state_dir": str(tmp_path / "state")},
        "allow_http": True,
        "ehr": [{"name": "north", "fhir_base": f"http://127.0.0.1:{free_port_number()}/fhir"}],
    }
    config = tmp_path / "app.toml"
    config.write_text(tomli_w.dumps(table))

    main(["check", "--config", str(config), "--json"])
    told = json.loads(capsys.readouterr().out)["installation"]
    main(["check", "--config", str(config)])
    words = capsys.readouterr().out

    assert (told["name"], told["verdict"]) == ("https://imaging.example", "note")
    assert "Installation https://imaging.example\n\nDatabase and master key\n" in words
    assert not (tmp_path / "state").exists()
