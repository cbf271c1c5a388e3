"""A token of patient A opens nothing of patient B, on any route (issue 2; SMART Imaging Access W3-W5, groups 8 to 11, 15)."""

from __future__ import annotations

import pytest
from flask import Flask, jsonify
from werkzeug.routing import Rule

from imaging_server.resource import Kind, Level
from imaging_server.routes import GATEWAY_PREFIX, ROUTES, Route
from imaging_server.views import create_blueprint
from imaging_server.wado_uri import WADO_URI_PATH
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import PRIOR_A, STUDY_A, STUDY_B, dicom_json, instance_of, series_of


def path_of(route: Route, study: str, *, series: str | None = None, instance: str | None = None) -> str:
    """The route's path for one study; a search by query names the study there."""
    values = {
        "<dicom_uid:study>": study,
        "<dicom_uid:series>": series or series_of(study),
        "<dicom_uid:instance>": instance or instance_of(study),
        "<dicom_frames:frames>": "1,2",
        "<any(bulkdata,bulk,pixeldata):store>": "bulkdata",
        "<dicom_bulk:bulk>": "7FE00010/0/00091001",
    }
    if route in WADO_URI:
        uids = f"studyUID={study}&seriesUID={series or series_of(study)}&objectUID={instance or instance_of(study)}"
        return f"{route.rule}?requestType=WADO&{uids}&contentType={_CONTENT_TYPES[route.kind]}"
    path = route.rule
    for name, value in values.items():
        path = path.replace(name, value)
    assert "<" not in path, f"the test does not know how to fill {path}"
    return path if route.bound else f"{path}?StudyInstanceUID={study}"


# WADO-URI is one address for files and pictures; the query says what and of whom (PS3.18 §9).
_CONTENT_TYPES = {Kind.RETRIEVE: "application/dicom", Kind.RENDERED: "image/jpeg"}
WADO_URI = [Route(WADO_URI_PATH, kind, Level.INSTANCE, bound=False) for kind in _CONTENT_TYPES]
EVERY_ROUTE = (*ROUTES, *WADO_URI)
every_route = pytest.mark.parametrize("route", EVERY_ROUTE, ids=lambda route: f"{route.rule} {route.kind}")


def test_routes_under_test_are_all_routes_of_the_application(world: World) -> None:
    app = Flask("gateway", static_folder=None)
    app.register_blueprint(create_blueprint(world.services))

    gateway_rules: list[Rule] = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(GATEWAY_PREFIX)]
    assert {rule.rule for rule in gateway_rules} == {GATEWAY_PREFIX + route.rule for route in EVERY_ROUTE}
    assert len(gateway_rules) == len(ROUTES) + 1
    assert {method for rule in gateway_rules for method in rule.methods or ()} == {"GET", "HEAD", "OPTIONS"}


@every_route
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_token_of_patient_a_opens_nothing_of_patient_b(world: World, route: Route, method: str) -> None:
    """T10, at every route."""
    headers = {"Authorization": f"Bearer {world.north.token('pat-a')}"}

    answer = world.send(method, world.root + path_of(route, STUDY_B), headers)

    assert answer.status == 403
    assert world.pacs.asked == []
    assert method == "HEAD" or answer.problem == "study-not-of-patient"
    assert [(one.outcome, one.reason, one.patient_id) for one in world.audit()[:1]] == [
        ("denied", "study-not-of-patient", "pat-a")
    ]


@every_route
def test_token_of_patient_a_opens_what_is_patient_as(world: World, route: Route) -> None:
    """The other side of the rule: without it, a gateway that refuses everything would pass the test above."""
    answer = world.get(path_of(route, STUDY_A), world.north.token("pat-a"))

    assert answer.status == 200
    assert STUDY_B.encode() not in answer.body


@every_route
def test_other_patients_study_and_unknown_study_have_the_same_answer(world: World, route: Route) -> None:
    """Group 15: no oracle for what exists."""
    token = world.north.token("pat-a")
    unknown = "2.25.99"

    other, missing = world.get(path_of(route, STUDY_B), token), world.get(path_of(route, unknown), token)

    def essence(document: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in document.items() if name != "instance"}

    assert (other.status, essence(other.json())) == (missing.status, essence(missing.json()))


@every_route
def test_without_a_token_nothing_is_opened(world: World, route: Route) -> None:
    answer = world.get(path_of(route, STUDY_A))

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert world.pacs.asked == world.north.asked == []


@every_route
@pytest.mark.parametrize("study", [STUDY_A, STUDY_B, "2.25.99"], ids=["own", "other", "unknown"])
@pytest.mark.parametrize("signed_in", [True, False], ids=["token", "no token"])
def test_head_decides_as_get_does(world: World, route: Route, study: str, signed_in: bool) -> None:
    """Group 9: HEAD tells nothing that GET would not tell, and has no body."""
    headers = {"Authorization": f"Bearer {world.north.token('pat-a')}"} if signed_in else {}
    target = world.root + path_of(route, study)

    get, head = world.send("GET", target, headers), world.send("HEAD", target, headers)

    assert (head.status, head.body) == (get.status, b"")
    assert get.status == (200 if study == STUDY_A else 403) if signed_in else 401
    for name in ("WWW-Authenticate", "Cache-Control", "Content-Location"):
        assert head.headers[name] == get.headers[name]


