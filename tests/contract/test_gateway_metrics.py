"""What ``/metrics`` tells, of all workers, and to whom: routes and configured names, never a patient, a study or a token."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask, Response

from fhir_imaging.clients.breaker import Outcome, State
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_cds.metrics import Metrics
from imaging_cds.metrics_settings import MetricsSettings
from imaging_cds.metrics_view import ERRORS, create_blueprint
from imaging_cds.metrics_workers import waiting_records
from tests.security.gateway_actors import Answer
from tests.security.gateway_stubs import FRAME, METADATA, STUDY_A, STUDY_B
from tests.served_actors import Installation, a_served_installation

TOKEN = "a-token-for-the-scraper"
FRAMES = "/imaging/<ehr>/dicom-web/<pacs>/studies/<dicom_uid:study>/series/<dicom_uid:series>/instances/<dicom_uid:instance>"
LIMITS = {"breaker": {"outages": 2, "cool_down_s": 60.0}, "rate_limit": {"requests_per_second": 0.0}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("metrics")
    access = {"networks": ["127.0.0.0/8"], "bearer_token": TOKEN}
    with a_served_installation(directory, metrics=access, imaging_server=LIMITS) as installation:
        yield installation


def metrics(running: Installation) -> dict[str, float]:
    """Samples by name and labels."""
    answer = running.get("/metrics", TOKEN)
    assert answer.status == 200, answer.body
    lines = (line for line in answer.body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def total(samples: dict[str, float], name: str, *labels: str) -> float:
    """The sum of the samples of a name that have all these labels."""
    found = [value for key, value in samples.items() if key.split("{")[0] == name and all(one in key for one in labels)]
    return sum(found)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it comes true; the time is only there to end a test that fails."""
    deadline = time.monotonic() + seconds
    while not (is_so := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so


def nothing_is_open(running: Installation) -> bool:
    """Whether no body is on its way any more."""
    return total(metrics(running), "imaging_cds_open_streams") == 0


def workers(running: Installation) -> list[int]:
    """The processes that answer."""
    return [int(one) for one in Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()]


def test_workers_add_up_what_they_did_and_whom_they_asked(running: Installation) -> None:
    before = metrics(running)
    token = running.north.token()
    frames = [running.gateway(FRAME, token) for _ in range(12)]
    assert {one.status for one in frames} == {200}
    assert running.gateway(f"/studies/{STUDY_B}/metadata", token).status == 403
    assert running.gateway(METADATA).status == 401
    after = metrics(running)

    def grown(name: str, *labels: str) -> float:
        return total(after, name, *labels) - total(before, name, *labels)

    assert grown("imaging_cds_requests_total", f'route="{FRAMES}/frames', 'status="200"') == 12
    assert grown("imaging_cds_decisions_total", 'reason="allowed"') == 12
    assert grown("imaging_cds_decisions_total", 'reason="study-not-of-patient"') == 1
    assert grown("imaging_cds_decisions_total", 'reason="token-missing"') == 1
    assert 10 <= grown("imaging_cds_decisions_from_cache_total") <= 11, "each of two workers asks the EHR once"
    assert grown("imaging_cds_upstream_seconds_count", 'server="main-archive"', 'outcome="answered"') >= 12
    assert grown("imaging_cds_upstream_seconds_count", 'server="north-fhir"') in (2, 3)
    assert grown("imaging_cds_sent_bytes_total", "frames") == 12 * len(frames[0].body)
    assert until(lambda: nothing_is_open(running)), "a body is closed a moment after its last byte"
    assert after['imaging_cds_breaker_state{server="main-archive"}'] == 0
    assert after["imaging_cds_audit_pending"] == 0


def test_group_34_no_label_names_a_patient_a_study_or_a_token(running: Installation) -> None:
    token = running.north.token()
    for path in (FRAME, METADATA, f"/studies?StudyInstanceUID={STUDY_A}", "/studies?00100020=MRN-A&PatientName=Alma"):
        running.gateway(path, token)
    running.get("/imaging/Alma/dicom-web/MRN-A/studies/2.25.99", token)
    running.get("/imaging/north/fhir/ImagingStudy?patient=pat-a&identifier=urn:oid:2.25.11", token)
    running.get("/Alma/MRN-A/2.25.99", method="ALMA")
    said = running.get("/metrics", TOKEN).body.decode()

    assert [word for word in (token, "pat-a", "MRN-A", "Alma", "ALMA", "127.0.0.1", "jti-") if word in said] == []
    assert re.findall(r"2\.25\.\d", said) == []


def test_a_server_left_alone_shows_in_readyz_and_metrics_and_the_worker_stays_ready(running: Installation) -> None:
    running.north.answers["/fhir/ImagingStudy"] = lambda: Response(status=503)
    told: list[Answer] = []

    def is_left_alone_by_who_answers() -> bool:
        assert running.gateway(FRAME, running.north.token()).status == 503
        told.append(running.get("/readyz"))
        not_asked = total(metrics(running), "imaging_cds_upstream_seconds_count", "north-fhir", 'outcome="not-asked"')
        return told[-1].json()["servers"]["north-fhir"] == "is left alone" and not_asked > 0

    try:
        assert until(is_left_alone_by_who_answers), "each of two workers learns it by itself"
        samples = metrics(running)
    finally:
        running.north.answers.clear()

    assert {one.status for one in told} == {200}
    assert told[-1].json()["servers"] == {
        "north-fhir": "is left alone",
        "north-authorization": "is asked",
        "main-archive": "is asked",
    }
    assert samples['imaging_cds_breaker_state{server="north-fhir"}'] == 2


def test_only_the_named_reader_may_read(running: Installation) -> None:
    refused = [running.get("/metrics"), running.get("/metrics", "another-token-of-some-length")]
    lent = running.get("/metrics", TOKEN, X_Forwarded_For="10.0.0.1")

    assert [one.status for one in refused] == [401, 401]
    assert refused[0].headers["WWW-Authenticate"] == "Bearer"
    assert refused[0].problem == "metrics-token"
    assert (lent.status, lent.problem) == (403, "metrics-network"), "a proxy that nobody counts lends its address to all"


def test_what_a_lost_worker_counted_stays_and_what_it_had_open_does_not(running: Installation) -> None:
    before = total(metrics(running), "imaging_cds_requests_total", "frames")
    known = workers(running)
    os.kill(known[0], signal.SIGKILL)
    assert until(lambda: known[0] not in workers(running) and len(workers(running)) == len(known)), "another takes its place"

    assert total(metrics(running), "imaging_cds_requests_total", "frames") == before
    assert until(lambda: nothing_is_open(running))


def an_app(settings: MetricsSettings, *, behind_proxies: int = 0) -> Flask:
    app = Flask("measured", static_folder=None)
    install(app, [ERRORS])
    app.register_blueprint(create_blueprint(settings, Metrics(), behind_proxies=behind_proxies))
    return app


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (("10.1.0.0/16",), "10.1.2.3", 200),
        (("10.1.0.0/16",), "10.2.2.3", 403),
        (("10.1.0.0/16", "2001:db8::/32"), "2001:db8::1", 200),
        (("10.1.0.0/16",), "::ffff:10.1.2.3", 200),
        (("10.1.0.0/16",), "no address", 403),
    ],
)
def test_clients_of_other_networks_are_refused(networks: tuple[str, ...], address: str, status: int) -> None:
    client = an_app(MetricsSettings(networks=networks)).test_client()

    assert client.get("/metrics", environ_base={"REMOTE_ADDR": address}).status_code == status


