"""A site's rules reach the running application: one value for the cards and the study list, and no start on a fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from imaging_cds.app import create_app
from imaging_cds.cli import main
from imaging_cds.settings import load


def a_config(folder: Path, packs: str) -> Path:
    """An installation of its own, with a file of packs beside its settings."""
    (folder / "packs.toml").write_text(packs)
    path = folder / "app.toml"
    path.write_text(
        tomli_w.dumps(
            {
                "public_base_url": "https://imaging.example",
                "state": {"state_dir": str(folder / "state")},
                "ehr": [{"name": "hospital", "fhir_base": "https://ehr.example/fhir"}],
                "rules": {"packs": "packs.toml"},
            }
        )
    )
    return path


@pytest.mark.parametrize("command", ["config", "serve"])
def test_a_fault_in_the_sites_rules_stops_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path = a_config(tmp_path, '[[pack]]\nid = "aaa-svs-2018"\n\n[[pack]]\nid = "aaa-acr-2013"\n')

    assert main([command, "--config", str(path)]) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert f"{tmp_path / 'packs.toml'}" in told.err
    assert "which contradict each other: choose one" in told.err
    assert "Traceback" not in told.err


def test_the_settings_are_printed_with_the_rules_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--config", str(a_config(tmp_path, ""))]) == 0

    printed = capsys.readouterr().out
    assert f'packs = "{tmp_path / "packs.toml"}"' in printed
    assert 'MG = "11 mo"' in printed


def test_the_application_hands_the_sites_rules_to_its_documentation(tmp_path: Path) -> None:
    path = a_config(tmp_path, '[[pack]]\nid = "bi-rads-5"\nclinical_owner = "Dr Synthetic Owner"\n')
    assert main(["migrate", "--config", str(path)]) == 0

    page = create_app(load(path, {})).test_client().get("/cds-documentation").get_data(as_text=True)

    assert "Dr Synthetic Owner" in page
