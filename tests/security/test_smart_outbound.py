"""Whom the app asks, and with what: only configured servers, and never with a token for strangers (groups 24 and 25)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from flask import Flask, Response, redirect

from fhir_imaging.clients.http import OutboundSession
from smart_app.imaging_base import APP_LAUNCH_MODE, IMAGING_CAPABILITY
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import STUDY_A, FakeEhr, World, a_world, demo_record, wado_endpoint


@dataclass
class Wiretap:
    """Every request that left the app: where to, and whether it carried a token."""

    sent: list[tuple[str, bool]] = field(default_factory=list)

    def strangers(self, *known: str) -> list[str]:
        """Addresses that were asked beside the known ones."""
        return [url for url, _ in self.sent if not url.startswith(known)]


@pytest.fixture
def wiretap(monkeypatch: pytest.MonkeyPatch) -> Wiretap:
    tap = Wiretap()
    send = OutboundSession.send

    def noted(self: OutboundSession, prepared: requests.PreparedRequest, **more: Any) -> requests.Response:
        tap.sent.append((str(prepared.url), "Authorization" in prepared.headers))
        return send(self, prepared, **more)

    monkeypatch.setattr(OutboundSession, "send", noted)
    return tap


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[str]]]:
    """A server that nobody configured, and what it was asked."""
    asked: list[str] = []
    app = Flask("stranger")

    @app.before_request
    def noted() -> Response:
        asked.append("asked")
        return Response("{}", mimetype="application/json")

    with serving(app, free_port_number()) as url:
        yield url, asked


def look_alikes(base: str, stranger: str) -> list[str]:
    """Addresses that are not the configured ``base``, however much they look like it."""
    host = base.removeprefix("http://")
    return [
        f"{stranger}/fhir",
        f"https://{host}",
        f"{base}/",
        f"{base}/../fhir",
        f"{base}/x",
        f"{base}?x=1",
        f"{base}#x",
        f" {base}",
        f"{base}\n",
        f"{base}\x00",
        base.upper(),
        base.replace("127.0.0.1", "localhost"),
        base.replace("127.0.0.1", str(0x7F000001)),
        base.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        base.replace("127.0.0.1", "127.0.0.1.evil.example"),
        base.replace("127.0.0.1", "127。0。0。1"),
        f"http://{host.split('/')[0]}@{stranger.removeprefix('http://')}/fhir",
        f"{base}@{stranger.removeprefix('http://')}",
        base.replace("/fhir", "\\@evil.example/fhir"),
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/",
        "http://localhost:22/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "javascript:alert(1)",
        "",
    ]


@pytest.mark.parametrize("prefix", [False, True], ids=["exact", "prefix"])
@pytest.mark.parametrize("way", ["launch", "launch/go", "launch/standalone"])
def test_group_24_an_iss_that_only_looks_like_ours_is_refused_before_any_request(
    tmp_path: Path, wiretap: Wiretap, stranger: tuple[str, list[str]], way: str, prefix: bool
) -> None:
    with a_world(tmp_path, iss_is_prefix=prefix) as world:
        base = world.ehr.fhir_base
        extended = (f"{base}/x", f"{base}/") if prefix else ()  # what a prefix is for
        tried = [one for one in look_alikes(base, stranger[0]) if one not in extended]
        for iss in tried:
            page = world.clinician.get(f"/{way}?{urlencode({'iss': iss, 'launch': 'x'})}")

            assert page.status_code in (400, 403), iss
        assert wiretap.sent == []
        assert stranger[1] == []
        assert world.ehr.authorizations == []


def test_group_24_of_two_issuers_in_one_address_only_the_one_that_was_judged_is_asked(
    world: World, wiretap: Wiretap, stranger: tuple[str, list[str]]
) -> None:
    world.clinician.opens(f"/launch?{urlencode([('iss', world.ehr.fhir_base), ('iss', stranger[0]), ('launch', 'x')])}")
    world.clinician.opens(f"/launch?{urlencode([('iss', stranger[0]), ('iss', world.ehr.fhir_base), ('launch', 'x')])}")

    assert stranger[1] == []
    assert wiretap.strangers(world.ehr.base_url) == []


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "revocation_endpoint"])
def test_group_24_discovery_cannot_lead_to_strangers(
    world: World, wiretap: Wiretap, stranger: tuple[str, list[str]], name: str
) -> None:
    own = world.ehr.base_url.removeprefix("http://")
    for address in (
        f"{stranger[0]}/x",
        f"//{stranger[0].removeprefix('http://')}/x",
        f"http://{own}@{stranger[0].removeprefix('http://')}/x",
        "http://169.254.169.254/x",
        "http://evil.example/x",
        "https://evil.example:443/x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        f"http://user:pw@{own}/auth/token",
    ):
        world.ehr.smart_configuration = {name: address}
        world.app.services.metadata.forget()
        page = world.clinician.launches(world.ehr)
        if name == "revocation_endpoint":
            world.clinician.post(f"/s/{world.clinician.session}/logout")
        else:
            assert page.status_code >= 400, address

    assert stranger[1] == []
    assert wiretap.strangers(world.ehr.base_url) == []


def test_group_24_a_redirect_of_the_ehr_is_not_followed(tmp_path: Path, stranger: tuple[str, list[str]]) -> None:
    class Redirecting(FakeEhr):
        def _configuration(self) -> Any:
            return redirect(f"{stranger[0]}/fhir/.well-known/smart-configuration")

    with a_world(tmp_path, ehr=Redirecting(fhir=demo_record())) as world:
        page = world.clinician.launches(world.ehr)

    assert page.status_code == 502
    assert stranger[1] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/fhir",
        "http://10.0.0.1/fhir",
        "http://169.254.169.254/fhir",
        "http://[fe80::1]/fhir",
        "https://user:pw@evil.example/fhir",
        "https://evil.example\\@127.0.0.1/fhir",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//evil.example/fhir",
        "evil.example/fhir",
        "",
    ],
)
def test_group_25_an_imaging_server_that_cannot_be_believed_gets_no_token(world: World, wiretap: Wiretap, url: str) -> None:
    offered = {"url": url, "capabilities": [IMAGING_CAPABILITY, APP_LAUNCH_MODE]}
    world.ehr.smart_configuration = {"capabilities": ["launch-ehr"], "associated_endpoints": [offered]}
    page = world.clinician.launches(world.ehr)

    assert page.status_code in (200, 403, 502), "explained, or the EHR itself was asked and the page says so"
    assert wiretap.strangers(world.ehr.base_url) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/dicom-web",
        "http://localhost:8000@evil.example/dicom-web",
        "http://localhost:80001/dicom-web",
        "http://localhost.evil.example:8000/dicom-web",
        "http://LOCALHOST:8001/dicom-web",
        "https://localhost:8000/dicom-web",
        "http://user:pw@localhost:8000/dicom-web",
        "http://localhost:8000\\@evil.example/dicom-web",
        "http://10.0.0.1/dicom-web",
        "http://169.254.169.254/dicom-web",
        "javascript:alert(1)//localhost:8000",
        "data:text/html,x",
        "file:///etc/passwd",
        "//localhost:8000/dicom-web",
        "/dicom-web",
        "",
    ],
)
def test_group_25_an_endpoint_elsewhere_gets_no_token_and_is_said(world: World, address: str) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint(address)]
    listed = world.clinician.launches(world.ehr)
    opened = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")
    config = world.clinician.get(f"/s/{world.clinician.session}/ohif/app-config.js")

    assert "Open images</a>" not in listed.text
    assert 'class="state"' in listed.text, "the list says why"
    assert opened.status_code == 409
    assert config.status_code == 403
    assert "<iframe" not in opened.text


def test_group_25_only_one_of_two_endpoints_is_used_and_the_other_never_reaches_the_viewer(world: World) -> None:
    world.ehr.fhir["ImagingStudy"][0]["endpoint"] = [{"reference": "Endpoint/evil"}, {"reference": "Endpoint/demo-wado"}]
    world.ehr.fhir["Endpoint"].insert(0, wado_endpoint("https://evil.example/dicom-web", "evil"))
    world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    page = world.clinician.get(f"{base}/viewer/{STUDY_A}")
    config = world.clinician.get(f"{base}/ohif/app-config.js")

    assert page.status_code == 200
    assert "evil.example" not in config.text + page.headers["Content-Security-Policy"]