def test_behind_a_counted_proxy_the_clients_own_address_counts() -> None:
    client = an_app(MetricsSettings(networks=("10.1.0.0/16",)), behind_proxies=1).test_client()
    forwarded = {"X-Forwarded-For": "10.1.2.3"}

    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "10.1.2.3"}, headers=forwarded).status_code == 200


@pytest.mark.parametrize("wrong", [{"networks": ("10.1.0.0/99",)}, {"networks": ("here",)}, {"bearer_token": "short"}])
def test_settings_that_cannot_work_are_named(wrong: dict[str, object]) -> None:
    assert list(MetricsSettings(**wrong).problems())  # type: ignore[arg-type]
    assert not list(MetricsSettings(networks=("::1/128",), bearer_token=TOKEN).problems())
    assert not MetricsSettings().is_on


def test_a_database_that_is_down_takes_only_its_own_number_away(tmp_path: Path) -> None:
    store = Store.open(StateSettings(state_dir=tmp_path))
    measured = Metrics(pending=lambda: waiting_records(store))
    measured.watch("north-fhir", Outcome.OUTAGE, 0.5, State.HALF_OPEN)
    text = measured.as_text().decode()
    store.close()

    assert 'imaging_cds_breaker_state{server="north-fhir"} 1.0' in text
    assert "imaging_cds_audit_pending" not in text, "the database has no tables yet"
