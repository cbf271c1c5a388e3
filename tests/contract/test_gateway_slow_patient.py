"""An EHR that is slow about one patient: others go on; one that answers nobody is left alone (F8, group 6)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask, Response, jsonify

from fhir_imaging.clients.breaker import Breaker, BreakerSettings, State
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.errors import ImagingError
from fhir_imaging.settings import EhrSettings
from imaging_server.guarded_session import GuardedSession
from tests.conftest import free_port_number, serving


@dataclass
class SlowEhr:
    """``slow``: the patients about whom it says nothing until ``go_on``."""

    slow: set[str] = field(default_factory=set)
    base: str = ""
    asked: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Flask:
        app = Flask("slow-ehr", static_folder=None)

        @app.get("/fhir/Patient/<patient>")
        def _read(patient: str) -> Response:
            self.asked.append(patient)
            if patient in self.slow:
                self.go_on.wait(20)
            return jsonify({"resourceType": "Patient", "id": patient})

        return app


@pytest.fixture
def ehr() -> Iterator[SlowEhr]:
    stub = SlowEhr()
    with serving(stub.app(), free_port_number()) as base:
        stub.base = base
        yield stub
        stub.go_on.set()


@dataclass
class Asking:
    """The imaging server's way to that EHR."""

    client: FhirClient
    session: GuardedSession

    def read(self, patient: str) -> str:
        try:
            self.client.read("Patient", patient)
        except ImagingError as failed:
            return "left alone" if failed.context.get("cause") == "left alone after outages" else failed.code
        return "read"

    @property
    def state(self) -> State:
        return self.session.breakers[0].state


def asking(ehr: SlowEhr) -> Asking:
    base = f"{ehr.base}/fhir"
    settings = BreakerSettings(outages=3, cool_down_s=30)
    one = EhrSettings(name="north", fhir_base=base)
    session = GuardedSession([one], [ehr.base], lambda name: Breaker(name, settings), timeout_s=1.0)
    return Asking(FhirClient(base, session), session)


def test_f8_a_patient_whom_the_ehr_is_slow_about_costs_no_other_patient_anything(ehr: SlowEhr) -> None:
    ehr.slow.add("long-record")
    ask = asking(ehr)
    slow = [ask.read("long-record") for _ in range(5)]
    asked = len(ehr.asked)

    assert slow == ["upstream-timeout"] * 3 + ["left alone"] * 2
    assert asked == 3, "no thread waits for it a fourth time"
    assert ask.read("other") == "read"
    assert ask.state is State.CLOSED


def test_f8_an_ehr_that_is_slow_about_everybody_is_left_alone(ehr: SlowEhr) -> None:
    ehr.slow.update("abc")
    ask = asking(ehr)
    slow = [ask.read(patient) for patient in "abc"]

    assert slow == ["upstream-timeout"] * 3
    assert (ask.read("other"), ask.state) == ("left alone", State.OPEN)


def test_f8_an_ehr_that_cannot_be_reached_is_left_alone_whoever_is_asked_about() -> None:
    nobody = SlowEhr(base=f"http://127.0.0.1:{free_port_number()}")
    ask = asking(nobody)
    gone = [ask.read("one") for _ in range(3)]

    assert gone == ["upstream-failed"] * 3
    assert (ask.read("other"), ask.state) == ("left alone", State.OPEN)
