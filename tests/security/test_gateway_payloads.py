"""Addresses in what comes down from the archive are the gateway's or gone (group 17)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response

from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import (
    FRAME,
    INSTANCE,
    METADATA,
    SMALL_BODY,
    STUDY_A,
    STUDY_B,
    dicom_json,
    multipart,
    only_for,
    series_of,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"small_body_bytes": SMALL_BODY}) as world:
        yield world


def urls_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [url for item in value.values() for url in urls_in(item)]
    if isinstance(value, list):
        return [url for item in value for url in urls_in(item)]
    return [value] if isinstance(value, str) and ("://" in value or "/studies/" in value) else []


# Group 17: addresses in payloads


def test_addresses_become_the_gateways_at_any_depth(world: World) -> None:
    root, gateway = world.pacs.root, world.url + world.root
    deep = {
        **world.pacs.instance(STUDY_A),
        "00081190": {"vr": "UR", "Value": [f"{root}{INSTANCE}"]},
        "00540016": {
            "vr": "SQ",
            "Value": [
                {
                    "00091010": {
                        "vr": "SQ",
                        "Value": [{"00091001": {"vr": "OB", "BulkDataURI": f"{root}{INSTANCE}/bulkdata/1/2"}}],
                    }
                },
                {"00081190": {"vr": "UR", "Value": [f"{root}/studies/{STUDY_A}/series/{series_of(STUDY_A)}"]}},
                {"00091002": {"vr": "OB", "BulkDataURI": "bulkdata/relative"}},
                {"00091003": {"vr": "OB", "BulkDataURI": f"../{INSTANCE.rpartition('/')[2]}/bulkdata/up"}},
            ],
        },
    }
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([deep]))

    (dataset,) = world.get(f"{INSTANCE}/metadata", world.north.token()).json()

    items = dataset["00540016"]["Value"]
    assert items[0]["00091010"]["Value"][0]["00091001"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/1/2"
    assert items[1]["00081190"]["Value"] == [f"{gateway}/studies/{STUDY_A}/series/{series_of(STUDY_A)}"]
    assert items[2]["00091002"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/relative"
    assert items[3]["00091003"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/up"
    assert dataset["7FE00010"]["BulkDataURI"] == f"{gateway}{INSTANCE}/bulkdata/7FE00010"
    assert all(url.startswith(gateway) for url in urls_in(dataset))


@pytest.mark.parametrize(
    "address",
    [
        "http://attacker.example/studies/2.25.11/series/1",
        "https://127.0.0.1/archive/dicom-web/studies/2.25.11",
        "{root}/studies/" + STUDY_B,
        "{root}/studies/" + STUDY_A + "/../" + STUDY_B,
        "{root}/studies/" + STUDY_A + "/%2e%2e/" + STUDY_B,
        "{root}/../../system",
        "{root}/studies/" + STUDY_A + "/bulkdata/1?token=secret",
        "{root}/studies/" + STUDY_A + "#fragment",
        "{root}@attacker.example/studies/" + STUDY_A,
        "//attacker.example/studies/" + STUDY_A,
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[::1",
        "{origin}:99999/archive/dicom-web/studies/" + STUDY_A,
        "",
        "/archive/dicom-web-other/studies/" + STUDY_A,
        "{root}x/studies/" + STUDY_A,
    ],
)
def test_addresses_of_others_are_dropped_and_never_fetched(world: World, address: str) -> None:
    shown = address.format(root=world.pacs.root, origin="http://127.0.0.1")
    dataset = {
        **world.pacs.instance(STUDY_A),
        "00081190": {"vr": "UR", "Value": [shown]},
        "7FE00010": {"vr": "OW", "BulkDataURI": shown},
        "0040E010": {"vr": "UR", "Value": [shown]},
        "00287FE0": {"vr": "UR", "Value": [shown]},
    }
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([dataset]))

    (answer,) = world.get(METADATA, world.north.token()).json()

    assert answer["7FE00010"] == {"vr": "OW"}
    assert "00081190" not in answer
    assert "0040E010" not in answer
    assert "00287FE0" not in answer
    assert len(world.pacs.retrievals()) == 1


def test_odd_values_in_place_of_addresses_do_no_harm(world: World) -> None:
    dataset = {
        **world.pacs.instance(STUDY_A),
        "00081190": {"vr": "UR", "Value": [7, None]},
        "7FE00010": {"vr": "OW", "BulkDataURI": [1]},
    }
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([dataset]))

    (answer,) = world.get(METADATA, world.north.token()).json()

    assert answer["7FE00010"] == {"vr": "OW"}


@pytest.mark.parametrize(
    "attribute",
    [
        [{"BulkDataURI": "{address}"}],
        {"vr": "SQ", "Value": {"7FE00010": {"vr": "OW", "BulkDataURI": "{address}"}}},
        {"vr": "SQ", "Value": [[{"7FE00010": {"vr": "OW", "BulkDataURI": "{address}"}}]]},
        {"vr": "OW", "InlineBinary": {"BulkDataURI": "{address}"}},
        {"vr": "PN", "Value": [{"Alphabetic": {"BulkDataURI": "{address}"}}]},
        {
            "vr": "SQ",
            "Value": [{"00081190": "{address}", "0040e010": ["{address}"], "0040E010": {"vr": "UR", "Value": "{address}"}}],
        },
    ],
)
def test_addresses_are_dropped_wherever_an_archive_puts_them(world: World, attribute: object) -> None:
    """What is no attribute of the JSON model is not passed on with the archive's own address in it."""
    odd = json.loads(json.dumps(attribute).replace("{address}", "http://pacs.internal.example/studies/1"))
    world.pacs.answer = only_for("/metadata", lambda: dicom_json([{**world.pacs.instance(STUDY_A), "00091010": odd}]))

    answer = world.get(METADATA, world.north.token())

    assert answer.status == 200
    assert b"00091010" in answer.body
    assert b"pacs.internal.example" not in answer.body


