"""``imaging-cds check``: machines with client keys of their own are seen at the public JWKS address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, jsonify

from fhir_imaging.client_keys import ClientKeys
from imaging_cds.check_client_keys import TIMES, check_client_keys
from imaging_cds.check_report import Finding
from imaging_cds.settings import ApplicationSettings, from_table
from tests.conftest import free_port_number, serving


def an_installation(directory: Path, port: int, **more: Any) -> ApplicationSettings:
    return from_table(
        {
            "public_base_url": f"http://127.0.0.1:{port}",
            "allow_http": True,
            "state": {"state_dir": str(directory)},
            "cds": {"client_authentication": "off"},
            "ehr": [{"name": "north", "fhir_base": "https://ehr.example/fhir"}],
            **more,
        }
    )


@contextmanager
def publishing(port: int, *answers: Any) -> Iterator[list[str]]:
    """The public address, behind which machines take turns; what was asked."""
    app, asked, turns = Flask("machines", static_folder=None), list[str](), cycle(answers)

    @app.get("/.well-known/jwks.json")
    def jwks() -> Response:
        asked.append("jwks")
        answer = next(turns)
        return answer if isinstance(answer, Response) else jsonify(answer)

    with serving(app, port):
        yield asked


def found(settings: ApplicationSettings) -> Finding:
    (finding,) = check_client_keys(settings)
    return finding


@pytest.fixture
def keys(tmp_path: Path) -> ClientKeys:
    return ClientKeys.of(tmp_path / "state")


def test_machines_with_the_same_keys_are_sound(keys: ClientKeys, tmp_path: Path) -> None:
    keys.rotate("ES384", signs_from=int(time.time()) + 60, overlap_s=60)
    port = free_port_number()
    with publishing(port, keys.jwks(int(time.time()))) as asked:
        finding = found(an_installation(tmp_path / "state", port))

    assert (finding.verdict, len(asked)) == ("ok", TIMES)
    assert "publishes this machine's client keys (3)" in finding.what


@pytest.mark.parametrize("other", ["keys of its own", "no rotation yet", "nothing"])
def test_a_machine_with_others_is_told_with_what_to_do(keys: ClientKeys, tmp_path: Path, other: str) -> None:
    before = keys.jwks(0)
    keys.rotate("ES384", signs_from=int(time.time()) + 60, overlap_s=60)
    others = {
        "keys of its own": lambda: ClientKeys.of(tmp_path / "other").jwks(0),
        "no rotation yet": lambda: before,
        "nothing": lambda: {"keys": []},
    }[other]()
    port = free_port_number()
    with publishing(port, keys.jwks(int(time.time())), others):
        finding = found(an_installation(tmp_path / "state", port))

    assert finding.verdict == "warning"
    assert f"{TIMES // 2} of {TIMES} answers" in finding.what
    assert "docs/operations.md, Several machines" in finding.remedy


@pytest.mark.parametrize("answer", [Response("no", 502), Response("[]", 200), Response("<html>", 200)])
def test_what_is_no_jwks_is_not_compared(keys: ClientKeys, tmp_path: Path, answer: Response) -> None:
    port = free_port_number()
    with publishing(port, answer):
        finding = found(an_installation(tmp_path / "state", port))

    assert keys.published(0)
    assert (finding.verdict, f"HTTP {answer.status_code}" in finding.what) == ("note", True)


def test_an_application_that_is_not_up_is_not_compared(keys: ClientKeys, tmp_path: Path) -> None:
    finding = found(an_installation(tmp_path / "state", free_port_number()))

    assert keys.published(0)
    assert (finding.verdict, "were not compared" in finding.what) == ("note", True)


def test_nothing_is_asked_and_no_key_is_made_where_nothing_has_started(tmp_path: Path) -> None:
    assert list(check_client_keys(an_installation(tmp_path / "state", free_port_number()))) == []
    assert not (tmp_path / "state").exists()


def test_a_damaged_schedule_is_told(keys: ClientKeys, tmp_path: Path) -> None:
    (tmp_path / "state" / "client-keys.json").write_text("{")
    finding = found(an_installation(tmp_path / "state", free_port_number()))

    assert keys.published
    assert (finding.verdict, "is damaged" in finding.what) == ("fault", True)
