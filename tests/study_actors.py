"""The hook that says that a study is complete, as a PACS would fire it, and what its service answers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from cds_service.validator import faults_of
from tests.cds_actors import (
    NOW,
    SCT,
    CdsActor,
    a_bundle,
    a_hook,
    a_study,
    an_observation,
    concept,
)

HOOK = "org.imaging-cds.imaging-study-complete"
SERVICE_ID = "imaging-study-complete"
ASSESSMENT = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
BI_RADS = "https://imaging-cds.example/fhir/CodeSystem/bi-rads"
AI = {"status": "preliminary", "device": {"reference": "Device/ai", "display": "Synthetic AI 1.0"}, "performer": []}


def completed(
    *findings: dict[str, Any], hook: str = HOOK, context: dict[str, Any] | None = None, **keys: Any
) -> dict[str, Any]:
    """The hook as a PACS would fire it: a patient and a study, and nobody who asks."""
    prefetch = {"findings": a_bundle(*findings), "studies": a_bundle(a_study()), "reports": None, "communications": None}
    stated = {"patientId": "p", "study": "ImagingStudy/study"} if context is None else context
    return a_hook({name: value for name, value in (prefetch | keys).items() if value != "absent"}, hook=hook, context=stated)


def cards(cds: CdsActor, body: object) -> list[dict[str, Any]]:
    response = cds.call(body, SERVICE_ID)
    assert response.status_code == 200, response.get_data(as_text=True)
    answer = response.get_json()
    assert faults_of(answer) == ()
    found: list[dict[str, Any]] = answer["cards"]
    return found


def refusal(cds: CdsActor, body: object) -> str:
    response = cds.call(body, SERVICE_ID)
    assert response.status_code == 400
    told: str = json.loads(response.get_data())["issue"][0]["diagnostics"]
    return told


def an_embolism(**members: Any) -> dict[str, Any]:
    issued = (NOW - timedelta(hours=2)).isoformat()
    coded = [concept("http://radlex.org", "RID49480")]
    return an_observation(**{"id": "pe", "code": concept(SCT, "59282003"), "issued": issued, "interpretation": coded} | members)


def bi_rads(category: str, **members: Any) -> dict[str, Any]:
    value = concept(BI_RADS, category, "5")
    return an_observation(**{"code": concept(ASSESSMENT, "bi-rads"), "valueCodeableConcept": value} | members)
