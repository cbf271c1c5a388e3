"""How tokens are checked where a site configures little, and which persons and archives are compared (DESIGN §8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response, jsonify

from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import PacsSettings
from imaging_server.search import STUDY_SEARCH
from imaging_server.settings import PatientIdentifierRule
from imaging_server.upstream import Archive, UpstreamRequest
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import METADATA, PRIOR_A, STUDY_A, dicom_json, instance_of, series_of

MRN = "https://mrn.example"
SECRET = {"introspection_client_id": "imaging-server", "introspection_client_secret": "introspection-secret"}


def smart(world: World, **changes: Any) -> None:
    """What EHR north's SMART configuration says; None takes an entry away."""
    said = {
        "issuer": world.north.issuer,
        "authorization_endpoint": f"{world.north.issuer}/authorize",
        "token_endpoint": f"{world.north.issuer}/token",
        "jwks_uri": f"{world.north.issuer}/jwks",
        "introspection_endpoint": f"{world.north.issuer}/introspect",
        **changes,
    }
    document = {name: value for name, value in said.items() if value is not None}
    world.north.answers["/fhir/.well-known"] = lambda: jsonify(document)


def test_keys_and_issuer_are_discovered_where_nothing_is_configured(tmp_path: Any) -> None:
    with a_world(tmp_path / "state", north={"jwks_url": None, "token_issuer": None}) as world:
        smart(world)

        opened = world.get(METADATA, world.north.token())
        foreign = world.get(METADATA, world.north.token(iss=world.north.fhir_base))

    assert (opened.status, foreign.status) == (200, 401)


def test_introspection_is_discovered_first_where_we_have_a_credential(tmp_path: Any) -> None:
    with a_world(tmp_path / "state", north={"jwks_url": None, **SECRET}) as world:
        smart(world)
        token = world.north.token()

        unknown = world.get(METADATA, token)
        world.north.introspected["opaque-7"] = {**world.north.claims(), "active": True}
        opened = world.get(METADATA, "opaque-7")

        assert "/auth/jwks" not in world.north.paths()
    assert (unknown.status, opened.status) == (401, 200)


def test_group_6_introspection_goes_before_keys_that_the_settings_name(tmp_path: Any) -> None:
    """It alone sees a revocation, which is why a site gives its client."""
    with a_world(tmp_path / "state", north=SECRET) as world:
        revoked, alive = world.north.token(), world.north.token()
        world.north.introspected[alive] = {**world.north.claims(), "active": True}

        assert [world.get(METADATA, token).status for token in (revoked, alive)] == [401, 200]
        assert "/auth/jwks" not in world.north.paths()


@pytest.mark.parametrize(
    ("says", "status"),
    [
        (lambda: Response("", 503), 503),
        (lambda: Response("", 404), 200),
        (lambda: jsonify(authorization_endpoint="http://127.0.0.1/a", token_endpoint="http://127.0.0.1/t"), 200),
    ],
    ids=["in trouble", "no SMART configuration", "no introspection offered"],
)
def test_group_6_keys_count_where_the_ehr_offers_no_introspection(
    tmp_path: Any, says: Callable[[], Response], status: int
) -> None:
    with a_world(tmp_path / "state", north=SECRET) as world:
        world.north.answers.update({"/fhir/.well-known": says, "/fhir/metadata": lambda: Response("", 404)})

        assert world.get(METADATA, world.north.token()).status == status


@pytest.mark.parametrize(
    ("changes", "status"), [({"jwks_uri": None, "introspection_endpoint": None}, 401), ({"jwks_uri": None}, 401)]
)
def test_without_any_means_nothing_is_served(tmp_path: Any, changes: dict[str, Any], status: int) -> None:
    with a_world(tmp_path / "state", north={"jwks_url": None}) as world:
        smart(world, **changes)

        answer = world.get(METADATA, world.north.token())

        assert (answer.status, answer.problem) == (status, "no-means-to-check-tokens")
        assert world.pacs.asked == []
        assert world.audit()[0].reason == "no-means-to-check-tokens"


