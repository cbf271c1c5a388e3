"""The other door: the viewer asks a PACS on its own origin with the launch's token, past no gateway (SMART Imaging Access)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomli_w
from flask import Flask, request
from playwright.sync_api import Browser
from rich.console import Console

from ehr_sandbox.pacs import PacsSettings, create_pacs
from ehr_sandbox.pacs_tokens import SmartTokens
from ehr_sandbox.patients import alma
from ehr_sandbox.services import make_services
from imaging_cds import demo_data
from imaging_cds.demo import process_specs
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.processes import ProcessGroup
from imaging_cds.sandbox_servers import ehr_settings
from tests.browser.demo_stack import Demo, clinician, opened_app
from tests.browser.ohif_pixels import viewer_frame, wait_for_picture
from tests.browser.test_warm_viewer import click_study
from tests.conftest import free_port_number, serving
from tests.interop.outsiders import curl, demo_images, with_images
from tests.synced_studies import synced_demo

pytest_plugins = ["tests.browser.demo_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CURRENT = alma.CURRENT.study_instance_uid
READY_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as the PACS saw it."""

    method: str
    path: str
    origin: str | None
    authorization: str | None


@dataclass(slots=True, kw_only=True)
class DirectDemo:
    """The demo with its Endpoint rewritten to the PACS itself."""

    demo: Demo
    asked: list[Asked] = field(default_factory=list)

    def note(self) -> None:
        """Called by the PACS before each of its answers."""
        headers = request.headers
        self.asked.append(
            Asked(
                method=request.method,
                path=request.path,
                origin=headers.get("Origin"),
                authorization=headers.get("Authorization"),
            )
        )


@contextmanager
def running_direct(directory: Path, images: Path, viewer_dir: Path) -> Iterator[DirectDemo]:
    """EHR and app as the demo starts them; the PACS takes the EHR's tokens, and its origin may have them."""
    app, ehr, pacs = (free_port_number() for _ in range(3))
    options = DemoOptions(
        directory=with_images(directory, images), viewer_dir=viewer_dir, port=app, ehr_port=ehr, pacs_port=pacs
    )
    prepared = demo_data.prepare(options, Console(quiet=True))
    records = make_services(ehr_settings(options)).store
    for resource in synced_demo(prepared.demo, options.dicom_dir, options.gateway_root).resources:
        records.put(resource)
    table = app_table(options)
    table["ehr"][0]["token_origins"] = [f"http://127.0.0.1:{pacs}"]
    table["ehr"][0]["endpoint_rewrites"] = {options.gateway_root: options.dicomweb_root}
    options.app_config.write_text(tomli_w.dumps(table))
    demo = Demo(app_url=options.app_url, ehr_url=options.ehr_url, pacs_url=options.dicomweb_root, directory=directory)
    running = DirectDemo(demo=demo)
    group = ProcessGroup()
    with serving(direct_pacs(options, running), pacs):
        try:
            for spec in process_specs(options)[1:]:
                group.start(spec)
            group.wait_ready(READY_TIMEOUT_S)
            yield running
        finally:
            group.stop()


def direct_pacs(options: DemoOptions, running: DirectDemo) -> Flask:
    """The demo's archive, which asks for a token of its EHR and lets the app's pages ask."""
    archive = create_pacs(
        PacsSettings(
            base_url=options.dicomweb_root,
            data_dir=options.directory / "pacs",
            bearer_token="of the archive's own clients",
            cors_origins=(options.app_url,),
            smart_tokens=SmartTokens(
                issuer=f"{options.ehr_url}/auth",
                jwks_url=f"{options.ehr_url}/auth/jwks",
                audience=f"{options.ehr_url}/fhir",
                patient_ids={"demo-a": "DEMO-1001", "demo-b": "DEMO-1002"},
            ),
            import_dirs=(options.dicom_dir,),
        )
    )
    archive.before_request_funcs.setdefault(None, []).insert(0, running.note)
    return archive


@pytest.fixture(scope="module")
def direct(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, viewer_dir: Path) -> Iterator[DirectDemo]:
    directory = tmp_path_factory.mktemp("direct") / "state"
    with running_direct(directory, demo_images(pytestconfig), viewer_dir) as running:
        yield running


def test_pixels_come_straight_from_the_pacs_with_the_launchs_token(direct: DirectDemo, browser: Browser) -> None:
    """Issue 4, C3, groups 24 and 25: real preflights, the token to the named origin alone, nothing through the gateway."""
    demo = direct.demo
    with clinician(browser, demo) as (context, wire):
        page = opened_app(context, demo)
        click_study(page, CURRENT)
        page.wait_for_url(f"**/viewer/{CURRENT}")
        page.wait_for_timeout(500)
        picture = wait_for_picture(viewer_frame(page))

        assert not picture.is_empty
        frames = [one for one in direct.asked if "/frames/" in one.path and one.method == "GET"]
        preflights = [one for one in direct.asked if one.method == "OPTIONS"]
        assert frames
        assert {one.origin for one in frames} == {demo.app_url}
        assert {one.authorization for one in frames} <= {f"Bearer {token}" for token in wire.tokens}
        assert preflights, "a cross-origin request with a token is announced first"
        assert {one.authorization for one in preflights} == {None}, "a preflight never carries the token"
        assert not [one for one in wire.requests if "/imaging/sandbox/dicom-web" in one.url]
        receivers = {
            one.url.split("/", 3)[2] for one in wire.requests if (one.header_value("authorization") or "").startswith("Bearer")
        }
        assert receivers == {demo.pacs_url.split("/", 3)[2]}
        for token in wire.tokens:
            assert not any(token in one.url for one in wire.requests)
        assert not any("Content Security Policy" in line for line in wire.console)


def test_the_pacs_refuses_other_patients_and_other_tokens(direct: DirectDemo) -> None:
    """C3: the archive decides for itself; our app is not its guard."""
    demo, study = direct.demo, f"{direct.demo.pacs_url}/studies/{CURRENT}/metadata"

    assert curl("GET", study, demo.token("demo-a")).status_code == 200
    assert curl("GET", study, demo.token("demo-b")).status_code == 403
    assert curl("GET", f"{demo.pacs_url}/studies", demo.token("demo-a")).status_code == 403
    assert curl("GET", f"{demo.pacs_url}/studies?PatientID=DEMO-1001", demo.token("demo-a")).status_code == 200
    assert curl("GET", study, "no-token").status_code == 401
    assert curl("GET", study).status_code == 401
