"""The whole application, as the composition root makes it, with its state on PostgreSQL (issue 2 item 10; DESIGN §9)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.feedback_store import FeedbackStore
from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from imaging_cds.app import create_app
from imaging_cds.settings import ApplicationSettings, from_table
from tests.cds_actors import SigningEhr, a_hook, a_lung_rads, whole_prefetch
from tests.contract.sandbox_client import SandboxClient, a_sandbox
from tests.contract.smart_actors import APP
from tests.interop.postgresql_actors import PostgresqlServer, a_postgresql_server, connections_closed
from tests.pacs_actors import Slice, a_running_pacs

pytestmark = pytest.mark.interop
STUDY_OF_A = "2.25.4"
STUDY_OF_B = "2.25.5"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with a_postgresql_server() as running:
        yield running


def test_the_whole_application_runs_on_postgresql(server: PostgresqlServer, tmp_path: Path) -> None:
    """Readiness, one launch, one card, one image with its audit record, and a restart of the database under it."""
    settings = StateSettings(state_dir=tmp_path / "state", database_url=server.new_database())
    Slice(study_uid=STUDY_OF_A).write(tmp_path / "images")
    caller = SigningEhr()
    with (
        a_sandbox(tmp_path / "ehr") as ehr,
        a_running_pacs(tmp_path / "pacs", tmp_path / "images") as pacs,
        connections_closed(),
    ):
        configured = configuration(settings, ehr, pacs.url, caller, tmp_path)
        store = Store.open(configured.state)
        store.migrate()
        app = create_app(configured)
        client = app.test_client()

        assert client.get("/readyz").status_code == 200
        assert "SYNTHETIC, Alma" in launched(client, ehr)
        card, *_ = called(client, caller)
        assert card["summary"].startswith("Lung-RADS 4B")
        token = ehr.a_token("patient/ImagingStudy.rs patient/Patient.r", "demo-a")
        assert metadata_status(client, STUDY_OF_A, token) == 200
        assert metadata_status(client, STUDY_OF_B, token) == 403
        assert [one.outcome.value for one in AuditLog(store).find(AuditFilter())] == ["denied", "allowed"]
        assert FeedbackStore(store).by_rule()[0].shown == 1

        server.stop()
        assert client.get("/readyz").status_code == 503
        assert metadata_status(client, STUDY_OF_B, token) == 503, "what cannot be recorded is not answered"
        server.start()
        assert client.get("/readyz").status_code == 200
        assert metadata_status(client, STUDY_OF_B, token) == 403
        store.close()


def configuration(
    state: StateSettings, ehr: SandboxClient, pacs_url: str, caller: SigningEhr, directory: Path
) -> ApplicationSettings:
    keys = directory / "caller.jwks.json"
    keys.write_text(json.dumps(caller.jwks()))
    ClientKeys.of(state.state_dir)
    known = {
        "name": "sandbox",
        "fhir_base": ehr.fhir_base,
        "token_issuer": ehr.settings.issuer,
        "jwks_url": f"{ehr.settings.issuer}/jwks",
        "client_id": "imaging-cds",
    }
    return from_table(
        {
            "public_base_url": APP,
            "state": {"state_dir": str(state.state_dir), "database_url": state.database_url},
            "ehr": [known],
            "pacs": [{"name": "demo", "dicomweb_root": pacs_url}],
            "cds": {"trusted_clients": [{"iss": caller.iss, "jwks_file": str(keys)}]},
        }
    )


def launched(client: Any, ehr: SandboxClient) -> str:
    """The study list after an EHR launch, every redirect followed as a browser would."""
    location = f"/launch?iss={ehr.fhir_base}&launch={ehr.a_launch(smart_style=False)}"
    for _ in range(10):
        if location.startswith(ehr.base):
            answer = ehr.http.get(location, allow_redirects=False, timeout=10)
            location = answer.headers["Location"].removeprefix(APP)
            continue
        page = client.get(location, base_url=APP)
        if page.status_code not in (301, 302, 303):
            return str(page.text)
        location = page.headers["Location"].removeprefix(APP)
    raise AssertionError(f"no page at the end of the launch: {location}")


def called(client: Any, caller: SigningEhr) -> list[dict[str, Any]]:
    """The cards of one chart with its whole prefetch."""
    url = f"{APP}/cds-services/imaging-findings"
    now = int(datetime.now(UTC).timestamp())
    token = caller.jwt_for(url, iat=now, exp=now + 300)
    prefetch = whole_prefetch(a_lung_rads("4B"))
    answer = client.post(url.removeprefix(APP), json=a_hook(prefetch), headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    cards: list[dict[str, Any]] = answer.get_json()["cards"]
    return cards


def metadata_status(client: Any, study: str, token: str) -> int:
    path = f"/imaging/sandbox/dicom-web/demo/studies/{study}/metadata"
    return int(client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code)