@every_route
@pytest.mark.parametrize("study", [STUDY_A, STUDY_B, "2.25.99"], ids=["own", "other", "unknown"])
def test_options_says_the_same_of_everything_and_asks_nobody(world: World, route: Route, study: str) -> None:
    """Groups 9 and 22: a preflight has no token, so it may depend on nothing."""
    answer = world.send("OPTIONS", world.root + path_of(route, study), {"Origin": "https://stranger.example"})

    assert (answer.status, answer.headers["Allow"], answer.body) == (204, "GET, HEAD, OPTIONS", b"")
    assert answer.headers["Access-Control-Allow-Origin"] is None
    assert world.pacs.asked == world.north.asked == []


def _below_series(route: Route) -> bool:
    return "<dicom_uid:series>" in route.rule or route in WADO_URI


def _names_an_instance(route: Route) -> bool:
    return "<dicom_uid:instance>" in route.rule or route in WADO_URI


@pytest.mark.parametrize("route", [one for one in EVERY_ROUTE if _below_series(one)], ids=lambda route: route.rule)
def test_series_of_b_under_a_study_of_a_is_refused(world: World, route: Route) -> None:
    """Group 10: the relation is verified, not presumed; the stub archive would serve anything."""
    answer = world.get(path_of(route, STUDY_A, series=series_of(STUDY_B)), world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "not-in-study")
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize("route", [one for one in EVERY_ROUTE if _names_an_instance(one)], ids=lambda route: route.rule)
def test_instance_of_b_under_a_series_of_a_is_refused(world: World, route: Route) -> None:
    answer = world.get(path_of(route, STUDY_A, instance=instance_of(STUDY_B)), world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "not-in-study")
    assert world.pacs.retrievals() == []


@pytest.mark.parametrize("store", ["bulkdata", "bulk", "pixeldata"])
@pytest.mark.parametrize(
    "level", ["", f"/series/{series_of(STUDY_B)}", f"/series/{series_of(STUDY_B)}/instances/{instance_of(STUDY_B)}"]
)
@pytest.mark.parametrize("bulk", ["", "/7FE00010"])
def test_no_store_of_bulk_data_opens_anything_of_b(world: World, store: str, level: str, bulk: str) -> None:
    """Group 9: pixel data have several addresses (PS3.18 §10.4.1.1.5), one for each kind of archive."""
    answer = world.get(f"/studies/{STUDY_B}{level}/{store}{bulk}", world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "study-not-of-patient")
    assert world.pacs.asked == []


@pytest.mark.parametrize(
    "others",
    [
        {"00100020": {"vr": "LO", "Value": ["MRN-B"]}},
        {"00100020": {"vr": "LO", "Value": ["MRN-A"]}, "00100021": {"vr": "LO", "Value": ["SOUTH"]}},
        {"00100020": {"vr": "LO", "Value": ["MRN-A", "MRN-B"]}},
        {
            "00100020": {"vr": "LO", "Value": ["MRN-A"]},
            "00100021": {"vr": "LO"},
            "00100024": {"vr": "SQ", "Value": [{"00400032": {"vr": "UT", "Value": ["1.2.840.99.1"]}}]},
        },
    ],
    ids=["other number", "other issuer", "two numbers", "other universal entity"],
)
@pytest.mark.parametrize(
    "route",
    [one for one in EVERY_ROUTE if one.level is not Level.STUDY or one.kind is not Kind.SEARCH],
    ids=lambda route: f"{route.rule} {route.kind}",
)
def test_study_that_the_archive_holds_for_two_persons_is_denied_whole(
    world: World, route: Route, others: dict[str, object]
) -> None:
    """W5, groups 11 and 15: also at a site that has not said how its archives number patients."""
    study = f"2.25.8{EVERY_ROUTE.index(route):02}{len(str(others)):03}"  # what is in a study is kept for all tokens
    world.north.studies[study] = "pat-a"
    world.pacs.persons[study] = ("MRN-A", "NORTH")
    own: dict[str, object] = {"00100020": {"vr": "LO", "Value": ["MRN-A"]}, "00100021": {"vr": "LO", "Value": ["NORTH"]}}
    held = [
        {**world.pacs.series(study), **own},
        {**world.pacs.series(study), "0020000E": {"vr": "UI", "Value": [f"{study}.2"]}, **others},
    ]
    world.pacs.answer = lambda asked: dicom_json(held) if asked.path.endswith("/series") else None

    answer = world.get(path_of(route, study), world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "identity-conflict")
    assert world.pacs.retrievals() == []
    assert (world.audit()[0].outcome, world.audit()[0].reason) == ("denied", "identity-conflict")


