"""A CDS service that answers what a test tells it and remembers what it was asked, and a chart on a real socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from flask import Flask, Response, jsonify, request

from ehr_sandbox.chart import create_chart_blueprint
from ehr_sandbox.services import SandboxServices, make_services
from ehr_sandbox.settings import RegisteredClient, SandboxSettings
from tests.conftest import free_port_number, serving

SERVICE_ID = "imaging-findings"
OTHER_SERVICES = {
    "other": "order-sign",
    "order-select": "order-select",
    "discharge": "encounter-discharge",
    "appointment": "appointment-book",
    "study-complete": "org.example.imaging-study-complete",
}
PREFETCH = {
    "patient": "Patient/{{context.patientId}}",
    "reports": "DiagnosticReport?patient={{context.patientId}}&_sort=-date&_count=50",
    "nothing": "ServiceRequest?patient={{context.patientId}}&status=active",
    "practitioner": "Practitioner/{{userPractitionerId}}",
    "unknown-token": "Encounter/{{context.visitId}}",
    "refused": "Observation?no-such-parameter=1",
}


@dataclass(slots=True)
class Asked:
    """One request that reached the CDS service."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class FakeCdsService:
    """One service for each hook that the chart fires. What they answer may be changed at any time by the test.

    `response` is what each says; `responses` holds, by service id, what one says instead.
    """

    base_url: str
    response: Any = field(default_factory=lambda: {"cards": []})
    responses: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    delay_s: float = 0.0
    discovery: Any = None
    discovery_status: int = 200
    feedback_status: int = 200
    echoes_request: bool = False
    asked: list[Asked] = field(default_factory=list)

    @property
    def discovery_url(self) -> str:
        return f"{self.base_url}/cds-services"

    @property
    def service_url(self) -> str:
        return f"{self.discovery_url}/{SERVICE_ID}"

    def app(self) -> Flask:
        app = Flask("fake-cds-service")
        app.add_url_rule("/cds-services", view_func=self._discover)
        app.add_url_rule("/cds-services/<service_id>", view_func=self._answer, methods=["POST"])
        app.add_url_rule("/cds-services/<service_id>/feedback", view_func=self._feedback, methods=["POST"])
        app.add_url_rule("/launch", view_func=lambda: Response("<p>launched</p>", mimetype="text/html"))
        return app

    def calls(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == f"/cds-services/{SERVICE_ID}"]

    def contexts(self, service_id: str) -> list[dict[str, Any]]:
        """The context of every call of one service."""
        return [asked.body["context"] for asked in self.asked if asked.path == f"/cds-services/{service_id}"]

    def feedback(self) -> list[dict[str, Any]]:
        posts = [asked for asked in self.asked if asked.path.endswith("/feedback")]
        return [entry for post in posts for entry in post.body["feedback"]]

    def _discover(self) -> tuple[Response, int]:
        self._note()
        listed = {"hook": "patient-view", "id": SERVICE_ID, "title": "Imaging findings", "description": "d"}
        listed["prefetch"] = PREFETCH
        others = [{"hook": hook, "id": service_id, "description": "d"} for service_id, hook in OTHER_SERVICES.items()]
        document = {"services": [listed, *others]} if self.discovery is None else self.discovery
        return jsonify(document), self.discovery_status

    def _answer(self, service_id: str) -> tuple[Response, int]:
        self._note()
        time.sleep(self.delay_s)
        answer = self.responses.get(service_id, self.response)
        return jsonify(request.get_json() if self.echoes_request else answer), self.status

    def _feedback(self, service_id: str) -> tuple[Response, int]:
        self._note()
        return Response(), self.feedback_status

    def _note(self) -> None:
        self.asked.append(Asked(request.path, dict(request.headers), request.get_json(silent=True)))


def a_card(**members: Any) -> dict[str, Any]:
    """A valid warning card; members given replace or add, None takes away."""
    card = {
        "uuid": "11111111-1111-4111-8111-111111111111",
        "summary": "Lung nodule of 8 mm: no follow-up CT is ordered",
        "indicator": "warning",
        "source": {"label": "Imaging findings", "url": "https://imaging-cds.example/about"},
        "detail": "**Chest CT** of 3 May: one solid nodule.\n\n| Size | Due |\n|---|---|\n| 8 mm | 3 months |",
    } | members
    return {name: value for name, value in card.items() if value is not None}


def a_suggestion(**members: Any) -> dict[str, Any]:
    """Creates a draft order for a chest CT of patient A."""
    order = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/demo-a"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29252-4"}], "text": "CT chest without contrast"},
    }
    return {
        "label": "Draft a follow-up CT",
        "uuid": "22222222-2222-4222-8222-222222222222",
        "actions": [{"type": "create", "description": "Draft order: CT chest", "resource": order}],
    } | members


def a_suggesting_card(*suggestions: dict[str, Any], **members: Any) -> dict[str, Any]:
    return a_card(**{"selectionBehavior": "at-most-one", "suggestions": list(suggestions)} | members)


