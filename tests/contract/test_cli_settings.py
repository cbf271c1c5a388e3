"""``imaging-cds config``, ``migrate`` and what every command says of settings that cannot work (STYLE 9, 11)."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from imaging_cds.demo_plan import DemoOptions, app_table
from tests.conftest import CHECKOUT
from tests.interop.outsiders import cli, run_cli

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation's settings, as the demo writes them, with a credential for the archive from the environment."""
    options = DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer", pacs_url="http://127.0.0.1:9/d", pacs_user="u")
    path = tmp_path / "app.toml"
    path.write_text(tomli_w.dumps(app_table(options)))
    return path


def test_config_prints_the_effective_settings_without_secrets(config: Path) -> None:
    secrets = {"IMAGING_CDS__PACS__DEMO__PASSWORD": SECRET, "IMAGING_CDS__EHR__SANDBOX__CLIENT_SECRET": SECRET}

    printed = run_cli("config", "--config", str(config), environment=secrets | {"IMAGING_CDS__SERVER__WORKERS": "3"}).stdout

    assert SECRET not in printed
    shown = tomllib.loads(printed)
    assert shown["pacs"][0]["password"] == "(set, hidden)"
    assert shown["ehr"][0]["client_secret"] == "(set, hidden)"
    assert shown["server"]["workers"] == 3
    assert shown["ehr"][0]["scopes"], "defaults are shown too"


def test_the_variable_names_the_settings_where_no_flag_does(config: Path) -> None:
    printed = run_cli("config", environment={"IMAGING_CDS_CONFIG": str(config)}).stdout

    assert tomllib.loads(printed)["pacs"][0]["user"] == "u"


def test_every_fault_of_the_settings_is_listed_at_once(config: Path) -> None:
    table = tomllib.loads(config.read_text())
    table["public_base_urll"] = table.pop("public_base_url")
    table["ehr"][0]["fhir_base"] = 7
    table["ehr"][0]["colour"] = "red"
    table["server"]["port"] = "many"
    del table["pacs"][0]["dicomweb_root"]
    config.write_text(tomli_w.dumps(table))

    for command in ("config", "migrate", "audit", "serve"):
        output, errors = cli(command, "--config", str(config), code=2)

        lines = errors.splitlines()
        assert all(line.startswith("imaging-cds: ") for line in lines), errors
        for named in ("public_base_urll", "public_base_url: must be given", "fhir_base", "colour", "port", "dicomweb_root"):
            assert any(named in line for line in lines), named
        assert output == ""


def test_contradictions_are_listed_too(config: Path) -> None:
    table = tomllib.loads(config.read_text())
    table["ehr"].append(table["ehr"][0])
    table["pacs"][0] |= {"dicomweb_root": "http://archive.example/dicom-web", "name": "Main Archive"}
    config.write_text(tomli_w.dumps(table))

    _, wrong = cli("config", "--config", str(config), code=2)

    assert "'sandbox' is used more than once" in wrong
    assert "plain http" in wrong
    assert "'Main Archive' may hold only" in wrong


@pytest.mark.parametrize("content", [None, "public_base_url = ["], ids=["no file", "no TOML"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_text(content)

    assert str(path) in cli("config", "--config", str(path), code=2)[1]


def test_without_settings_the_ways_to_give_them_are_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "imaging_cds", "config"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2
    assert "--config" in ended.stderr
    assert "IMAGING_CDS_CONFIG" in ended.stderr


def test_migrate_makes_the_database_for_its_user_only_and_may_be_repeated(config: Path, tmp_path: Path) -> None:
    _, before = cli("audit", "--config", str(config), code=2)
    for _ in range(2):
        run_cli("migrate", "--config", str(config))

    state = tmp_path / "app"
    assert "migrate" in before
    assert state.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o077 == 0 for file in state.rglob("*") if file.is_file())
    assert cli("audit", "--config", str(config), "--json")[0] == ""


def test_a_reader_that_stops_early_is_no_fault(config: Path) -> None:
    """``imaging-cds config | head``."""
    command = f"{sys.executable} -m imaging_cds config --config {config} | head -c 10"
    ended = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=CHECKOUT, capture_output=True, timeout=60)

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == b""


@pytest.mark.parametrize("command", [[], ["demo"], ["serve"], ["token"], ["audit"], ["config"], ["viewer"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    assert "usage: imaging-cds" in cli(*command, "--help")[0]
