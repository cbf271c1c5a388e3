"""The Grafana dashboard and Prometheus' alert rules ask for what the application really tells, by labels that it really has.

No Grafana could be had; the files are parsed and their expressions compared with ``/metrics``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fhir_imaging.store.engine import Store
from imaging_cds.app import create_app
from imaging_cds.settings import from_table
from tests.conftest import CHECKOUT

EXAMPLES = CHECKOUT / "docs" / "examples"
DOCUMENT = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
METRIC = re.compile(r"\bimaging_cds_[a-z_]+\b")
PARTS = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OF_PROMETHEUS = {"le", "job", "instance"}
TOKEN = "a-token-for-the-scraper"


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / "grafana" / "imaging-cds.json").read_text(encoding="utf-8"))
    return loaded


def alerts() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((EXAMPLES / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Expression and legend of every panel."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]


EXPRESSIONS = [expression for expression, _ in queries()] + [rule["expr"] for rule in alerts()]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name and type of every metric of a running application with a synchronisation."""
    directory: Path = tmp_path_factory.mktemp("monitoring")
    settings = from_table(
        {
            "public_base_url": "https://imaging.example",
            "state": {"state_dir": str(directory / "state")},
            "metrics": {"bearer_token": TOKEN},
            "ehr": [{"name": "north", "fhir_base": "https://ehr.example/fhir"}],
            "pacs": [{"name": "main", "dicomweb_root": "https://pacs.example/dicom-web"}],
            "sync": [
                {
                    "name": "main",
                    "pacs": "main",
                    "endpoint_address": "https://imaging.example/imaging/north/dicom-web/main",
                    "target": {"fhir_base": "https://fhir.example/r4"},
                    "patients": [{"system": "https://hospital.example/mrn", "is_only_issuer": True}],
                }
            ],
        }
    )
    store = Store.open(settings.state)
    store.migrate()
    store.close()
    answer = create_app(settings).test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    types = re.findall(r"^# TYPE (\w+) (\w+)$", answer.get_data(as_text=True), re.MULTILINE)
    return {name: kind for name, kind in types if not name.endswith("_created")}


def series(exposed: dict[str, str]) -> set[str]:
    """What can be asked for by name."""
    return {f"{name}{part}" for name, kind in exposed.items() for part in PARTS[kind]}


def documented() -> dict[str, set[str]]:
    """The labels of each metric as docs/operations.md tells them; what stands in brackets are a label's values."""
    rows = re.findall(r"^\| `(imaging_cds_\w+)` \|([^|]*)\|", DOCUMENT, re.MULTILINE)
    return {metric: set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", labels))) for metric, labels in rows}


def test_every_metric_that_is_asked_for_is_told(exposed: dict[str, str]) -> None:
    asked = {name for expression in EXPRESSIONS for name in METRIC.findall(expression)}

    assert asked - series(exposed) == set()


def test_every_metric_that_is_told_is_on_the_dashboard_and_in_the_document(exposed: dict[str, str]) -> None:
    shown = {name for expression, _ in queries() for name in METRIC.findall(expression)}

    assert [name for name, kind in exposed.items() if not {f"{name}{part}" for part in PARTS[kind]} & shown] == []
    assert set(documented()) == set(exposed)


def test_no_expression_goes_by_a_label_that_its_metric_does_not_have() -> None:
    labels = documented()
    for expression in EXPRESSIONS:
        metrics = {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC.findall(expression)}
        grouped = {one.strip() for part in re.findall(r"by \(([^)]*)\)", expression) for one in part.split(",")}
        matched = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression))
        known = set().union(OF_PROMETHEUS, *(labels[name] for name in metrics))
        assert grouped | matched <= known, expression


def test_legends_name_what_the_expression_keeps() -> None:
    for expression, legend in queries():
        kept = {one.strip() for part in re.findall(r"by \(([^)]*)\)", expression) for one in part.split(",")}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= kept, expression


def test_panels_do_not_lie_upon_each_other() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    taken = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(places)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]

    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
