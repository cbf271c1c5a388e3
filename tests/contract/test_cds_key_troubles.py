"""Client JWTs whose keys cannot be had or whose header is odd: a bare 401, and no word of the token in the log (R37, R38)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, EHR, CdsActor, a_cds_service, a_hook, a_store, whole_prefetch

SERVICE = "/cds-services/imaging-findings"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def refused(cds: CdsActor, token: str) -> bool:
    response = cds.post(SERVICE, a_hook(whole_prefetch()), token=token)
    assert response.get_data() == b"" or response.status_code == 200
    return response.status_code == 401


@pytest.mark.parametrize("answer", [500, 404, "no JSON", "[]", '{"keys": "none"}'])
def test_r37_keys_that_cannot_be_had_refuse_and_only_the_issuer_is_logged(
    store: Store,
    tmp_path: Path,
    serve: Callable[[Flask, int], str],
    free_port: int,
    caplog: pytest.LogCaptureFixture,
    answer: int | str,
) -> None:
    app = Flask("keys")

    @app.get("/jwks.json")
    def keys() -> Any:
        return ("", answer) if isinstance(answer, int) else (answer, 200, {"Content-Type": "application/json"})

    base = serve(app, free_port)
    cds = a_cds_service(store, tmp_path, trust={"jwks_file": None, "jwks_url": f"{base}/jwks.json"})
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}")

    with caplog.at_level(logging.INFO):
        assert refused(cds, token)

    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "client JWT refused: " in said
    assert all(part not in said for part in token.split("."))
    assert f"the keys of {EHR} cannot be had" in said or "no trusted key signed it" in said


@pytest.mark.parametrize("header", [{"jku": 5}, {"jku": ["https://ehr.example.org/jwks.json"]}, {"kid": ""}])
def test_r38_a_header_of_another_type_is_refused(store: Store, tmp_path: Path, header: dict[str, Any]) -> None:
    cds = a_cds_service(store, tmp_path)

    assert refused(cds, cds.ehr.jwt_for(f"{APP}{SERVICE}", header=header))
    assert not refused(cds, cds.ehr.jwt_for(f"{APP}{SERVICE}"))


def test_r38_a_refusal_can_be_found_by_the_number_of_the_bare_401(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cds = a_cds_service(store, tmp_path)
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}", aud="https://elsewhere.example.org", jti="one-of-many")

    with caplog.at_level(logging.INFO, "imaging_cds.cds_clients"):
        response = cds.post(SERVICE, a_hook(whole_prefetch()), token=token)

    number = response.headers["X-Request-Id"]
    (said,) = (record.getMessage() for record in caplog.records if record.name == "imaging_cds.cds_clients")
    assert said == f'{number}: client JWT refused: aud is not the URL called; iss="{EHR}"; jti="one-of-many"'


def test_r38_what_is_logged_of_a_strangers_token_is_short_and_plain(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cds = a_cds_service(store, tmp_path)
    strangers = 'x\n2026 forged line\x1b[2J\u202e"' + "y" * 500

    with caplog.at_level(logging.INFO, "imaging_cds.cds_clients"):
        assert refused(cds, cds.ehr.jwt_for(f"{APP}{SERVICE}", iss=strangers))
        assert cds.post(SERVICE, {}, token="no.token").status_code == 401

    strange, none = (record.getMessage() for record in caplog.records if record.name == "imaging_cds.cds_clients")
    assert 'iss="x?2026 forged line?[2J??y' in strange
    assert strange.isprintable()
    assert len(strange) < 300
    assert none.endswith("client JWT refused: not a JWT")
