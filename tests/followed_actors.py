"""A finding, and what came after it: the judgement that the two together make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from imaging_findings.advice import Judgement
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Packs
from tests.cds_actors import DCM, NOW, SCT, a_patient, a_study, an_observation, concept, millimetres

ASSESSMENT = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
SYSTEMS = "https://imaging-cds.example/fhir/CodeSystem/"
SIDES = {"left": "7771000", "right": "24028007", "both": "51440002"}
BREAST, ABDOMEN, PELVIS, NECK = "76752008", "818981001", "816092008", "45048000"


def followed(
    *findings: dict[str, Any],
    studies: Iterable[dict[str, Any]] = (),
    orders: Iterable[dict[str, Any]] = (),
    reports: Iterable[dict[str, Any]] = (),
    packs: Packs | None = None,
) -> Judgement:
    """What is still asked for after these studies (the first is the finding's own) and orders."""
    empty: dict[str, Any] = dict.fromkeys(("conditions", "smoking", "communications"), ())
    resources = empty | {
        "patient": [a_patient()],
        "findings": list(findings),
        "studies": list(studies),
        "orders": list(orders),
        "reports": list(reports),
    }
    return judge(read_facts(resources, "p"), packs or bundled_packs(), NOW)


def imaged(name: str, day: str, modality: str = "CT", site: str | None = "816094009", **members: Any) -> dict[str, Any]:
    """A study of one modality and body site, with a UID of its own by its name."""
    uid = f"2.25.{int.from_bytes(name.encode())}"
    series: dict[str, Any] = {"uid": f"{uid}.1", "modality": {"code": modality}}
    stated: dict[str, Any] = {
        "id": name,
        "started": day,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "modality": [{"system": DCM, "code": modality}],
        "series": [series | ({"bodySite": {"system": SCT, "code": site}} if site else {})],
    }
    return a_study(**stated | members)


def assessed(
    name: str,
    category: str | None = None,
    version: str = "",
    *,
    side: str | None = None,
    mm: float | None = None,
    **members: Any,
) -> dict[str, Any]:
    """An assessment as section (e) of the facts' page has it."""
    components: list[dict[str, Any]] = [] if mm is None else [millimetres((ASSESSMENT, "max-diameter"), mm)]
    if side is not None:
        components.append({"code": concept(SCT, "272741003"), "valueCodeableConcept": concept(SCT, SIDES[side])})
    value = {"valueCodeableConcept": concept(SYSTEMS + name, category, version)} if category else {}
    return an_observation(code=concept(ASSESSMENT, name), component=components, **value | members)