SEED = [
    {
        "resourceType": "Patient",
        "id": "demo-a",
        "name": [{"family": "Synthetic", "given": ["Alma"]}],
        "gender": "female",
        "birthDate": "1964-02-29",
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
                "system": "https://imaging-cds.example/demo/mrn",
                "value": "DEMO-1001",
            }
        ],
    },
    {
        "resourceType": "Patient",
        "id": "demo-b",
        "name": [{"family": "Synthetic", "given": ["Bruno"]}],
        "gender": "male",
        "birthDate": "1981-07-07",
    },
    {"resourceType": "Practitioner", "id": "demo-gp", "name": [{"family": "General"}]},
    {
        "resourceType": "Encounter",
        "id": "demo-a-encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB", "display": "ambulatory"},
        "subject": {"reference": "Patient/demo-a"},
        "period": {"start": "2026-05-03T09:00:00Z"},
    },
    {
        "resourceType": "Condition",
        "id": "demo-a-copd",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": {"text": "Chronic obstructive pulmonary disease"},
        "subject": {"reference": "Patient/demo-a"},
        "onsetDateTime": "2019-04-01",
    },
    {
        "resourceType": "ImagingStudy",
        "id": "demo-a-ct",
        "status": "available",
        "subject": {"reference": "Patient/demo-a"},
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.1001"}],
        "started": "2026-05-03T08:00:00Z",
        "description": "CT chest",
        "numberOfSeries": 2,
        "numberOfInstances": 121,
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
    },
    {
        "resourceType": "Condition",
        "id": "demo-b-asthma",
        "code": {"text": "Asthma"},
        "subject": {"reference": "Patient/demo-b"},
    },
    {
        "resourceType": "ImagingStudy",
        "id": "demo-b-ct",
        "status": "available",
        "subject": {"reference": "Patient/demo-b"},
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "demo-a-report",
        "status": "final",
        "code": {"text": "CT chest report"},
        "subject": {"reference": "Patient/demo-a"},
        "effectiveDateTime": "2026-05-03T08:00:00Z",
        "performer": [{"display": "Dr Synthetic Radiologist"}],
        "conclusion": "Solid nodule of 8 mm in the right upper lobe.\nFollow-up CT in 3 months.",
    },
]


@dataclass(slots=True, kw_only=True)
class ChartActor:
    """A clinician's browser without the browser: opens charts and clicks, over real HTTP."""

    ehr: str
    services: SandboxServices
    cds: FakeCdsService
    http: requests.Session

    def forgets_everything(self) -> None:
        """Back to how it began: no orders, and a CDS service with nothing to say that was never asked."""
        for resource_type in ("ServiceRequest", "MedicationRequest", "Appointment"):
            for resource in self.services.store.search(resource_type, {"patient": "demo-a"}):
                self.services.store.delete(resource_type, resource["id"])
        self.cds.responses.clear()
        self.cds.response, self.cds.status, self.cds.feedback_status = {"cards": []}, 200, 200
        self.cds.delay_s, self.cds.echoes_request = 0.0, False
        self.cds.asked.clear()

    def opens(self, patient_id: str = "demo-a") -> str:
        """Opens a chart; the opening's id."""
        page = self.http.get(f"{self.ehr}/patients/{patient_id}", timeout=10)
        assert page.status_code == 200, page.text
        return page.text.split('data-opening="')[1].split('"')[0]

    def posts(self, path: str, fields: dict[str, Any], **headers: str) -> requests.Response:
        return self.http.post(f"{self.ehr}{path}", json=fields, headers={"Origin": self.ehr} | headers, timeout=20)

    def sees_guidance(self, opening: str, patient_id: str = "demo-a") -> str:
        """Lets the page load its guidance; the HTML of the cards."""
        answer = self.posts(f"/patients/{patient_id}/hooks/patient-view", {"opening": opening})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["html"])

    def wire(self, opening: str) -> str:
        return self.http.get(f"{self.ehr}/patients/demo-a/wire/{opening}", timeout=10).text


def keys_of_cards(html: str) -> list[str]:
    return [piece.split('"')[0] for piece in html.split('data-card="')[1:]]


@contextmanager
def a_chart(state_dir: Path, *, service_timeout_s: float = 8.0, **changes: Any) -> Iterator[ChartActor]:
    """A sandbox EHR's chart beside a CDS service, each on its own port, with the records of SEED."""
    cds_port, ehr_port = free_port_number(), free_port_number()
    cds = FakeCdsService(f"http://localhost:{cds_port}")
    settings = SandboxSettings(
        base_url=f"http://127.0.0.1:{ehr_port}",
        state_dir=state_dir,
        app_url=cds.base_url,
        cds_services_url=changes.pop("cds_services_url", cds.discovery_url),
        clients=(
            RegisteredClient(
                client_id="imaging-cds",
                name="Imaging CDS",
                redirect_uris=(f"{cds.base_url}/callback",),
                launch_urls=(f"{cds.base_url}/launch",),
            ),
        ),
        **changes,
    )
    services = make_services(settings)
    for resource in SEED:
        services.store.put(resource)
    ehr = Flask("chart-under-test")
    ehr.register_blueprint(create_chart_blueprint(services, service_timeout_s=service_timeout_s))
    with ExitStack() as stack:
        stack.enter_context(serving(cds.app(), cds_port, host="localhost"))
        base_url = stack.enter_context(serving(ehr, ehr_port))
        http = stack.enter_context(requests.Session())
        yield ChartActor(ehr=base_url, services=services, cds=cds, http=http)
