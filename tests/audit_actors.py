"""A FHIR server that keeps AuditEvents, and can be down, slow to forgive, or particular; records to send it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request

from fhir_imaging.audit import AuditAction, AuditOutcome, AuditRecord
from fhir_imaging.fhir_mapping.audit_event import AuditedServer, audit_event

SERVER = AuditedServer(base_url="https://imaging.example/imaging/north", fhir_base="https://ehr.example/fhir")


@dataclass
class StubAuditServer:
    """``events`` by id, as a real server would hold them; ``writes`` counts how often each was sent."""

    base: str = ""
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    authorizations: list[str | None] = field(default_factory=list)
    instead: Callable[[dict[str, Any]], Response | None] = lambda _: None
    forms: list[dict[str, str]] = field(default_factory=list)
    is_open_to: Callable[[str | None], bool] = lambda _: True
    """Which ``Authorization`` it takes; 401 for any other."""
    token: Callable[[], Any] = lambda: {"access_token": "token-of-the-audit-client", "token_type": "Bearer", "expires_in": 300}
    """What the token endpoint answers."""

    @property
    def fhir_base(self) -> str:
        return f"{self.base}/fhir"

    def studies(self) -> list[str]:
        """The studies of the events that it holds, in order."""
        return sorted(study_of(event) for event in self.events.values())

    def app(self) -> Flask:
        app = Flask("stub-audit-server", static_folder=None)

        @app.put("/fhir/AuditEvent/<event_id>")
        def _put(event_id: str) -> Response:
            return self._kept(event_id, created=event_id not in self.events)

        @app.post("/fhir/AuditEvent")
        def _post() -> Response:
            system, _, code = request.headers["If-None-Exist"].removeprefix("_tag=").rpartition("|")
            there = [
                one
                for one, event in self.events.items()
                if {"system": system, "code": code} in event.get("meta", {}).get("tag", [])
            ]
            if there:
                self.writes[there[0]] += 1
                return Response(status=200)
            return self._kept(f"given-{len(self.events)}", created=True)

        @app.post("/token")
        def _token() -> Any:
            self.forms.append(dict(request.form))
            return self.token()

        return app

    def _kept(self, event_id: str, *, created: bool) -> Response:
        event = json.loads(request.get_data())
        self.authorizations.append(request.headers.get("Authorization"))
        if not self.is_open_to(self.authorizations[-1]):
            return Response(status=401)
        refusal = self.instead(event)
        if refusal is not None:
            return refusal
        self.events[event_id] = event
        self.writes[event_id] += 1
        return Response(status=201 if created else 200)


def an_access(study: str = "2.25.1", **changes: Any) -> AuditRecord:
    """A study that a practitioner opened."""
    values: dict[str, Any] = {
        "recorded_at": 1_800_000_000,
        "ehr": "north",
        "action": AuditAction.STUDY_OPENED,
        "outcome": AuditOutcome.ALLOWED,
        "patient_id": "pat-a",
        "user": "Practitioner/p1",
        "client_id": "viewer",
        "issuer": "https://ehr.example/auth",
        "study_instance_uid": study,
        "client_address": "10.0.0.7",
        "token_reference": "jti-1",
    }
    return AuditRecord(**(values | changes))


def as_event(record: AuditRecord, key: str | None) -> dict[str, object]:
    """The AuditEvent, as the application makes it."""
    return audit_event(record, SERVER, event_id=key)


def study_of(event: dict[str, Any]) -> str:
    """The Study Instance UID that an AuditEvent is about."""
    identifiers = [one["what"]["identifier"]["value"] for one in event["entity"] if "identifier" in one.get("what", {})]
    return next(value.removeprefix("urn:oid:") for value in identifiers if value.startswith("urn:oid:"))
