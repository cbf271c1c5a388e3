"""The composed application signs for the imaging server's own client with the keys that it publishes itself (F11)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from fhir_imaging.store.engine import Store
from imaging_cds.app import close_app, create_app
from imaging_cds.settings import from_table
from tests.conftest import free_port_number, serving
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_stubs import PACS_PASSWORD, STUDY_A, STUDY_B, StubEhr, StubPacs

ROOT = "/imaging/north/dicom-web/main"


@pytest.fixture
def counterparts() -> Iterator[tuple[StubEhr, StubPacs]]:
    with ExitStack() as stack:
        ehr, pacs = StubEhr("north"), StubPacs()
        for one in (ehr, pacs):
            one.base = stack.enter_context(serving(one.app(), free_port_number()))
        Index(pacs).holds(a_study(STUDY_A, "MRN-A"), a_study(STUDY_B, "MRN-B"))
        yield ehr, pacs


@pytest.fixture
def client(tmp_path: Path, counterparts: tuple[StubEhr, StubPacs]) -> Iterator[FlaskClient]:
    """The application as an administrator writes it down."""
    ehr, pacs = counterparts
    north = {
        "name": "north",
        "fhir_base": ehr.fhir_base,
        "token_issuer": ehr.issuer,
        "jwks_url": f"{ehr.issuer}/jwks",
        "ownership": "identifier",
        "backend_client_id": CLIENT,
    }
    settings = from_table(
        {
            "public_base_url": "http://localhost:8000",
            "components": ["smart_app", "imaging_server"],
            "state": {"state_dir": str(tmp_path / "state")},
            "ehr": [north],
            "pacs": [{"name": "main", "dicomweb_root": pacs.root, "user": "gateway", "password": PACS_PASSWORD}],
            "imaging_server": {"patient_identifiers": {"north": {"system": MRN, "issuer_of_patient_id": "NORTH"}}},
        }
    )
    store = Store.open(settings.state)
    store.migrate()
    store.close()
    app = create_app(settings)
    yield app.test_client()
    close_app(app)


def test_assertion_of_the_composed_application_is_believed_by_who_knows_its_published_keys(
    client: FlaskClient, counterparts: tuple[StubEhr, StubPacs]
) -> None:
    ehr, _ = counterparts
    authority = BackendAuthority(ehr, lambda: dict(client.get("/.well-known/jwks.json").get_json()))
    PatientRecord(ehr, [identifier("MRN-A")], readers=lambda token: token in authority.issued)
    headers = {"Authorization": f"Bearer {ehr.token()}"}

    statuses = [client.get(f"{ROOT}/studies/{study}/metadata", headers=headers).status_code for study in (STUDY_A, STUDY_B)]

    assert authority.faults == []
    assert statuses == [200, 403]
    assert len(authority.issued) == 1
