"""``imaging-cds nginx``: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import tomli_w

from imaging_cds.cli import main
from tests.nginx_actors import NGINX_HINT

HANDED = {"hand_over": "retrievals", "keeps_hierarchy": True}
PASSWORD = "archive-pa$$word"


def settings_file(directory: Path, *, trusted_proxies: int = 1, **archive: object) -> Path:
    pacs = {"name": "main", "dicomweb_root": "http://127.0.0.1:8042/dicom-web", "user": "gateway", "password": PASSWORD}
    table = {
        "public_base_url": "https://images.hospital.example",
        "state": {"state_dir": str(directory / "state")},
        "server": {"trusted_proxies": trusted_proxies},
        "imaging_server": {"handed_decision_s": 10},
        "ehr": [{"name": "north", "fhir_base": "https://ehr.example/fhir"}],
        "pacs": [{**pacs, "hand_over": "frames", "keeps_hierarchy": True, **archive}],
    }
    path = directory / "app.toml"
    path.write_text(tomli_w.dumps(table))
    return path


@pytest.mark.parametrize("mode", ["accel", "auth-request"])
def test_printed_configuration_holds_no_secret(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nginx", "--config", str(settings_file(tmp_path)), "--mode", mode]) == 0

    told = capsys.readouterr()
    assert "location @application" in told.out
    assert "--out DIR" in told.out
    assert "Basic " not in told.out
    assert "imaging_handover_key { default" not in told.out
    assert told.err == ""


@pytest.mark.parametrize("mode", ["accel", "auth-request"])
def test_nginx_takes_what_is_written(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip(NGINX_HINT)
    out = tmp_path / "nginx"

    code = main(["nginx", "--config", str(settings_file(tmp_path)), "--mode", mode, "--out", str(out)])

    assert code == 0
    assert f"nginx -t -p {out}/" in capsys.readouterr().out
    command = [program, "-t", "-q", "-p", f"{out}/", "-c", "nginx.conf"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("mode", ["accel", "auth-request"])
def test_nginx_takes_settings_of_ordinary_length(mode: str, tmp_path: Path) -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip(NGINX_HINT)
    long = {"name": "archive-of-the-radiology-department-of-the-university-hospital"[:60], "headers": {"X-Key": 3900 * "k"}}
    config, out = settings_file(tmp_path, **long), tmp_path / "nginx"
    table = tomllib.loads(config.read_text())
    table["imaging_server"]["allowed_origins"] = [
        "https://radiology-viewer.imaging.university-hospital-musterstadt.example",
        "https://" + 80 * "abc." + "example",
    ]
    config.write_text(tomli_w.dumps(table))

    assert main(["nginx", "--config", str(config), "--mode", mode, "--out", str(out)]) == 0

    command = [program, "-t", "-q", "-p", f"{out}/", "-c", "nginx.conf"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_nginx_takes_what_is_written_where_no_archive_is_handed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain front: neither a secret nor a key is made for it."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip(NGINX_HINT)
    out, several = tmp_path / "nginx", ("--app", "127.0.0.1:8001", "--app", "127.0.0.1:8002")

    assert main(["nginx", "--config", str(settings_file(tmp_path, hand_over="off")), "--out", str(out), *several]) == 0

    assert "no archive is handed over: nginx passes everything on" in capsys.readouterr().err
    assert not (out / "imaging-cds-secrets.conf").exists()
    assert not (tmp_path / "state").exists()
    command = [program, "-t", "-q", "-p", f"{out}/", "-c", "nginx.conf"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_cannot_work_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(settings_file(tmp_path, keeps_hierarchy=False))

    assert main(["nginx", "--config", config, "--mode", "auth-request"]) == 2
    assert "keeps_hierarchy" in capsys.readouterr().err


def test_what_is_not_as_it_should_be_is_said_and_yet_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(settings_file(tmp_path, trusted_proxies=0))

    assert main(["nginx", "--config", config, "--mode", "accel", "--app", "app.hospital.example:8000"]) == 0
    remarks = capsys.readouterr().err
    assert "trusted_proxies = 1" in remarks
    assert "one machine" in remarks


@pytest.mark.parametrize("mode", ["accel", "auth-request"])
def test_several_archives_stand_side_by_side(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip(NGINX_HINT)
    config, out = settings_file(tmp_path), tmp_path / "nginx"
    further = [
        {
            "name": "ct-archive",
            "dicomweb_root": "https://ct.hospital.invalid/",
            "hand_over": "retrievals",
            "keeps_hierarchy": True,
        },
        {"name": "old", "dicomweb_root": "https://old.hospital.example/dicom-web"},
    ]
    table = tomllib.loads(config.read_text())
    config.write_text(tomli_w.dumps({**table, "pacs": [*table["pacs"], *further]}))

    assert main(["nginx", "--config", str(config), "--mode", mode, "--out", str(out)]) == 0

    written = {path.name: path.read_text() for path in out.iterdir() if path.is_file()}
    assert {"imaging-cds-archive-main.conf", "imaging-cds-archive-ct-archive.conf"} <= written.keys()
    assert "old.hospital" not in "".join(written.values())
    assert "https://imaging_archive_ct_archive/studies/${handed_study}" in written["imaging-cds.conf"]
    # ct.hospital.invalid is nobody: nginx looks names up when it starts, and says so.
    command = [program, "-t", "-q", "-p", f"{out}/", "-c", "nginx.conf"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 'host not found in upstream "ct.hospital.invalid:443"' in checked.stderr
