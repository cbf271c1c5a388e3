"""``--fhir``: another FHIR server stores, the demo's sandbox enforces in front of it (issue 2, item 9; issue 7; DESIGN §4).

The whole way, chart to card to launch to images, and another patient refused, on three servers: a second sandbox, HAPI FHIR
(``make hapi``) and Medplum's router (``make counterparts``), the latter two without any access control of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from ehr_sandbox.demo_study import uid_of
from fhir_imaging.fhir_versions import FhirVersion
from tests.conftest import free_port_number
from tests.interop.foreign_parties import HandBrowser, a_foreign_ehr
from tests.interop.hapi_process import running_hapi
from tests.interop.medplum_process import running_medplum
from tests.interop.outsiders import DemoProcess, a_demo, cli, curl, demo_images, studies_of, study_uid, with_images

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400), pytest.mark.xdist_group("outsiders")]


@dataclass(frozen=True, slots=True)
class Behind:
    """The server that stores: open to everybody who can reach it."""

    fhir: str
    has_pages: bool = True

    @property
    def url(self) -> str:
        return self.fhir.removesuffix("/fhir")


@dataclass(slots=True)
class World:
    """The demo, and the server that stores for it: known to the demo's administrator only."""

    demo: DemoProcess
    server: Behind


@pytest.fixture(scope="module", params=["sandbox", "hapi", "medplum"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    home = tmp_path_factory.mktemp("behind")
    with ExitStack() as stack:
        match request.param:
            case "hapi":
                yield Behind(stack.enter_context(running_hapi(home, FhirVersion.R4)).base)
            case "medplum":
                yield Behind(stack.enter_context(running_medplum(home)).base, has_pages=False)
            case _:
                yield Behind(stack.enter_context(a_foreign_ehr(home / "ehr", free_port_number(), "--open-fhir")).fhir)


@pytest.fixture(scope="module")
def world(
    server: Behind, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, viewer_dir: Path
) -> Iterator[World]:
    directory = with_images(tmp_path_factory.mktemp("stored-behind") / "demo", demo_images(pytestconfig))
    with a_demo(directory, viewer_dir, f"--fhir={server.fhir}", "--seed") as demo:
        yield World(demo, server)


def search(world: World, query: str, patient: str = "demo-a") -> dict[str, Any]:
    answer = curl("GET", f"{world.demo.fhir}/{query}", world.demo.token("--patient", patient))
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    return bundle


def urls_in(value: Any) -> list[str]:
    """Every absolute address anywhere in a JSON value, but identifiers' systems, codes' systems and names of extensions."""
    if isinstance(value, dict):
        inner = {name: item for name, item in value.items() if name not in ("system", "profile", "extension")}
        said = [{name: item for name, item in one.items() if name != "url"} for one in value.get("extension", [])]
        return [url for item in (*inner.values(), *said) for url in urls_in(item)]
    if isinstance(value, list):
        return [url for item in value for url in urls_in(item)]
    return [value] if isinstance(value, str) and value.startswith("http") else []


def test_the_demo_patients_are_stored_behind_and_not_here(world: World) -> None:
    behind = curl("GET", f"{world.server.fhir}/Patient?_count=50").json()

    assert {entry["resource"]["id"] for entry in behind["entry"]} == {f"demo-{letter}" for letter in "abcdef"}
    assert not (world.demo.directory / "ehr" / "fhir.sqlite3").exists()


def test_the_chart_shows_its_card_from_data_stored_behind(world: World) -> None:
    with requests.Session() as chart:
        chart.trust_env = False
        chart.headers["Origin"] = world.demo.ehr_url
        page = chart.get(f"{world.demo.ehr_url}/patients/demo-a", timeout=20).text
        opening = page.split('data-opening="')[1].split('"')[0]
        hook = f"{world.demo.ehr_url}/patients/demo-a/hooks/patient-view"
        guidance = chart.post(hook, json={"opening": opening}, timeout=30)

    assert "Alma" in page
    assert guidance.status_code == 200, guidance.text
    assert "4B" in guidance.json()["html"]


def test_an_app_is_launched_and_opens_the_images_with_the_record_stored_behind(world: World) -> None:
    parameters = {"launchUrl": f"{world.demo.app_url}/launch", "parameters": {"patient": "demo-a"}}
    token = world.demo.token("--patient", "demo-a")
    launch = curl("POST", f"{world.demo.fhir}/_services/smart/Launch", token, json=parameters).json()["launch_id"]

    page = HandBrowser().opens(f"{world.demo.app_url}/launch?iss={world.demo.fhir}&launch={launch}")
    uid = study_uid(studies_of(world.demo.fhir, token, "demo-a")[0])
    images = curl("GET", f"{world.demo.gateway}/studies/{uid}/metadata", token)

    assert page.status_code == 200
    assert "CT CHEST LOW DOSE SCREENING" in page.text
    assert images.status_code == 200


def test_paging_stays_here_and_inside_the_compartment(world: World) -> None:
    """Links lead to the sandbox, whose every page is checked again; another patient's token does not read them on."""
    first = curl("GET", f"{world.demo.fhir}/ImagingStudy?patient=demo-a&_count=1", world.demo.token("--patient", "demo-a"))
    if not world.server.has_pages:  # then the first of several is not passed off as all
        assert first.status_code == 502
        assert "_count" in first.json()["issue"][0]["diagnostics"]
        return
    seen, bundle = [], search(world, "ImagingStudy?patient=demo-a&_count=1&_sort=-started")
    while True:
        seen += [entry["resource"]["id"] for entry in bundle["entry"] if entry["search"]["mode"] == "match"]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            break
        assert following[0].startswith(f"{world.demo.fhir}")
        assert world.server.url not in following[0]
        assert curl("GET", following[0], world.demo.token("--patient", "demo-b")).status_code in (403, 404, 410)
        bundle = curl("GET", following[0], world.demo.token("--patient", "demo-a")).json()

    assert sorted(seen) == sorted([uid_of("demo-a-ct-current"), uid_of("demo-a-ct-prior"), uid_of("demo-a-dx-archived")])


@pytest.mark.parametrize(
    "query",
    [
        "ImagingStudy?patient=demo-a&_include=ImagingStudy:endpoint&_include=ImagingStudy:subject",
        "DiagnosticReport?patient=demo-a&_include=DiagnosticReport:result",
        "Patient?_id=demo-a&_revinclude=Observation:subject",
        "Observation?patient=demo-a&_sort=-date",
        "Patient/demo-a",
    ],
)
def test_answers_hold_only_this_patient_and_only_this_servers_addresses(world: World, query: str) -> None:
    answer = search(world, query)

    written = json.dumps(answer)
    assert world.server.url not in written
    assert "demo-b" not in written
    assert "demo-c" not in written
    own = (world.demo.fhir, world.demo.app_url)
    if answer["resourceType"] == "Bundle":
        assert any(url.startswith(f"{world.demo.fhir}/") for url in urls_in(answer))
    assert [url for url in urls_in(answer) if url.startswith("http://") and not url.startswith(own)] == []


@pytest.mark.parametrize("path", ["Patient/demo-b", "ImagingStudy?patient=demo-b", "Observation?subject=Patient/demo-b"])
def test_another_patient_stays_closed(world: World, path: str) -> None:
    answer = curl("GET", f"{world.demo.fhir}/{path}", world.demo.token("--patient", "demo-a"))

    assert answer.status_code == 403 or answer.json().get("entry", []) == []
    assert "Bruno" not in answer.text
    assert curl("GET", f"{world.demo.fhir}/{path}").status_code == 401


def test_what_an_app_writes_is_stored_behind(world: World) -> None:
    draft = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/demo-c"},
        "code": {"text": "CT of the chest"},
    }
    writer = world.demo.token("--patient", "demo-c", "--scope", "patient/*.cruds")
    written = curl(
        "POST", f"{world.demo.fhir}/ServiceRequest", writer, json=draft, headers={"Content-Type": "application/fhir+json"}
    )

    assert written.status_code == 201, written.text
    assert written.headers["Location"].startswith(f"{world.demo.fhir}/ServiceRequest/")
    behind = curl("GET", f"{world.server.fhir}/ServiceRequest/{written.json()['id']}")
    assert behind.json()["code"] == draft["code"]


def test_a_server_that_does_not_answer_is_named_before_anything_starts(tmp_path: Path, viewer_dir: Path) -> None:
    ports = [part for flag in ("--port", "--ehr-port", "--pacs-port") for part in (flag, str(free_port_number()))]
    nowhere = f"http://127.0.0.1:{free_port_number()}/fhir"

    _, errors = cli(
        "demo", "--directory", str(tmp_path / "d"), "--viewer-dir", str(viewer_dir), *ports, "--fhir", nowhere, code=1
    )

    assert f"--fhir: nothing answers at {nowhere}/metadata" in errors