def test_archive_that_ignores_the_study_in_the_path_does_not_place_series_of_b_under_a(world: World) -> None:
    """Group 10: an index answer counts only when it says of itself that it is of the study."""
    world.pacs.answer = lambda asked: dicom_json([world.pacs.series(STUDY_B)]) if asked.path.endswith("/series") else None

    answer = world.get(f"/studies/{STUDY_A}/series/{series_of(STUDY_B)}/metadata", world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "not-in-study")


def test_same_patient_id_at_two_ehrs_stays_two_patients(world: World) -> None:
    """Group 8, X14: pat-a of south owns nothing here, whatever pat-a of north owns."""
    world.south.studies.clear()
    token = "opaque-token-of-south"
    world.south.introspected[token] = {**world.south.claims("pat-a"), "active": True}

    answer = world.send(
        "GET", f"/imaging/south/dicom-web/main/studies/{STUDY_A}/metadata", {"Authorization": f"Bearer {token}"}
    )

    assert (answer.status, answer.problem) == (403, "study-not-of-patient")
    assert world.north.asked == []


def test_token_of_one_ehr_is_refused_at_another(world: World) -> None:
    token = world.north.token("pat-a")

    answer = world.send(
        "GET", f"/imaging/south/dicom-web/main/studies/{STUDY_A}/metadata", {"Authorization": f"Bearer {token}"}
    )

    assert (answer.status, answer.problem) == (401, "token-invalid")


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": {"reference": "Patient/pat-b"}},
        {"subject": {"reference": "http://foreign.example/fhir/Patient/pat-a"}},
        {"subject": {"display": "somebody"}},
        {"subject": {"reference": "Group/pat-a"}},
        {"status": "entered-in-error"},
        {"identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"} for uid in (STUDY_A, STUDY_B)]},
        {"identifier": [{"system": "http://other.example", "value": f"urn:oid:{STUDY_A}"}]},
        {"resourceType": "Basic"},
    ],
    ids=["other subject", "foreign subject", "no reference", "group", "in error", "two UIDs", "other system", "no study"],
)
def test_ehr_answer_that_does_not_say_whose_study_it_is_denies(world: World, changes: dict[str, object]) -> None:
    """Group 11: any doubt denies."""
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify(
        {"resourceType": "Bundle", "entry": [{"resource": world.north.imaging_study(STUDY_A, **changes)}]}
    )

    answer = world.get(f"/studies/{STUDY_A}/metadata", world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "study-not-of-patient")
    assert world.pacs.asked == []


def test_study_that_the_ehr_gives_to_two_patients_is_nobodys(world: World) -> None:
    both = [
        world.north.imaging_study(STUDY_A),
        world.north.imaging_study(STUDY_A, subject={"reference": "Patient/pat-b"}),
    ]
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify(
        {"resourceType": "Bundle", "entry": [{"resource": one} for one in both]}
    )

    answer = world.get(f"/studies/{STUDY_A}/metadata", world.north.token("pat-a"))

    assert (answer.status, answer.problem) == (403, "study-not-of-patient")


def test_metadata_with_an_instance_of_another_study_is_not_passed_on_in_part(world: World) -> None:
    """W5: partly restricted content is refused whole."""
    mixed = [world.pacs.instance(STUDY_A), world.pacs.instance(STUDY_B)]
    world.pacs.answer = lambda asked: dicom_json(mixed) if asked.path.endswith("/metadata") else None

    answer = world.get(f"/studies/{STUDY_A}/metadata", world.north.token("pat-a"))

    assert answer.status == 502
    assert STUDY_B.encode() not in answer.body


def test_every_further_request_is_checked_and_a_changed_owner_counts_once_the_decision_has_ended(world: World) -> None:
    """W3; a new token asks anew, since decisions belong to one token."""
    first = world.get(f"/studies/{PRIOR_A}/metadata", world.north.token("pat-a"))
    world.north.studies[PRIOR_A] = "pat-b"

    second = world.get(f"/studies/{PRIOR_A}/metadata", world.north.token("pat-a"))

    assert (first.status, second.status) == (200, 403)


def test_one_decision_serves_all_frames_of_a_token_and_study(world: World) -> None:
    """Cost (M15): the EHR is asked once, the archive's index once for the series and once for its instances."""
    token = world.north.token("pat-a")

    for number in (1, 2):
        instance = instance_of(PRIOR_A, number=number)
        assert world.get(f"/studies/{PRIOR_A}/series/{series_of(PRIOR_A)}/instances/{instance}/frames/1", token).status == 200

    assert world.north.paths().count("/fhir/ImagingStudy") == 1
    assert len(world.pacs.asked) - len(world.pacs.retrievals()) <= 2
    opened = [one for one in world.audit() if one.study_instance_uid == PRIOR_A and one.token_reference]
    assert len([one for one in opened if one.outcome == "allowed" and one.token_reference == opened[0].token_reference]) == 1
