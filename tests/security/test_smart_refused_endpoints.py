"""Group 25: a server that an EHR names and this site does not allow is seen by the user and stands in the audit trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.fhir_mapping.audit_event import AuditedServer, audit_event
from imaging_cds.cli import main
from imaging_cds.demo_plan import DemoOptions, app_table
from smart_app.imaging_base import APP_LAUNCH_MODE, IMAGING_CAPABILITY
from smart_app.session_tokens import SessionTokens
from tests.contract.smart_actors import GATEWAY, PATIENT, STUDY_A, World, a_world, demo_record, imaging_study, wado_endpoint
from tests.contract.test_smart_list_stream import PagingEhr, studies

EVIL = "https://evil.example"
CAPABILITY = "a-path-that-opens-the-door"


class Audit:
    """`imaging-cds audit` over the world's state, as somebody at the site reads it."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        table = app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer"))
        table["state"] = {"state_dir": str(tmp_path / "state")}
        self._config = tmp_path / "app.toml"
        self._config.write_text(tomli_w.dumps(table))

    def printed(self, *options: str) -> str:
        self._capsys.readouterr()
        assert main(["audit", "--config", str(self._config), *options]) == 0
        return self._capsys.readouterr().out

    def refusals(self) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.printed("--json").splitlines()]
        return [one for one in records if one["action"] == "endpoint-refused"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


@pytest.fixture
def audit(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Audit:
    return Audit(tmp_path, capsys)


def lists_again(world: World) -> Any:
    return world.clinician.get(f"/s/{world.clinician.session}/studies")


def test_group_25_a_refused_endpoint_is_on_the_page_and_once_in_the_audit_trail(world: World, audit: Audit) -> None:
    """However often the list is read, by however many of its studies the server is named."""
    world.ehr.fhir["ImagingStudy"].append(imaging_study("2.25.5", study_id="s5"))
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/{CAPABILITY}/dicom-web?key={CAPABILITY}")]
    page = world.clinician.launches(world.ehr)
    assert lists_again(world).status_code == 200
    world.clinician.get(f"/s/{world.clinician.session}/viewer/2.25.5")

    assert page.text.count("Image server not allowed here") == 2
    [record] = audit.refusals()
    assert record["outcome"] == "denied"
    assert record["reason"] == f"origin-not-allowed: {EVIL}"
    assert (record["ehr"], record["issuer"], record["patient_id"]) == ("sandbox", world.ehr.fhir_base, PATIENT)
    assert record["request_id"]
    assert CAPABILITY not in json.dumps(record)
    assert record["user"] == "Practitioner/demo-gp", "as the gateway names the same person"


def test_group_25_several_refused_servers_beside_an_allowed_one_are_counted(world: World) -> None:
    world.ehr.fhir["Endpoint"] += [wado_endpoint(f"{EVIL}/{one}", one) for one in ("first", "second")]
    names = ("demo-wado", "first", "second")
    world.ehr.fhir["ImagingStudy"][0]["endpoint"] = [{"reference": f"Endpoint/{one}"} for one in names]
    page = world.clinician.launches(world.ehr)

    assert "2 further image addresses were left out: their servers are not allowed here" in page.text


@pytest.mark.parametrize("order", [("demo-wado", "evil"), ("evil", "demo-wado")])
@pytest.mark.parametrize("reader", ["Practitioner/demo-gp", "Patient/demo-a"])
def test_group_25_beside_an_allowed_server_a_refused_one_is_said_and_recorded(
    world: World, audit: Audit, order: tuple[str, ...], reader: str
) -> None:
    """The images open from the allowed one, and nothing is asked of the other; a patient is not told of servers."""
    world.ehr.id_token_changes = {"fhirUser": f"{world.ehr.fhir_base}/{reader}"}
    world.ehr.fhir["Endpoint"].append(wado_endpoint(f"{EVIL}/dicom-web", "evil"))
    world.ehr.fhir["ImagingStudy"][0]["endpoint"] = [{"reference": f"Endpoint/{one}"} for one in order]
    page = world.clinician.launches(world.ehr)
    lists_again(world)
    viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")
    config = world.clinician.get(f"/s/{world.clinician.session}/ohif/app-config.js")

    assert f"/viewer/{STUDY_A}" in page.text
    assert ("A further image address was left out: its server is not allowed here" in page.text) is ("Pract" in reader)
    assert (f"<code>{EVIL}/dicom-web</code>" in page.text) is ("Pract" in reader)
    assert viewer.status_code == 200
    assert GATEWAY in config.text
    assert EVIL not in viewer.text + config.text + viewer.headers["Content-Security-Policy"]
    assert [one["reason"] for one in audit.refusals()] == [f"origin-not-allowed: {EVIL}"]


def test_group_25_a_refused_server_is_recorded_where_the_images_are_offline_too(world: World, audit: Audit) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/dicom-web")]
    world.ehr.fhir["ImagingStudy"][0]["availability"] = "OFFLINE"
    world.clinician.launches(world.ehr)

    assert [one["reason"] for one in audit.refusals()] == [f"origin-not-allowed: {EVIL}"]


def test_group_35_the_refusal_is_a_valid_audit_event_without_path_or_token(world: World) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/{CAPABILITY}/dicom-web?key={CAPABILITY}")]
    world.clinician.launches(world.ehr)
    session = SessionTokens(world.app.services).live(world.clinician.session)
    [record] = AuditLog(world.app.services.store).find(AuditFilter(patient_id=PATIENT))
    event = audit_event(record, AuditedServer(base_url="http://localhost:8000", fhir_base=world.ehr.fhir_base))
    AuditEvent.model_validate(event)
    told = json.dumps(event)

    assert (event["outcome"], event["outcomeDesc"]) == ("4", f"origin-not-allowed: {EVIL}")
    assert "meta" not in event, "the profiles of BALP are of what succeeded"
    assert [one["what"]["reference"] for one in event["entity"] if "reference" in one["what"]] == [
        f"{world.ehr.fhir_base}/Patient/{PATIENT}"
    ]
    assert not [secret for secret in (CAPABILITY, session.access_token, world.clinician.session) if secret in told]


def test_group_25_the_record_names_no_study_and_nothing_of_the_patient_but_the_id(world: World, audit: Audit) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/dicom-web")]
    world.clinician.launches(world.ehr)

    [record] = audit.refusals()
    told = {name for name, value in record.items() if value is not None}
    assert told <= {
        "time",
        "recorded_at",
        "ehr",
        "action",
        "outcome",
        "reason",
        "patient_id",
        "user",
        "issuer",
        "request_id",
        "event_id",
    }


def test_group_25_each_session_and_each_server_has_its_own_record(world: World, audit: Audit) -> None:
    other = imaging_study("2.25.5", study_id="s5", endpoint=[{"reference": "Endpoint/other"}])
    world.ehr.fhir["ImagingStudy"].append(other)
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/dicom-web"), wado_endpoint("https://other.example/x", "other")]
    world.clinician.launches(world.ehr)
    assert sorted(one["reason"].split()[1] for one in audit.refusals()) == [EVIL, "https://other.example"]

    world.another_clinician().launches(world.ehr)
    assert len(audit.refusals()) == 4


def test_group_25_allowed_servers_leave_no_refusal(world: World, audit: Audit) -> None:
    world.clinician.launches(world.ehr)

    assert audit.refusals() == []


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://user:secret@evil.example/x", "http://evil.example"),
        ("HTTPS://EVIL.example:8443/x", "https://evil.example:8443"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]"),
        ("javascript:alert('secret')", "not a web address"),
        ("file:///secret", "not a web address"),
        ("https://\x1b[31msecret/x", "not a web address"),
        ("https://evil.example:secret/x", "not a web address"),
    ],
)
def test_group_25_of_an_address_only_a_plain_origin_is_recorded(world: World, audit: Audit, address: str, told: str) -> None:
    world.ehr.fhir["Endpoint"] = [wado_endpoint(address)]
    world.clinician.launches(world.ehr)

    [record] = audit.refusals()
    assert record["reason"] == f"origin-not-allowed: {told}"
    assert "secret" not in json.dumps(record)


