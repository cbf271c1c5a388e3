"""What a whole run of the imaging server leaves in its log: no token, name, number, UID or query (security group 34)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Response

from tests.security.gateway_stubs import (
    BULK,
    FRAME,
    METADATA,
    PACS_PASSWORD,
    STUDY_A,
    STUDY_B,
    instance_of,
    multipart,
    only_for,
    series_of,
)
from tests.served_actors import Installation, a_served_installation

NAMES = ("SYNTHETIC", "Alma", "MRN-A", "MRN-B", "pat-a", "pat-b", "19640302", "pacs.internal", "user-1", "Practitioner")
SECRETS = (PACS_PASSWORD, "Z2F0ZXdheTp", "eyJ", "an-opaque-token", "jti-")


@pytest.fixture(scope="module", params=["text", "json"])
def exercised(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Installation]]:
    """A run with good requests, refusals of each kind and counterparts that fail, in each format of the log."""
    directory: Path = tmp_path_factory.mktemp("logs")
    tables = {"server": {"log_format": request.param}, "imaging_server": {"decision_cache_s": 0.2}}
    with a_served_installation(directory, **tables) as running:
        use(running)
        misuse(running)
        fail(running)
        time.sleep(0.3)
        yield request.param, running


def use(running: Installation) -> None:
    token = running.north.token()
    wado = f"/wado?requestType=WADO&studyUID={STUDY_A}&seriesUID={series_of(STUDY_A)}&objectUID={instance_of(STUDY_A)}"
    for path in (FRAME, METADATA, BULK, wado, "/studies?PatientName=SYNTHETIC%5EAlma&00100030=19640302&PatientID=MRN-A"):
        running.gateway(path, token)
    fhir = "/imaging/north/fhir"
    for path in ("/metadata", f"/ImagingStudy?patient=pat-a&identifier=urn:oid:{STUDY_A}", f"/ImagingStudy/{STUDY_A}"):
        running.get(fhir + path, token)


def misuse(running: Installation) -> None:
    token = running.north.token()
    running.gateway(f"/studies/{STUDY_B}/metadata", token)
    running.gateway(METADATA)
    running.gateway(METADATA, "an-opaque-token")
    running.gateway(f"/studies/{STUDY_A}/SYNTHETIC^Alma", token)
    running.gateway(f"{METADATA}?access_token={token}")
    running.gateway(METADATA, running.north.token(exp=1))
    running.gateway(METADATA, running.north.token("pat-b"))
    running.get(f"/imaging/Alma/dicom-web/MRN-A/studies/{STUDY_A}", token)
    running.get(f"/{token}?patient=pat-a", method="SYNTHETIC")
    for number in (f"{STUDY_A}.123456789", "1964030219640302", token[:60]):
        running.gateway(METADATA, token, X_Request_Id=number, User_Agent="Alma\t[forged]", Referer=f"https://x.example/{token}")


def fail(running: Installation) -> None:
    rubbish = b"SYNTHETIC^Alma at pacs.internal.example " + STUDY_A.encode()
    for answer in (
        only_for("metadata", lambda: Response(rubbish, content_type="application/dicom+json")),
        only_for("metadata", lambda: Response(rubbish, 500, {"Location": "http://pacs.internal.example/"})),
        only_for("frames/1", lambda: Response(rubbish, content_type="multipart/related; boundary=Alma")),
        only_for("frames/1", lambda: multipart([(b"x" * 9_000_000 + rubbish, {"Content-Location": "Alma"})])),
        only_for("series", lambda: Response(rubbish, 503, {"Retry-After": "2"})),
    ):
        running.pacs.answer = answer
        for path in (METADATA, FRAME):
            running.gateway(path, running.north.token())
    running.pacs.answer = lambda asked: None
    for body, status in ((rubbish, 200), (b'{"resourceType":"SYNTHETIC"}', 200), (rubbish, 502), (rubbish, 403)):
        time.sleep(0.25)
        running.north.answers["/fhir"] = lambda body=body, status=status: Response(body, status)  # type: ignore[misc]
        running.gateway(METADATA, running.north.token())
        running.get("/imaging/north/fhir/ImagingStudy?patient=pat-a", running.north.token())
    running.north.answers.clear()


def test_metrics_are_not_there_unless_somebody_may_read_them(exercised: tuple[str, Installation]) -> None:
    _, running = exercised

    assert running.get("/metrics").status == 404


def test_group_34_nothing_of_a_patient_or_a_token_is_in_the_log(exercised: tuple[str, Installation]) -> None:
    _, running = exercised
    log = running.log

    assert [word for word in (*NAMES, *SECRETS) if word in log] == []
    assert re.findall(r"\b2\.25\.\d+", log) == []
    assert "patient=" not in log
    assert "Traceback" not in log


def test_group_34_each_request_is_one_line_with_route_status_names_and_reason(exercised: tuple[str, Installation]) -> None:
    kind, running = exercised
    lines = running.log.splitlines()
    route = "/imaging/<ehr>/dicom-web/<pacs>/studies/<dicom_uid:study>/metadata"
    if kind == "text":
        pattern = rf"[A-Za-z0-9._-]+ GET {re.escape(route)} 403 [\d.]+ms ehr=north pacs=main reason=study-not-of-patient"
        assert [line for line in lines if re.search(pattern, line)]
        return
    parsed = [json.loads(line) for line in lines]
    assert {"level", "logger", "time"} <= set.intersection(*(set(one) for one in parsed))
    refused = next(one for one in parsed if one.get("reason") == "study-not-of-patient" and "route" in one)
    assert (refused["route"], refused["status"], refused["ehr"], refused["pacs"]) == (route, 403, "north", "main")
    assert refused["duration_ms"] > 0
    stranger = [one for one in parsed if one.get("route") == "(no route)"]
    assert stranger
    assert all("ehr" not in one for one in stranger)
