"""What may stand in a path, and which methods (groups 12, 13 and 16): the archive is asked for strict resources only."""

from __future__ import annotations

import pytest

from tests.security.gateway_actors import World
from tests.security.gateway_stubs import STUDY_A, STUDY_B, instance_of, series_of

SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
INSTANCE = f"{SERIES}/instances/{instance_of(STUDY_A)}"


NOT_UIDS = [
    "%0a",
    f"{STUDY_A}%0a",
    f"{STUDY_A}%0d%0a",
    f"{STUDY_A}%20",
    f"%20{STUDY_A}",
    f"{STUDY_A}%00",
    f"{STUDY_A},{STUDY_B}",
    f"{STUDY_A}%2C{STUDY_B}",
    f"{STUDY_A}%5C{STUDY_B}",
    f"{STUDY_A};x=1",
    f"{STUDY_A}.",
    f".{STUDY_A}",
    "2..25",
    "2.25.11a",
    "*",
    "%2A",
    "2.25.%31%31%2A",
    "%D9%A2.%D9%A2%D9%A5",
    "%EF%BC%92.25.11",
    "1" * 65,
    "1." * 32 + "1",
    "-2.25.11",
    "%3F",
    "%23",
    "null",
    "{uid}",
]


@pytest.mark.parametrize("uid", NOT_UIDS)
@pytest.mark.parametrize(
    "template", ["/studies/{}/metadata", f"/studies/{STUDY_A}/series/{{}}/metadata", f"{SERIES}/instances/{{}}"]
)
def test_what_is_not_a_uid_reaches_no_server(world: World, template: str, uid: str) -> None:
    """Group 12."""
    answer = world.get(template.format(uid), world.north.token())

    assert answer.status in (400, 404)
    assert world.pacs.asked == world.north.asked == []


TRAVERSALS = [
    f"/studies/{STUDY_A}/../{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/..%2f{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/%2e%2e/{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/%2e%2e%2f{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/%252e%252e/{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/..%252f{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/..;/{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/..%5c{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/..\\{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/%c0%ae%c0%ae/{STUDY_B}/metadata",
    f"/studies/{STUDY_A}/./metadata",
    f"/studies/{STUDY_A}/.%2fmetadata",
    f"/studies//{STUDY_A}/metadata",
    f"//studies/{STUDY_A}/metadata",
    f"/studies/{STUDY_A}/metadata/",
    f"/studies/{STUDY_A}/metadata%2f..%2f..%2f{STUDY_B}",
    f"/studies/{STUDY_A}/metadata%00",
    f"/studies/{STUDY_A}/metadata%3Fx=1",
    f"/studies/{STUDY_A}/metadata;x=1",
    f"/studies/{STUDY_A}%2fmetadata%2f..",
    f"{INSTANCE}/bulkdata/../../../../../{STUDY_B}/metadata",
    f"{INSTANCE}/bulkdata/%2e%2e/%2e%2e",
    f"{INSTANCE}/bulkdata/..%2f..%2fmetadata",
    f"{INSTANCE}/bulkdata/a/%2e%2e/b",
    f"{INSTANCE}/bulkdata/a//b",
    f"{INSTANCE}/bulkdata/.hidden",
    f"{INSTANCE}/bulkdata/a..b",
    f"{INSTANCE}/bulkdata/a%0ab",
    f"{INSTANCE}/bulkdata/a%3Fb=1",
    f"{INSTANCE}/bulkdata/a%23b",
    f"{INSTANCE}/bulkdata/" + "a" * 600,
    f"{INSTANCE}/frames/1/../../../metadata",
    f"{INSTANCE}/frames/1%2f..%2f..",
    "/../../../../system",
    "/%2e%2e/%2e%2e/instances",
    "/instances/..%2f..%2fpatients",
    f"/{STUDY_A}",
    "/patients",
    "/tools/execute-script",
    "/workitems",
    f"/studies/{STUDY_A}/comments",
    f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/archive",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_path_traversal_and_unknown_resources_reach_no_server(world: World, path: str) -> None:
    """Group 13, M1, M2."""
    answer = world.get(path, world.north.token())

    assert answer.status in (400, 404)
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize(
    "frames",
    ["0", "-1", "1,", ",1", "1,,2", "1;2", "1-5", "all", "1%20", "1%0a", "01", "1.5", "%D9%A1", "1" * 9, ",".join("1" * 1100)],
)
def test_what_is_no_frame_list_reaches_no_server(world: World, frames: str) -> None:
    answer = world.get(f"{INSTANCE}/frames/{frames}", world.north.token())

    assert answer.status in (400, 404)
    assert world.pacs.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/imaging/west/dicom-web/main/studies",
        "/imaging/north/dicom-web/other/studies",
        "/imaging/north%2f/dicom-web/main/studies",
    ],
)
def test_unknown_ehr_or_archive_is_not_there(world: World, path: str) -> None:
    answer = world.send("GET", path, {"Authorization": f"Bearer {world.north.token()}"})

    assert answer.status == 404
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND"])
@pytest.mark.parametrize("path", ["/studies", f"/studies/{STUDY_A}", f"{INSTANCE}/frames/1", f"/studies/{STUDY_A}/metadata"])
def test_other_methods_are_not_offered(world: World, method: str, path: str) -> None:
    """Group 16: STOW and deletion are refused, not proxied."""
    answer = world.send(method, world.root + path, {"Authorization": f"Bearer {world.north.token()}"}, body=b"")

    assert answer.status == 405
    assert world.pacs.asked == []


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_method_override_is_not_obeyed(world: World, header: str) -> None:
    headers = {"Authorization": f"Bearer {world.north.token()}", header: "DELETE"}

    world.send("GET", f"{world.root}/studies/{STUDY_A}/metadata", headers)
    refused = world.send("POST", f"{world.root}/studies/{STUDY_A}/metadata", {**headers, header: "GET"}, body=b"")

    assert refused.status == 405
    assert {one.method for one in world.pacs.asked} == {"GET"}
    assert all(header not in one.headers for one in world.pacs.asked)


def test_websocket_upgrade_is_not_proxied(world: World) -> None:
    answer = world.get(f"/studies/{STUDY_A}/metadata", world.north.token(), Connection="Upgrade", Upgrade="websocket")

    assert answer.status >= 400
    assert world.pacs.asked == []


def test_every_problem_is_a_problem_document_with_a_reference(world: World) -> None:
    """RFC 9457; the reference is the one in the log."""
    for path, token in (("/nowhere", None), (f"/studies/{STUDY_A}", None), (f"/studies/{STUDY_B}", world.north.token())):
        answer = world.get(path, token)

        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status
        assert answer.headers["X-Request-Id"] in answer.json()["instance"]