def test_discovered_key_server_on_a_foreign_origin_is_not_contacted(tmp_path: Any) -> None:
    """Group 24: discovery may not lead to a server that nobody configured."""
    with a_world(tmp_path / "state", north={"jwks_url": None}) as world:
        smart(world, jwks_uri="http://attacker.example/jwks")

        assert world.get(METADATA, world.north.token()).status == 503


def test_ehr_without_smart_configuration_fails_closed(tmp_path: Any) -> None:
    with a_world(tmp_path / "state", north={"jwks_url": None}) as world:
        world.north.answers["/fhir/.well-known"] = lambda: Response("no", 404)
        world.north.answers["/fhir/metadata"] = lambda: Response("no", 404)

        assert world.get(METADATA, world.north.token()).status == 503


def test_configured_audience_is_accepted_beside_the_usual_ones(tmp_path: Any) -> None:
    with a_world(tmp_path / "state", north={"accepted_audiences": ("urn:imaging",)}) as world:
        assert world.get(METADATA, world.north.token(aud="urn:imaging")).status == 200
        assert world.get(METADATA, world.north.token(aud=[world.north.fhir_base])).status == 200
        assert world.get(METADATA, world.north.token(aud="urn:other")).status == 401


def test_archive_that_an_ehr_may_not_reach_is_not_there(tmp_path: Any) -> None:
    with a_world(tmp_path / "state", server={"pacs_by_ehr": {"north": ()}}) as world:
        answer = world.get(METADATA, world.north.token())

        assert answer.status == 404
        assert world.pacs.asked == world.north.asked == []


# Persons compared


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rule = PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")
    with a_world(tmp_path_factory.mktemp("gateway"), server={"patient_identifiers": {"north": rule}}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    running.north.identifiers["pat-a"] = [
        {"system": "https://first.example", "value": "MRN-B"},
        {"system": MRN, "value": "MRN-A"},
    ]
    return running


def test_study_of_the_same_person_opens(world: World) -> None:
    assert world.get(METADATA, world.north.token()).status == 200
    assert len(world.get("/studies", world.north.token()).json()) == 2


@pytest.mark.parametrize(
    "person", [("MRN-B", "NORTH"), ("MRN-A", "SOUTH"), ("mrn-a", "NORTH"), ("MRN-*", "NORTH"), ("", "NORTH")], ids=str
)
def test_study_that_the_archive_gives_to_another_person_stays_closed(world: World, person: tuple[str, str]) -> None:
    """Group 11: MRN and its issuer must both fit; there is no falling back to another identifier."""
    world.pacs.persons[STUDY_A] = person

    retrieved, searched = world.get(METADATA, world.north.token()), world.get("/studies", world.north.token())

    assert (retrieved.status, retrieved.problem) == (403, "identity-conflict")
    assert [one["0020000D"]["Value"][0] for one in searched.json()] == [PRIOR_A]
    assert world.pacs.retrievals() == []


def test_issuer_that_the_archive_does_not_state_is_not_held_against_it(world: World) -> None:
    world.pacs.persons[STUDY_A] = ("MRN-A", None)

    assert world.get(METADATA, world.north.token()).status == 200


def test_study_that_the_archive_lists_for_two_persons_stays_closed(world: World) -> None:
    twice = [world.pacs.study(STUDY_A), {**world.pacs.study(STUDY_A), "00100020": {"vr": "LO", "Value": ["MRN-B"]}}]
    world.pacs.answer = lambda asked: dicom_json(twice) if asked.path.endswith("/studies") else None

    assert world.get(METADATA, world.north.token()).problem == "identity-conflict"


@pytest.mark.parametrize(
    "identifiers", [[], [{"system": "https://first.example", "value": "MRN-A"}], [{"value": "MRN-A"}], [{"system": MRN}]]
)
def test_patient_without_the_identifier_opens_nothing(world: World, identifiers: list[dict[str, str]]) -> None:
    world.north.identifiers["pat-a"] = identifiers

    assert world.get(METADATA, world.north.token()).problem == "identity-conflict"
    assert world.get("/studies", world.north.token()).json() == []


@pytest.mark.parametrize(("status", "expected"), [(401, 401), (403, 403), (404, 403), (500, 503), (503, 503), (400, 503)])
def test_patient_that_the_ehr_does_not_give_opens_nothing(world: World, status: int, expected: int) -> None:
    world.north.answers["/fhir/Patient"] = lambda: Response("{}", status)

    assert world.get(METADATA, world.north.token()).status == expected
    assert world.pacs.retrievals() == []


def test_another_patients_resource_in_the_answer_does_not_count(world: World) -> None:
    other = {"resourceType": "Patient", "id": "pat-b", "identifier": [{"system": MRN, "value": "MRN-A"}]}
    world.north.answers["/fhir/Patient"] = lambda: jsonify(other)

    assert world.get(METADATA, world.north.token()).problem == "identity-conflict"


def test_archive_that_fails_while_it_is_compared_fails_closed(world: World) -> None:
    world.pacs.answer = lambda asked: Response("no", 500) if asked.path.endswith("/studies") else None

    assert world.get(METADATA, world.north.token()).status == 503
    assert world.pacs.retrievals() == []


def test_study_that_the_archive_does_not_hold_is_404(world: World) -> None:
    world.north.studies["2.25.77"] = "pat-a"

    answer = world.get("/studies/2.25.77/metadata", world.north.token())

    assert (answer.status, answer.problem) == (404, "not-in-archive")
    assert world.pacs.retrievals() == []
    assert (world.audit()[0].outcome, world.audit()[0].reason) == ("denied", "not-in-archive")


# HEAD and the archive's index


@pytest.mark.parametrize("path", [METADATA, f"/studies/{STUDY_A}", "/studies", f"/studies/{STUDY_A}/series"])
def test_head_says_what_get_would_without_a_body(world: World, path: str) -> None:
    """RFC 9110 §8.6: a length is the one that GET has, or there is none."""
    headers = {"Authorization": f"Bearer {world.north.token()}"}

    head, get = world.send("HEAD", world.root + path, headers), world.send("GET", world.root + path, headers)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers["Content-Length"] in (None, str(len(get.body)))


@pytest.mark.parametrize("status", [405, 501])
def test_head_that_the_archive_does_not_know_is_asked_as_get(world: World, status: int) -> None:
    """PS3.18 asks no archive for HEAD; what GET begins to say is enough, and its body is not read."""
    world.pacs.answer = lambda asked: Response(status=status) if asked.method == "HEAD" else None

    answer = world.send("HEAD", world.root + METADATA, {"Authorization": f"Bearer {world.north.token()}"})

    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"", "application/dicom+json")
    assert [one.method for one in world.pacs.retrievals()] == ["HEAD", "GET"]


