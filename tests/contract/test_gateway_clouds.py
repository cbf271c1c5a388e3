"""The gateway in front of archives in clouds, by their public documents (issue 5; W2, W3, X10; §7 of PS3.18's points).

Not verified on the real services; ``cloud_archives`` names the document behind each stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port_number, serving
from tests.contract.cloud_archives import (
    FILE,
    STORED,
    AwsHealthImaging,
    AzureDicom,
    CloudArchive,
    Dcm4chee,
    GoogleStore,
    TokenEndpoint,
)
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import INSTANCE, METADATA, PRIOR_A, STUDY_A, STUDY_B, instance_of, series_of

FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"
"""As OHIF asks for frames."""
SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
WADO = f"/wado?requestType=WADO&studyUID={STUDY_A}&seriesUID={series_of(STUDY_A)}&objectUID={instance_of(STUDY_A)}"
KINDS: list[tuple[type[CloudArchive], dict[str, Any]]] = [
    (Dcm4chee, {"token_scope": "openid"}),
    (GoogleStore, {"headers": {"X-Goog-User-Project": "billing-project"}}),
    (AzureDicom, {"token_scope": "https://dicom.healthcareapis.azure.com/.default", "studies_per_search": 1}),
    (AwsHealthImaging, {"token_audience": "https://healthimaging.example"}),
]


@contextmanager
def a_cloud(folder: Path, kind: type[CloudArchive], **settings: Any) -> Iterator[tuple[World, TokenEndpoint, CloudArchive]]:
    tokens, archive = TokenEndpoint(), kind()
    archive.accepts = lambda token: token in tokens.issued
    with (
        serving(tokens.app(), free_port_number()) as tokens.base,
        a_world(folder, pacs=archive, archive=tokens.settings(**settings)) as world,
    ):
        yield world, tokens, archive


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind[0].__name__)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, TokenEndpoint, CloudArchive]]:
    kind, settings = request.param
    with a_cloud(tmp_path_factory.mktemp("cloud"), kind, **settings) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: tuple[World, TokenEndpoint, CloudArchive]) -> tuple[World, TokenEndpoint, CloudArchive]:
    running[0].start_anew()
    return running


Cloud = tuple[World, TokenEndpoint, CloudArchive]


def test_patient_a_reads_own_images_as_a_viewer_does(cloud: Cloud) -> None:
    """The way of OHIF: studies, series, metadata of a series, frames."""
    world, _, archive = cloud
    token = world.north.token()

    studies = world.found("/studies", token)
    series = world.get(f"/studies/{STUDY_A}/series", token)
    metadata = world.get(f"{SERIES}/metadata", token)
    frames = world.get(f"{INSTANCE}/frames/1,2", token, Accept=FRAMES)

    assert sorted(studies) == [STUDY_A, PRIOR_A]
    assert [one.status for one in (series, metadata, frames)] == [200, 200, 200]
    assert frames.body.count(b"pixels of " + STUDY_A.encode()) == 1
    assert archive.base.encode() not in series.body + metadata.body + frames.body
    assert archive.path.encode() not in series.body + metadata.body + frames.body
    gateway = f"{world.url}{world.root}{SERIES}"
    assert series.json()[0]["00081190"]["Value"] == [gateway]
    assert metadata.json()[0]["7FE00010"]["BulkDataURI"].startswith(f"{gateway}/instances/")


@pytest.mark.parametrize("path", [f"{INSTANCE}/frames/1", f"{INSTANCE}/rendered"])
def test_caller_who_accepts_anything_gets_the_stored_frame_or_a_picture(cloud: Cloud, path: str) -> None:
    """These services refuse ``*/*``."""
    world, _, archive = cloud
    answer = world.get(path, world.north.token())

    lacks = isinstance(archive, AwsHealthImaging) and path.endswith("rendered")
    assert answer.status == (404 if lacks else 200)


def test_one_file_comes_by_wado_rs_and_wado_uri(cloud: Cloud) -> None:
    """No archive needs a URI service, nor the one form of files that another archive has."""
    world, _, _ = cloud
    token = world.north.token()

    by_rs = world.get(INSTANCE, token, Accept="application/dicom; transfer-syntax=*")
    by_uri = world.get(f"{WADO}&contentType=application/dicom&transferSyntax=*", token)

    assert (by_rs.status, by_rs.body) == (by_uri.status, by_uri.body) == (200, FILE)
    assert by_uri.headers["Content-Type"] in ("application/dicom", f"application/dicom; transfer-syntax={STORED}")


def test_cloud_is_not_asked_for_anything_of_patient_b(cloud: Cloud) -> None:
    world, tokens, _ = cloud
    asked = len(tokens.asked)

    for path in (f"/studies/{STUDY_B}", f"/studies/{STUDY_B}/metadata", WADO.replace(STUDY_A, STUDY_B)):
        assert world.get(path, world.north.token()).status == 403
    assert world.pacs.asked == []
    assert len(tokens.asked) == asked


def test_cloud_sees_the_gateways_token_and_nothing_of_the_caller(cloud: Cloud) -> None:
    world, tokens, archive = cloud
    token = world.north.token()

    world.get(f"{SERIES}/metadata", token, Cookie="a=b", Forwarded="host=evil.example", X_Patient="pat-b")

    assert {one.headers["Authorization"] for one in archive.asked} == {f"Bearer {tokens.issued[-1]}"}
    said = str([(one.target, one.headers, one.body) for one in (*archive.asked, *tokens.asked)])
    for secret in (token, "evil.example", "pat-b", "a=b"):
        assert secret not in said
    assert len(tokens.issued) == 1


def test_head_is_answered_though_the_cloud_has_only_get(cloud: Cloud) -> None:
    world, _, _ = cloud

    answer = world.send("HEAD", f"{world.root}{SERIES}/metadata", {"Authorization": f"Bearer {world.north.token()}"})

    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"", "application/dicom+json")


def test_what_the_cloud_does_not_offer_is_said_without_its_words(cloud: Cloud) -> None:
    world, _, archive = cloud
    offered = {Dcm4chee: 200, GoogleStore: 404, AzureDicom: 404, AwsHealthImaging: 404}

    answer = world.get(f"{INSTANCE}/thumbnail", world.north.token(), Accept="image/jpeg")

    assert answer.status == offered[type(archive)]
    assert b"internal.example" not in answer.body


def test_token_is_asked_for_as_the_site_wrote_it_down(cloud: Cloud) -> None:
    world, tokens, archive = cloud
    world.get(METADATA, world.north.token())

    form = tokens.asked[0].body
    assert "grant_type=client_credentials" in form
    scopes = {Dcm4chee: "scope=openid", AzureDicom: "scope=https%3A%2F%2Fdicom.healthcareapis.azure.com%2F.default"}
    assert scopes.get(type(archive), "grant_type") in form
    audience = "audience=https%3A%2F%2Fhealthimaging.example&resource=https%3A%2F%2Fhealthimaging.example"
    assert (audience in form) is (type(archive) is AwsHealthImaging)


# What is special at one of them


def test_google_gets_the_vendor_header_of_the_settings(tmp_path: Path) -> None:
    with a_cloud(tmp_path, GoogleStore, headers={"X-Goog-User-Project": "billing-project"}) as (world, tokens, archive):
        world.get(METADATA, world.north.token())

        assert {one.headers["X-Goog-User-Project"] for one in archive.asked} == {"billing-project"}
        assert "X-Goog-User-Project" not in tokens.asked[0].headers


def test_azure_matches_one_uid_only_so_that_each_study_is_asked_for(tmp_path: Path) -> None:
    with a_cloud(tmp_path, AzureDicom, studies_per_search=1) as (world, _, archive):
        assert sorted(world.found("/studies", world.north.token())) == [STUDY_A, PRIOR_A]
        assert [one.query["StudyInstanceUID"] for one in archive.asked] == [[STUDY_A], [PRIOR_A]]


def test_azure_search_that_finds_nothing_is_an_empty_list(tmp_path: Path) -> None:
    """204 from the cloud; callers of the gateway get an empty array, as from any other archive."""
    with a_cloud(tmp_path, AzureDicom, studies_per_search=40) as (world, _, _):
        answer = world.get("/studies", world.north.token())

    assert (answer.status, answer.json()) == (200, [])


@pytest.mark.parametrize("path", [f"/studies/{STUDY_A}", METADATA, f"/studies/{STUDY_A}/instances"])
def test_aws_has_nothing_for_a_whole_study(tmp_path: Path, path: str) -> None:
    """C8: a client that asks for series instead is served; W1 cannot be kept in front of this service."""
    with a_cloud(tmp_path, AwsHealthImaging) as (world, _, _):
        answer = world.get(path, world.north.token())

        assert answer.status == (404 if not path.endswith("instances") else 200)
        assert not path.endswith("instances") or answer.json() == []


def test_aws_says_406_for_another_transfer_syntax_and_serves_the_stored_one(tmp_path: Path) -> None:
    with a_cloud(tmp_path, AwsHealthImaging) as (world, _, _):
        token = world.north.token()
        other = world.get(f"{INSTANCE}/frames/1", token, Accept=FRAMES.replace("*", "1.2.840.10008.1.2.4.80"))
        stored = world.get(f"{INSTANCE}/frames/1", token, Accept=FRAMES)

    assert (other.status, stored.status) == (406, 200)