def test_group_25_the_table_of_the_audit_trail_shows_the_refusal(
    world: World, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/dicom-web")]
    world.clinician.launches(world.ehr)

    [line] = [line for line in audit.printed().splitlines() if "endpoint-refused" in line]
    assert f"denied: origin-not-allowed: {EVIL}" in line


def test_group_25_an_imaging_server_that_may_not_be_asked_is_recorded(world: World, audit: Audit) -> None:
    offered = {"url": "http://evil.example/fhir", "capabilities": [IMAGING_CAPABILITY, APP_LAUNCH_MODE]}
    world.ehr.smart_configuration = {"capabilities": ["launch-ehr"], "associated_endpoints": [offered]}
    world.ehr.fhir["Endpoint"] = []
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 502
    assert "http://evil.example" in page.text
    assert [one["reason"] for one in audit.refusals()] == ["origin-not-allowed: http://evil.example"]


def test_group_25_a_patient_is_not_told_the_server_and_the_audit_trail_is(world: World, audit: Audit) -> None:
    world.ehr.id_token_changes = {"fhirUser": f"{world.ehr.fhir_base}/Patient/{PATIENT}"}
    world.ehr.fhir["Endpoint"] = [wado_endpoint(f"{EVIL}/dicom-web")]
    page = world.clinician.launches(world.ehr)

    assert "Pictures cannot be shown here" in page.text
    assert EVIL not in page.text
    assert [one["reason"] for one in audit.refusals()] == [f"origin-not-allowed: {EVIL}"]


def test_group_25_a_server_named_further_down_a_long_list_is_recorded_as_its_row_goes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader may leave before the list is whole."""
    record = {**demo_record(), "ImagingStudy": studies(6)}
    record["ImagingStudy"][-1]["endpoint"] = [{"reference": "Endpoint/evil"}]
    record["Endpoint"].append(wado_endpoint(f"{EVIL}/dicom-web", "evil"))
    with a_world(tmp_path, ehr=PagingEhr(fhir=record)) as world:
        world.clinician.launches(world.ehr)
        audit = Audit(tmp_path, capsys)
        assert audit.refusals() == []
        rest = world.clinician.get(f"/s/{world.clinician.session}/studies/stream", buffered=False)
        for line in rest.response:
            if b"not allowed here" in (line if isinstance(line, bytes) else line.encode()):
                break
        rest.close()

        assert [one["reason"] for one in audit.refusals()] == [f"origin-not-allowed: {EVIL}"]
