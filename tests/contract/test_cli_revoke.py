"""``imaging-cds revoke`` as an administrator types it."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_imaging.scopes import GrantedScopes
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from imaging_cds.cli import main
from imaging_server.access import AccessGrant, FhirPatientId
from imaging_server.revocations import Marks, Revocations


def a_grant(patient: str = "pat-a", reference: str = "jti-1") -> AccessGrant:
    return AccessGrant(
        ehr="north",
        issuer="https://ehr.example/auth",
        patient_id=FhirPatientId(patient),
        scopes=GrantedScopes(),
        user=None,
        client_id=None,
        expires_at=2_000_000_000,
        token_reference=reference,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    file = tmp_path / "app.toml"
    file.write_text(
        f"""
public_base_url = "http://localhost:8000"
[state]
state_dir = "{state}"
[[ehr]]
name = "north"
fhir_base = "https://ehr.example/fhir"
"""
    )
    store = Store.open(StateSettings(state_dir=state))
    store.migrate()
    store.close()
    return file


def marks_of(config: Path) -> Marks:
    store = Store.open(StateSettings(state_dir=config.parent / "state"))
    try:
        return Revocations(store).current()
    finally:
        store.close()


def run(config: Path, *arguments: str) -> int:
    return main(["revoke", "--config", str(config), *arguments])


def test_a_mark_reaches_the_workers_and_is_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "--ehr", "north", "--patient", "pat-a", "--reason", "left") == 0
    assert run(config, "--token-reference", "jti-9") == 0
    capsys.readouterr()
    assert run(config, "--list") == 0

    newest, first = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    store = Store.open(StateSettings(state_dir=config.parent / "state"))
    marks = Revocations(store).current()
    assert (newest["token_reference"], "patient" in newest) == ("jti-9", False)
    assert (first["ehr"], first["patient"], first["reason"], first["at"][-1]) == ("north", "pat-a", "left", "Z")
    assert [marks.concerning(a_grant()), marks.concerning(a_grant("pat-b"))] == [1, 0]
    assert [marks.refuses(a_grant()), marks.refuses(a_grant(reference="jti-9"))] == [False, True]
    store.close()


@pytest.mark.parametrize(
    "written", ["Patient/pat-a", " pat-a ", "https://ehr.example/fhir/Patient/pat-a", "https://images.example/r4/Patient/pat-a"]
)
def test_a_patient_may_be_named_by_a_reference(config: Path, written: str) -> None:
    """A mark that no token could match would say Done and end nothing."""
    config.write_text(config.read_text() + 'imaging_base = "https://images.example/r4"\n')
    assert run(config, "--patient", written) == 0

    assert marks_of(config).concerning(a_grant()) == 1


@pytest.mark.parametrize(
    ("written", "reference"),
    [
        ("urn:ietf:params:oauth:jti:jti-1", "jti-1"),
        ("urn:ietf:params:oauth:jti:a%2Fb%20c", "a/b c"),
        ("urn:imaging-cds:token-digest:0123abc", "digest:0123abc"),
        ("digest:0123abc\n", "digest:0123abc"),
        ("a%2Fb", "a%2Fb"),
    ],
)
def test_a_token_may_be_named_as_events_name_it(config: Path, written: str, reference: str) -> None:
    assert run(config, "--token-reference", written) == 0

    assert marks_of(config).refuses(a_grant(reference=reference))


@pytest.mark.parametrize(
    ("kept", "said"), [("10.0", "nginx may go by what it was told before for up to 10 seconds"), ("0.0", "")]
)
def test_it_says_how_long_nginx_goes_on(config: Path, capsys: pytest.CaptureFixture[str], kept: str, said: str) -> None:
    config.write_text(config.read_text() + f"[imaging_server]\nhanded_decision_s = {kept}\n")
    assert run(config, "--all") == 0

    told = capsys.readouterr().out
    assert said in told
    assert ("nginx" in told) is bool(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say what ends"),
        (["--all", "--ehr", "north"], "leave the others out"),
        (["--ehr", "nowhere"], "nowhere is not configured"),
        (["--patient", " "], "--patient is empty"),
        (["--study", "not-a-uid"], "not a UID"),
        (["--token-reference", "jti", "--patient", "pat-a"], "leave --patient and --study out"),
        (["--patient", "Practitioner/pat-a"], "neither a patient's logical id nor"),
        (["--patient", "https://elsewhere.example/fhir/Patient/pat-a"], "neither a patient's logical id nor"),
        (["--patient", "pat-a pat-b"], "neither a patient's logical id nor"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(config, *arguments) == 2
    assert said in capsys.readouterr().err
    assert run(config, "--list") == 0
    assert capsys.readouterr().out == ""


def test_the_act_stands_in_the_audit_log_as_a_valid_event(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Group 35: who ended whose access, when and why."""
    assert run(config, "--ehr", "north", "--patient", "pat-a", "--reason", "left") == 0
    assert run(config, "--token-reference", "jti-9") == 0
    capsys.readouterr()
    assert main(["audit", "--config", str(config), "--fhir"]) == 0

    newest, first = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    for event in (newest, first):
        assert AuditEvent.model_validate(event).subtype[0].code == "110137"
        assert event["agent"][2]["who"]["identifier"]["value"] == getpass.getuser()
    assert (first["outcomeDesc"], first["entity"][0]["what"]["reference"]) == ("left", "https://ehr.example/fhir/Patient/pat-a")
    assert newest["entity"][0]["what"]["identifier"]["value"] == "urn:ietf:params:oauth:jti:jti-9"


def test_a_full_outbox_neither_stops_nor_belies_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Access was ended: a record of a denial would be untrue."""
    config.write_text(config.read_text() + f'[audit]\nfile = "{config.parent}/events.jsonl"\nmax_pending = 1\n')

    said = [run(config, "--patient", "pat-a", "--reason", f"number {number}") for number in range(4)]
    assert main(["audit", "--config", str(config), "--json"]) == 0

    records = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert said == [0] * 4
    assert [(one["outcome"], one["reason"]) for one in records] == [("allowed", f"number {number}") for number in (3, 2, 1, 0)]


def test_an_account_without_a_name_ends_access_by_its_number(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)  # in no passwd file
    assert run(config, "--all") == 0
    capsys.readouterr()
    assert run(config, "--list") == 0

    assert json.loads(capsys.readouterr().out)["by"] == "uid 54321"
