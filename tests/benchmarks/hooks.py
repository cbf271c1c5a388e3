"""Hook requests of 62 kB: patient A's chart, filled up with reports of long ago as a real chart is, for many patients."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any
from urllib.parse import quote

from cds_service.evaluate import SERVICES
from tests.benchmarks.load import Client, Request
from tests.benchmarks.stack import CALLER, PATIENT, Stack
from tests.cds_actors import a_bundle, a_hook

SERVICE = "imaging-findings"
PATH = f"/cds-services/{SERVICE}"
BODY_BYTES = 62_000
SCOPE = "patient/*.rs"
PATIENTS = 32


def questions() -> dict[str, str]:
    """The paths that the service asks a FHIR server for, by prefetch key."""
    return {query.key: quote(f"/fhir/{query.path_for(PATIENT)}", safe="/?=&,:$") for query in SERVICES[SERVICE].queries}


def fetched(stack: Stack) -> dict[str, Any]:
    """The answers of the sandbox's FHIR server to the service's own prefetch templates."""
    headers = {"Authorization": f"Bearer {stack.token(SCOPE)}"}
    with Client(stack.options.ehr_url) as client:
        found = {key: json.loads(client.send(Request(path=path, headers=headers)).body) for key, path in questions().items()}
    found.setdefault("reports", a_bundle()).setdefault("entry", [])
    return found


def hook(**members: Any) -> bytes:
    """A patient-view request for patient A; without ``fhirServer`` it names none."""
    context = {"userId": "Practitioner/demo-gp", "patientId": PATIENT}
    request = a_hook(context=context, **members)
    if "fhirServer" not in members:
        del request["fhirServer"]
    return json.dumps(request).encode()


def full_hook(stack: Stack) -> bytes:
    """With prefetch for every key, 62 kB long."""
    prefetch = fetched(stack)
    number, length = 0, len(json.dumps(prefetch))
    while length < BODY_BYTES - 700:
        number += 1
        entry = {"resource": an_old_report(number)}
        prefetch["reports"]["entry"].append(entry)
        length += len(json.dumps(entry))
    return hook(prefetch=prefetch)


def an_old_report(number: int) -> dict[str, Any]:
    """No two say the same, so that nothing learned from one answers for another; every second names its study."""
    said = "Mild degenerative change of the medial compartment. No fracture. " * 6
    of_study = {"imagingStudy": [{"reference": f"ImagingStudy/{PATIENT}-old-{number}"}]} if number % 2 else {}
    return of_study | {
        "resourceType": "DiagnosticReport",
        "id": f"{PATIENT}-old-{number}",
        "status": "final",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "code": {"text": "Radiograph of the knee"},
        "issued": f"{1990 + number % 30}-05-01T12:00:00Z",
        "conclusion": f"Examination {number} of {PATIENT}. {said}",
    }


def of_many_patients(body: bytes) -> list[bytes]:
    """The request for patients of other ids (and so other texts), each a hook instance of its own: no answer fits the next."""
    made = []
    for number in range(10, 10 + PATIENTS):
        request = json.loads(body.replace(PATIENT.encode(), f"demo-{number}".encode()))
        made.append(json.dumps(request | {"hookInstance": str(uuid.uuid4())}).encode())
    return made


class InTurn:
    """The given things again and again, for many threads."""

    def __init__(self, things: list[bytes]) -> None:
        self._things = cycle(things)
        self._lock = threading.Lock()

    def next(self) -> bytes:
        with self._lock:
            return next(self._things)


def signed(stack: Stack, algorithm: str, number: int) -> Iterator[str]:
    """Client JWTs, made before the clock starts: each counts once."""
    url, now = f"{stack.app_url}{PATH}", int(time.time())
    header: Mapping[str, str] = {"alg": algorithm, "kid": "rsa-1" if algorithm == "RS384" else stack.caller.kid}
    return iter([stack.caller.jwt_for(url, header=header, iss=CALLER, iat=now, exp=now + 300) for _ in range(number)])