def test_instance_that_has_just_arrived_is_found_though_the_index_was_kept(world: World) -> None:
    token = world.north.token()
    frames = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/instances/{instance_of(STUDY_A, number=3)}/frames/1"
    before = world.get(frames, token)
    world.pacs.answer = lambda asked: (
        dicom_json([world.pacs.instance(STUDY_A, 3)]) if asked.query.get("SOPInstanceUID") else None
    )

    assert (before.status, world.get(frames, token).status) == (403, 200)


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"user": None, "password": None}, None),
        ({"user": None, "password": None, "bearer_token": "archive-token"}, "Bearer archive-token"),
        ({"user": "gateway", "password": None}, "Basic Z2F0ZXdheTo="),
    ],
)
def test_archive_gets_the_credential_that_is_configured_for_it(
    world: World, changes: dict[str, str | None], sent: str | None
) -> None:
    archive = Archive(world.pacs.settings(**changes))
    try:
        archive.search(STUDY_SEARCH, [], limit=10_000)
    finally:
        archive.close()

    assert world.pacs.asked[0].headers.get("Authorization") == sent


def test_archive_that_is_down_is_an_upstream_error() -> None:
    archive = Archive(PacsSettings(name="a", dicomweb_root="http://127.0.0.1:1/x", connect_timeout_s=1))
    try:
        with pytest.raises(UpstreamError, match="could not be reached"):
            archive.ask(UpstreamRequest(resource=STUDY_SEARCH, accept="*/*"))
    finally:
        archive.close()
