"""The SMART app notes its tokens for the imaging server where an EHR's tokens are opaque (DESIGN §8, third way; A27, A38)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from fhir_imaging.store.tables import sealed_record
from fhir_imaging.web import install
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings
from imaging_server.views import create_blueprint, error_surface
from smart_app.sessions import purge_expired
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import APP, PATIENT, STUDY_A, World, a_world
from tests.security.gateway_stubs import StubPacs


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, opaque_tokens=True) as made:
        made.clinician.launches(made.ehr)
        yield made


def token_of(world: World) -> str:
    answer = world.clinician.post(f"/s/{world.clinician.session}/token").json
    assert answer is not None
    return str(answer["access_token"])


def found(world: World, token: str) -> LaunchedToken | None:
    services = world.app.services
    return LaunchedTokens(services.store).find(token, ehr="sandbox", now=services.now())


def noted(world: World) -> int:
    kind = sealed_record.c.kind == "launched-token"
    with world.app.services.store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(sealed_record).where(kind)).scalar_one())


def test_launch_notes_what_the_token_response_said(world: World) -> None:
    services = world.app.services

    launched = found(world, token_of(world))

    session = services.sessions.find(world.clinician.session, now=services.now())
    assert launched is not None
    assert session is not None
    assert (launched.issuer, launched.patient_id, launched.scopes) == (world.ehr.fhir_base, PATIENT, session.scope)
    assert (launched.user, launched.client_id) == (session.user, "imaging-cds")
    assert launched.expires_at == session.token_expires_at == services.now() + 300


def test_renewal_notes_the_new_token_and_lets_the_old_one_end_soon(world: World) -> None:
    old = token_of(world)
    world.clock.passes(seconds=241)
    new = token_of(world)
    after_renewal = (found(world, old), found(world, new))
    world.clock.passes(seconds=61)

    assert new != old
    assert all(after_renewal)
    assert found(world, old) is None
    assert found(world, new) is not None


def test_renewed_scopes_count(world: World) -> None:
    world.ehr.refresh_changes = {"scope": "patient/Patient.r"}
    world.clock.passes(seconds=241)

    launched = found(world, token_of(world))

    assert launched is not None
    assert launched.scopes == "patient/Patient.r"


def test_sign_out_forgets_the_token(world: World) -> None:
    token = token_of(world)
    world.clinician.post(f"/s/{world.clinician.session}/logout")

    assert found(world, token) is None
    assert noted(world) == 0


def test_session_that_changes_its_patient_is_stopped_and_its_token_forgotten(world: World) -> None:
    token = token_of(world)
    world.ehr.refresh_changes = {"patient": "somebody-else"}
    world.clock.passes(seconds=241)
    answer = world.clinician.post(f"/s/{world.clinician.session}/token")

    assert answer.status_code != 200
    assert found(world, token) is None
    assert noted(world) == 0


def test_ended_notes_are_swept_with_the_sessions(world: World) -> None:
    world.clock.passes(seconds=400)
    purge_expired(world.app.services.store, now=world.app.services.now())

    assert noted(world) == 0


def test_other_ehrs_tokens_are_noted_nowhere(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.clinician.launches(world.ehr)
        token_of(world)
        world.clock.passes(seconds=241)
        token_of(world)

        assert noted(world) == 0


# The whole way: what the app notes, the gateway takes


@contextmanager
def a_gateway(world: World) -> Iterator[tuple[StubPacs, Callable[[str], int]]]:
    """The imaging server on the app's database, in front of an archive; asked for the metadata of patient A's study."""
    pacs = StubPacs(persons={STUDY_A: ("DEMO-1001", None)})
    with serving(pacs.app(), free_port_number()) as pacs.base:
        settings = ImagingServerSettings(public_base_url=APP, decision_cache_s=0.001)
        services = build_services(settings, world.app.services.ehrs, (pacs.settings(),), store=world.app.services.store)
        app = Flask("gateway_under_test", static_folder=None)
        install(app, [error_surface(services)])
        app.register_blueprint(create_blueprint(services))

        def ask(token: str) -> int:
            path = f"/imaging/sandbox/dicom-web/main/studies/{STUDY_A}/metadata"
            return app.test_client().get(path, headers={"Authorization": f"Bearer {token}"}).status_code

        yield pacs, ask
        services.close()


def test_token_of_a_launch_opens_its_patients_images_until_sign_out(tmp_path: Path) -> None:
    with a_world(tmp_path, opaque_tokens=True) as world:
        world.clock.moment = datetime.now(UTC)  # the gateway has the real clock
        world.clinician.launches(world.ehr)
        with a_gateway(world) as (pacs, ask):
            token = token_of(world)
            opened, unknown = ask(token), ask(f"{token}x")
            world.clinician.post(f"/s/{world.clinician.session}/logout")
            pacs.asked.clear()

            assert (opened, unknown, ask(token)) == (200, 401, 401)
            assert pacs.asked == []


def test_without_the_setting_the_apps_tokens_are_nothing_to_the_gateway(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.clock.moment = datetime.now(UTC)
        world.clinician.launches(world.ehr)
        with a_gateway(world) as (pacs, ask):
            assert ask(token_of(world)) == 401
            assert pacs.asked == []
