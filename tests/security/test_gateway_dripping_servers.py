"""EHRs and token endpoints that drip their answers hold nobody's thread for long (SMART Imaging Access groups 6 and 23)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response, jsonify, request

from fhir_imaging.clients.archive_credentials import ClientCredentials
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import PacsSettings
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import METADATA, STUDY_A

TIMEOUT_S = 1.0
AT_ONCE_S = 10.0
"""Far less than what drips takes, and far more than a busy machine needs for all questions of a request."""
CLIENT = {"introspection_client_id": "gateway", "introspection_client_secret": "secret"}


def dripping() -> Response:
    """Never silent for as long as one read may take."""

    def drip() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.1)
            yield b" "

    return Response(drip(), mimetype="application/json")


def endless_pages() -> Response:
    """Each page comes in time, and another one is behind it."""
    time.sleep(0.2)
    link = [{"relation": "next", "url": f"{request.base_url}?page={time.perf_counter_ns()}"}]
    return jsonify({"resourceType": "Bundle", "type": "searchset", "link": link})


@pytest.fixture(scope="module", params=[False, True], ids=["each worker", "shared"])
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    server: dict[str, Any] = {"ehr_timeout_s": TIMEOUT_S, "shared_decisions": request.param}
    with a_world(tmp_path_factory.mktemp("gateway"), server=server, north={"jwks_url": None, **CLIENT}) as world:
        yield world


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/auth/introspect", dripping),
        ("/fhir/ImagingStudy", dripping),
        ("/fhir/ImagingStudy", endless_pages),
    ],
    ids=["introspection", "ownership", "pages of ownership"],
)
def test_caller_is_told_to_come_back_in_bounded_time(world: World, path: str, answer: Callable[[], Response]) -> None:
    token = f"opaque-{time.perf_counter_ns()}"
    world.north.introspected[token] = {**world.north.claims("pat-a"), "active": True}
    world.north.answers[path] = answer
    began = time.monotonic()

    told = world.get(METADATA, token)

    assert (told.status, world.pacs.asked) == (503, [])
    assert time.monotonic() - began < AT_ONCE_S


def imaging_study(uid: str) -> dict[str, Any]:
    identifier = [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}]
    subject = {"reference": "Patient/pat-a"}
    return {"resourceType": "ImagingStudy", "status": "available", "identifier": identifier, "subject": subject}


def of_many_studies() -> Response:
    """The patient's study on the last of five pages, each of which takes a while to make."""
    time.sleep(TIMEOUT_S / 4)
    number = int(request.args.get("page", "1"))
    study = imaging_study(STUDY_A if number == 5 else f"2.25.4711.{number}")
    link = [{"relation": "next", "url": f"{request.base_url}?page={number + 1}"}] if number < 5 else []
    return jsonify({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": study}], "link": link})


def of_large_studies() -> Response:
    """One page that takes longer than a question's time, and is never silent for long."""
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": imaging_study(STUDY_A)}]}

    def parts() -> Iterator[bytes]:
        for _ in range(7):
            time.sleep(TIMEOUT_S / 5)
            yield b" "
        yield json.dumps(bundle).encode()

    return Response(parts(), mimetype="application/fhir+json")


@pytest.mark.parametrize("studies", [of_many_studies, of_large_studies])
def test_patient_with_many_or_large_studies_is_not_refused(world: World, studies: Callable[[], Response]) -> None:
    """Their list takes longer than a question may, and is read for as long as three of them."""
    token = f"opaque-{time.perf_counter_ns()}"
    world.north.introspected[token] = {**world.north.claims("pat-a"), "active": True}
    world.north.answers["/fhir/ImagingStudy"] = studies

    assert world.get(METADATA, token).status == 200


def test_token_endpoint_of_an_archive_is_given_up_in_time(world: World) -> None:
    world.north.answers["/auth/token"] = dripping
    settings = PacsSettings(
        name="cloud",
        dicomweb_root=f"{world.north.base}/dicom-web",
        client_id="gateway",
        client_secret="secret",
        connect_timeout_s=TIMEOUT_S,
    )
    began = time.monotonic()
    credential = ClientCredentials(settings, f"{world.north.base}/auth/token")
    with pytest.raises(UpstreamError) as failure:
        credential.headers()
    credential.close()

    assert failure.value.context["what"] == "did not end its answer in time"
    assert time.monotonic() - began < AT_ONCE_S