@pytest.mark.parametrize("location", [f"/archive/dicom-web/studies/{STUDY_B}", "http://pacs.internal.example/x"])
def test_part_headers_that_name_the_archive_are_dropped(world: World, location: str) -> None:
    headers = {"Content-Location": location, "X-Internal-Host": "pacs.internal.example", "Content-Length": "6"}
    world.pacs.answer = only_for("/frames/1", lambda: multipart([(b"pixels", headers)]))

    answer = world.get(FRAME, world.north.token())

    assert b"pacs.internal" not in answer.body
    assert b"Content-Location" not in answer.body
    assert (
        answer.body
        == b"--b0undary\r\nContent-Type: application/octet-stream\r\nContent-Length: 6\r\n\r\npixels\r\n--b0undary--"
    )


@pytest.mark.parametrize("size", [10, SMALL_BODY * 20], ids=["whole", "streamed"])
def test_part_location_becomes_the_gateways(world: World, size: int) -> None:
    content = b"--b0undar" + b"\r\n--b0undar" * (size // 11)
    parts = [(content, {"Content-Location": world.pacs.root + FRAME}), (b"second", {})]
    world.pacs.answer = only_for("/frames/1", lambda: multipart(parts))

    answer = world.get(FRAME, world.north.token())

    assert answer.body.count(f"Content-Location: {world.url}{world.root}{FRAME}\r\n".encode()) == 1
    assert content in answer.body
    assert world.pacs.base.encode() not in answer.body


def test_response_location_header_is_rewritten_or_dropped(world: World) -> None:
    def with_location(where: str) -> Response:
        response = multipart([(b"x", {})])
        response.headers["Content-Location"] = where
        return response

    world.pacs.answer = only_for("/frames/1", lambda: with_location(world.pacs.root + FRAME))
    own = world.get(FRAME, world.north.token())
    world.pacs.answer = only_for("/frames/1", lambda: with_location("http://pacs.internal.example/x"))
    foreign = world.get(FRAME, world.north.token())

    assert own.headers["Content-Location"] == world.url + world.root + FRAME
    assert foreign.headers["Content-Location"] is None


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+xml",
        'multipart/related; type="application/dicom+xml"',
        "text/html",
        "application/xml",
        "application/dicom+json;q=0",
    ],
)
def test_xml_is_refused(world: World, accept: str) -> None:
    for path in (METADATA, "/studies", f"/studies/{STUDY_A}/series"):
        answer = world.get(path, world.north.token(), Accept=accept)

        assert (answer.status, answer.problem) == (406, "not-acceptable")
    assert world.pacs.asked == []
