"""``[telemetry]``: what cannot work is told at the start, by name and with what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.errors import ConfigurationError
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.settings import ApplicationSettings, from_table
from imaging_cds.telemetry_servers import STRANGER, known_servers

ENDPOINT = "https://collector.example:4318/v1/traces"
LOCAL = ("http", "127.0.0.1")


def settings_with(tmp_path: Path, **tables: Any) -> ApplicationSettings:
    table = app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer"))
    return from_table({**table, "state": {"state_dir": str(tmp_path / "state")}, **tables})


def test_it_is_off_unless_an_endpoint_is_set(tmp_path: Path) -> None:
    assert not settings_with(tmp_path).telemetry.is_on
    assert not settings_with(tmp_path, telemetry={"sample_ratio": 1.0}).telemetry.is_on
    assert settings_with(tmp_path, telemetry={"endpoint": ENDPOINT, "headers": {"X-Api-Key": "k"}}).telemetry.is_on


@pytest.mark.parametrize(
    ("telemetry", "said"),
    [
        ({"endpoint": "https://collector.example"}, "/v1/traces"),
        ({"endpoint": "https://user:word@collector.example/v1/traces"}, "without user"),
        ({"endpoint": "https://collector.example/v1/traces?key=1"}, "without user, query"),
        (
            {"endpoint": "http://collector.example/v1/traces"},
            "telemetry.endpoint: http://collector.example/v1/traces is plain http",
        ),
        ({"endpoint": "collector:4318/v1/traces"}, "is not an http(s) URL"),
        ({"endpoint": "https://[collector/v1/traces"}, "is not an http(s) URL"),
        ({"sample_ratio": 1.5}, "telemetry.sample_ratio"),
        ({"service_name": " "}, "telemetry.service_name"),
        ({"accept_traceparent": True}, "server.trusted_proxies"),
        ({"headers": {"Host": "x"}}, "'Host' is no header that may be set here"),
        ({"headers": {"X Key": "x"}}, "'X Key' is no header"),
        ({"headers": {"X-Key": "a\r\nb"}}, "the value of X-Key must be visible ASCII"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_cannot_work_is_named(tmp_path: Path, telemetry: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        settings_with(tmp_path, telemetry=telemetry)

    assert any(said in problem for problem in raised.value.problems)


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.exporter.otlp.proto.common"])
def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name == missing or name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(missing), *sys.meta_path])
    with pytest.raises(ConfigurationError) as raised:
        settings_with(tmp_path, telemetry={"endpoint": ENDPOINT})

    assert any("pip install 'imaging-cds[telemetry]'" in problem for problem in raised.value.problems)
    assert settings_with(tmp_path), "where it is off nobody needs it"


class NotInstalled:
    """A module that cannot be found, with all below it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self._name or name.startswith(f"{self._name}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_server_is_known_by_its_address_and_by_nothing_of_a_question(tmp_path: Path) -> None:
    ehr = {
        "name": "north",
        "fhir_base": "https://ehr.example/api/fhir/r4",
        "jwks_url": "https://login.example/keys",
        "studies_server": {"fhir_base": "https://ehr.example/api/fhir/r4/studies"},
    }
    archive = {"name": "main", "dicomweb_root": "http://127.0.0.1:8042/dicom-web", "token_url": "https://login.pacs.example/t"}
    secret = {"client_id": "c", "client_secret": "s"}
    servers = known_servers(
        settings_with(tmp_path, ehr=[ehr], pacs=[{**archive, **secret}], sync=[], public_base_url="https://own.example")
    )
    ehr_place, own = ("https", "ehr.example", 443), ("https", "own.example", 443)

    assert servers.of(ehr_place, "/api/fhir/r4/ImagingStudy?patient=Alma") == ("fhir", "north")
    assert servers.of(ehr_place, "/api/fhir/r4?_count=1") == ("fhir", "north")
    assert servers.of(ehr_place, "/api/fhir/r4/studies/ImagingStudy") == ("fhir-studies", "north")
    assert servers.of(ehr_place, "/api/fhir/r45") == ("authorization", "north")
    assert servers.of(("https", "login.example", 443), "/keys") == ("authorization", "north")
    assert servers.of((*LOCAL, 8042), "/dicom-web/studies/2.25.1") == ("archive", "main")
    assert servers.of(("https", "login.pacs.example", 443), "/t") == ("authorization", "main")
    assert servers.of(own, "/imaging/north/fhir/ImagingStudy") == ("imaging-server", "")
    assert servers.of(("https", "alma.example", 443), "/Alma") == STRANGER
