"""The protocol around a call: versions (R5, R6), gzip both ways, size limits, extensions at every level (R1, R3, R20, R39)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds_service.definitions import HOOK_VERSIONS
from cds_service.evaluate import SERVICES
from cds_service.settings import CdsHooksVersion
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, EHR, CdsActor, a_cds_service, a_hook, a_lung_rads, a_store, whole_prefetch

SERVICE = "/cds-services/imaging-findings"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def discovered(cds: CdsActor) -> list[dict[str, Any]]:
    token = cds.ehr.jwt_for(f"{APP}/cds-services")
    services: list[dict[str, Any]] = cds.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"}).get_json()[
        "services"
    ]
    assert len(services) == len(SERVICES)
    return services


def emptiness(value: object) -> list[object]:
    if isinstance(value, dict):
        return [found for member in value.values() for found in emptiness(member)]
    if isinstance(value, list):
        return [found for member in value for found in emptiness(member)]
    return [value] if value in (None, "") else []


# --- versions


def test_r2_r4_r5_r7_every_service_is_told_whole_and_under_one_id(cds: CdsActor) -> None:
    services = discovered(cds)

    assert [service["id"] for service in services] == list(SERVICES)
    assert len({service["id"] for service in services}) == len(services)
    for service in services:
        assert {"hook", "id", "title", "description"} <= set(service)
        assert all(isinstance(value, str) and value for name, value in service.items() if name != "prefetch")
        assert emptiness(service) == []


def test_r6_clients_of_2_0_see_no_versions(cds: CdsActor) -> None:
    assert all(not {"version", "hookVersion"} & set(service) for service in discovered(cds))


def test_r6_versions_of_3_0_by_setting_change_nothing_else(store: Store, tmp_path: Path, cds: CdsActor) -> None:
    newer = a_cds_service(store, tmp_path, specification=CdsHooksVersion.V3)
    newer.ehr.ec_key, newer.ehr.rsa_key = cds.ehr.ec_key, cds.ehr.rsa_key
    (tmp_path / "ehr.jwks.json").write_text(json.dumps(cds.ehr.jwks()))

    old, new = discovered(cds), discovered(newer)

    for before, after in zip(old, new, strict=True):
        assert after["version"] == "3.0.0"
        assert after.get("hookVersion") == HOOK_VERSIONS.get(after["hook"])
        assert {name: value for name, value in after.items() if name not in ("version", "hookVersion")} == before
    assert next(one for one in new if one["hook"] == "patient-view")["hookVersion"] == "1.0"
    assert newer.cards(a_hook(whole_prefetch(a_lung_rads("3"))))[0]["indicator"] == "warning"


def test_r10_r11_r13_no_service_asks_for_more_than_2_0_clients_can_fill(cds: CdsActor) -> None:
    """Plain tokens of primitive context fields, each parameter once, no chaining and no token modifiers."""
    for service in discovered(cds):
        for template in service.get("prefetch", {}).values():
            path, _, query = template.partition("?")
            names = [pair.partition("=")[0] for pair in query.split("&") if pair]
            assert len(set(names)) == len(names), template
            assert not any("." in name or ":" in name or name == "_include" for name in names), template
            # An encounter is a token only of hooks whose context is sure to name one (an unresolved token goes out as text).
            fields = ("patientId", *(["encounterId"] if service["hook"] == "encounter-discharge" else []))
            tokens = sum(template.count(f"{{{{context.{field}}}}}") for field in fields)
            assert template.count("{{") == tokens >= 1, template
            assert path.partition("/")[0].isalpha(), template


# --- gzip


def packed(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode())


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_r1_a_gzip_body_is_read(cds: CdsActor, encoding: str) -> None:
    response = cds.post(SERVICE, packed(a_hook(whole_prefetch(a_lung_rads("3")))), headers={"Content-Encoding": encoding})

    assert response.status_code == 200
    assert len(response.get_json()["cards"]) == 1


def test_r1_a_gzip_body_of_several_members_is_read(cds: CdsActor) -> None:
    """RFC 1952: what several compressors wrote, one after another, is one body."""
    raw = json.dumps(a_hook(whole_prefetch(a_lung_rads("3")))).encode()
    sent = b"".join(gzip.compress(part) for part in (raw[:40], b"", raw[40:900], raw[900:]))

    response = cds.post(SERVICE, sent, headers={"Content-Encoding": "gzip"})

    assert response.status_code == 200
    assert len(response.get_json()["cards"]) == 1


def test_gzip_feedback_is_read_too(cds: CdsActor) -> None:
    assert cds.post(f"{SERVICE}/feedback", packed({"feedback": []}), headers={"Content-Encoding": "gzip"}).status_code == 200


def bomb(megabytes: int) -> bytes:
    """Zeros that shrink a thousandfold."""
    return gzip.compress(b"0" * megabytes * 1024 * 1024)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (bomb(17), "gzip", 413),
        (packed(a_hook())[:-9], "gzip", 400),
        (packed(a_hook()) + packed(a_hook()), "gzip", 400),
        (packed(a_hook()) + b"rest", "gzip", 400),
        (packed(a_hook()) + gzip.compress(b" ")[:-9], "gzip", 400),
        (packed(a_hook()) + gzip.compress(b"") * 100, "gzip", 400),
        (gzip.compress(b"0" * 9 * 1024 * 1024) * 2, "gzip", 413),
        (b"{}", "gzip", 400),
        (zlib.compress(b"{}"), "deflate", 415),
        (b"{}", "br", 415),
        (gzip.compress(packed(a_hook())), "gzip, gzip", 415),
    ],
    ids=[
        "bomb",
        "cut off",
        "two streams",
        "with a rest",
        "second cut off",
        "members",
        "two bombs",
        "not gzip",
        "deflate",
        "brotli",
        "twice",
    ],
)
def test_what_cannot_be_unpacked_is_refused_with_its_reason(cds: CdsActor, body: bytes, encoding: str, status: int) -> None:
    response = cds.post(SERVICE, body, headers={"Content-Encoding": encoding, "Origin": EHR})

    assert response.status_code == status
    assert json.loads(response.get_data(as_text=True))["resourceType"] == "OperationOutcome"
    assert response.headers["Access-Control-Allow-Origin"] == EHR


def test_the_size_limit_holds_for_what_a_body_grows_to(store: Store, tmp_path: Path) -> None:
    small = a_cds_service(store, tmp_path, max_body_bytes=5000)
    body = a_hook(whole_prefetch(), extension={"org.example.x": {"padding": "x" * 6000}})

    assert len(packed(body)) < 5000
    assert small.post(SERVICE, packed(body), headers={"Content-Encoding": "gzip"}).status_code == 413


def test_a_long_answer_is_compressed_for_those_who_take_it(cds: CdsActor) -> None:
    body = a_hook(whole_prefetch(a_lung_rads("3")))

    plain = cds.post(SERVICE, body, headers={"Accept-Encoding": "identity"})
    small = cds.post(SERVICE, body, headers={"Accept-Encoding": "br, gzip"})
    never = cds.post(SERVICE, body, headers={"Accept-Encoding": "gzip;q=0, *;q=0.5"})

    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in never.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert int(small.headers["Content-Length"]) == len(small.get_data()) < len(plain.get_data())
    assert faults_of(json.loads(gzip.decompress(small.get_data()))) == ()
    assert all({"Origin", "Accept-Encoding"} <= set(one.vary) for one in (plain, small, never))


def test_a_short_answer_is_not_compressed(cds: CdsActor) -> None:
    response = cds.post(SERVICE, a_hook(whole_prefetch()), headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in response.headers
    assert response.get_json() == {"cards": []}


# --- extensions and oddities


def with_extensions(value: Any) -> Any:
    """CDS Hooks' own objects, each with an extension nobody knows; FHIR resources are left as they are."""
    if isinstance(value, dict):
        if "resourceType" in value:
            return value
        inner = {name: with_extensions(member) for name, member in value.items()}
        return inner | {"extension": {"org.example.unknown": {"deep": [1, None, {}]}}}
    return [with_extensions(member) for member in value] if isinstance(value, list) else value


