"""``imaging-cds config --associated-endpoints``: what an EHR adds to its discovery, and that the app reads it back."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import tomli_w

from fhir_imaging.clients.smart_metadata import read_smart_configuration
from imaging_cds.demo_plan import DemoOptions, app_table
from tests.interop.outsiders import run_cli

APP_LAUNCH = "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    options = DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer", pacs_url="http://127.0.0.1:9/d", pacs_user="u")
    path = tmp_path / "app.toml"
    path.write_text(tomli_w.dumps(app_table(options)))
    return path


def test_D1_the_fragment_names_the_imaging_endpoint_with_its_mode(config: Path) -> None:
    """D2, D4: both URIs; D3: no Backend Services, so its URI is not there."""
    table = tomllib.loads(config.read_text())
    base = table["public_base_url"]

    printed = json.loads(run_cli("config", "--associated-endpoints", "--config", str(config)).stdout)

    (fragment,) = printed.values()
    assert list(printed) == [table["ehr"][0]["name"]]
    assert fragment["associated_endpoints"] == [
        {"url": f"{base}/imaging/sandbox/fhir", "capabilities": ["smart-imaging-access", APP_LAUNCH]}
    ]


def test_D5_an_app_finds_the_endpoint_in_a_discovery_with_the_fragment(config: Path) -> None:
    printed = json.loads(run_cli("config", "--associated-endpoints", "--config", str(config)).stdout)
    document = {"authorization_endpoint": "https://ehr/a", "token_endpoint": "https://ehr/t", **printed["sandbox"]}

    metadata = read_smart_configuration(document, "https://ehr/fhir")

    assert metadata is not None
    (endpoint,) = metadata.associated_endpoints
    assert "smart-imaging-access" in endpoint.capabilities


def test_an_installation_without_imaging_server_has_nothing_to_name(config: Path) -> None:
    table = tomllib.loads(config.read_text())
    config.write_text(tomli_w.dumps({**table, "components": ["cds_service", "smart_app"]}))

    assert json.loads(run_cli("config", "--associated-endpoints", "--config", str(config)).stdout) == {}
