"""A master key that is lost or not the database's: no command opens the store, none makes a key, nothing is written.

Otherwise the audit trail would look empty, and a second key would seal what the first one's backup can never open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import tomli_w
from cryptography.fernet import Fernet
from sqlalchemy import delete

from fhir_imaging.store.engine import SQLITE_FILE, Store
from fhir_imaging.store.tables import installation_key
from imaging_cds.app import create_app
from imaging_cds.check_installation import check_installation
from imaging_cds.check_report import Verdict
from imaging_cds.cli import main
from imaging_cds.settings import load
from tests.conftest import free_port_number

SYNC = {
    "name": "main",
    "pacs": "main",
    "endpoint_address": "https://imaging.example/imaging/north/dicom-web/main",
    "target": {"fhir_base": "https://fhir.example/r4"},
}
HANDED = {"hand_over": "frames", "keeps_hierarchy": True}
COMMANDS = {
    "serve": ["serve"],
    "audit": ["audit"],
    "audit --purge": ["audit", "--purge"],
    "revoke": ["revoke", "--all"],
    "feedback": ["feedback"],
    "sync once": ["sync", "once"],
    "sync held": ["sync", "held"],
    "sync status": ["sync", "status"],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation that has worked."""
    table = {
        "public_base_url": "https://imaging.example",
        "state": {"state_dir": str(tmp_path / "state")},
        "server": {"host": "127.0.0.1", "port": free_port_number(), "workers": 1},
        "cds": {"client_authentication": "off"},
        "ehr": [{"name": "north", "fhir_base": "https://ehr.example/fhir"}],
        "pacs": [{"name": "main", "dicomweb_root": "https://pacs.example/dicom-web", **HANDED}],
        "sync": [SYNC],
    }
    path = tmp_path / "app.toml"
    path.write_text(tomli_w.dumps(table))
    assert main(["migrate", "--config", str(path)]) == 0
    assert main(["revoke", "--config", str(path), "--all", "--reason", "a first act"]) == 0
    return path


def key_of(config: Path) -> Path:
    return config.parent / "state" / "master.key"


def lost(config: Path) -> None:
    key_of(config).unlink()


def foreign(config: Path) -> None:
    key_of(config).write_bytes(Fernet.generate_key())


def state_of(config: Path) -> dict[str, str]:
    """Every file of the installation, and all rows."""
    with closing(Store.open(load(config, {}).state)) as store, store.engine.connect() as connection:
        rows = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    files = [path for path in sorted((config.parent / "state").rglob("*")) if path.is_file() and SQLITE_FILE not in path.name]
    return {"rows": rows} | {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(("change", "said"), [(lost, "is missing"), (foreign, "is not the key")])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_begins_with_it(
    config: Path, change: Callable[[Path], None], said: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(config)
    before = state_of(config)

    name, *rest = COMMANDS[command]
    code = main([name, *rest, "--config", str(config)])

    told = capsys.readouterr().err
    assert code == 2
    assert f"{key_of(config)} {said}" in told
    assert "Put back the master.key" in told
    assert state_of(config) == before


def test_nginx_is_given_no_key_that_fits_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost(config)

    assert main(["nginx", "--config", str(config), "--mode", "accel"]) == 2

    assert "is missing" in capsys.readouterr().err
    assert not key_of(config).exists()


def test_no_worker_begins_with_it_either(config: Path) -> None:
    """One that is started anew while the server runs."""
    foreign(config)

    with pytest.raises(Exception, match="is not the key that the database was sealed with"):
        create_app(load(config, {}))


@pytest.mark.parametrize(("change", "said"), [(lost, "is missing"), (foreign, "is not the key")])
def test_check_says_the_same_and_changes_nothing(config: Path, change: Callable[[Path], None], said: str) -> None:
    change(config)
    before = state_of(config)

    (finding,) = check_installation(load(config, {}).state)

    assert finding.verdict is Verdict.FAULT
    assert said in finding.what
    assert "Put back the master.key" in finding.remedy
    assert state_of(config) == before


def test_a_database_from_before_the_marks_is_not_given_to_another_key(config: Path) -> None:
    with closing(Store.open(load(config, {}).state)) as store, store.write() as connection:
        connection.execute(delete(installation_key))
    foreign(config)
    before = state_of(config)

    assert main(["audit", "--config", str(config)]) == 2

    assert state_of(config) == before
