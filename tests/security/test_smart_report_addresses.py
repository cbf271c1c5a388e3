"""Group 25: the address of a report's document leads nowhere above the EHR's FHIR base, however it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from tests.contract.smart_actors import FakeEhr, World, a_world, demo_record


@dataclass
class WatchedEhr(FakeEhr):
    """An EHR whose every request is seen, not only those to its FHIR API."""

    seen: list[str] = field(default_factory=list)

    def app(self) -> Flask:
        app = super().app()
        app.before_request(lambda: self.seen.append(request.environ["REQUEST_URI"]))
        app.add_url_rule("/admin", "admin", lambda: "secret of the administrator")
        return app


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, ehr=WatchedEhr(fhir=demo_record())) as made:
        yield made


def asked_for(world: World, url: str) -> tuple[Any, list[str]]:
    """The window of a report whose document is said to be at ``url``, and what the EHR was asked besides the report."""
    world.ehr.fhir["DiagnosticReport"][0]["presentedForm"] = [{"contentType": "text/plain", "url": url}]
    world.clinician.launches(world.ehr)
    assert isinstance(world.ehr, WatchedEhr)
    world.ehr.seen.clear()
    answer = world.clinician.get(f"/s/{world.clinician.session}/reports/report-a/forms/0")
    return answer, [path for path in world.ehr.seen if not path.startswith("/fhir/DiagnosticReport/")]


@pytest.mark.parametrize(
    "way",
    [
        "%2e%2e/admin",
        "%2E./admin",
        "..",
        "Binary/..%2f..%2fadmin",
        "Binary/%2e%2e/%2e%2e/admin",
        "Binary%5c..%5c..%5cadmin",
        "%252e%252e/admin",
        "Binary/7%252f..%252f..%252f..%252fadmin",
        "..;x=1/admin",
        ".",
        "Binary/%2e",
        ".\t./admin",
    ],
)
def test_group_25_no_spelling_of_a_way_up_is_asked_for(world: World, way: str) -> None:
    answer, asked = asked_for(world, f"{world.ehr.fhir_base}/{way}")

    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert asked == []


@pytest.mark.parametrize("way", ["Binary/a.b-1", "Binary/7?_format=a%2Fb..", "Binary/7/_history/1"])
def test_group_25_an_address_inside_the_base_is_asked_for(world: World, way: str) -> None:
    _, asked = asked_for(world, f"{world.ehr.fhir_base}/{way}")

    assert [path.partition("?")[0] for path in asked] == [f"/fhir/{way.partition('?')[0]}"]