def test_r3_unknown_extensions_at_every_level_change_no_card(cds: CdsActor) -> None:
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "x"}
    body = a_hook(whole_prefetch(a_lung_rads("3")), fhirAuthorization=grant | {"patient": "p"})

    plain, extended = cds.cards(body), cds.cards(with_extensions(body))

    assert [card["summary"] for card in extended] == [card["summary"] for card in plain]


def test_r3_r34_feedback_with_extensions_is_taken(cds: CdsActor) -> None:
    entry = {
        "card": "c",
        "outcome": "overridden",
        "outcomeTimestamp": "2026-11-21T09:05:00Z",
        "overrideReason": {"reason": {"code": "patient-refuses", "system": "s"}},
    }

    assert cds.post(f"{SERVICE}/feedback", with_extensions({"feedback": [entry]})).status_code == 200


def test_r39_a_page_may_send_gzip_and_read_the_reference_number(cds: CdsActor) -> None:
    asked = {"Origin": EHR, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-encoding"}

    preflight = cds.client.options(SERVICE, headers=asked)
    answer = cds.post(SERVICE, a_hook({}), headers={"Origin": EHR})

    assert "content-encoding" in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert answer.headers["Access-Control-Expose-Headers"] == "X-Request-Id"
    assert answer.headers["X-Request-Id"] in answer.get_data(as_text=True)
