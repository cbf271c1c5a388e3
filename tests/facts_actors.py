"""Data sets in the DICOM JSON model for tests of what is read of them."""

from __future__ import annotations

from typing import Any

from fhir_imaging.archived_study import ArchivedStudy, PatientNumber
from pacs_sync.study_facts import SiteRules, studies_in

SITE = SiteRules(archive="main")
UID = "1.2.3"


def dataset(**changes: object) -> dict[str, Any]:
    stated = {"x0020000D": UID, "x0020000E": f"{UID}.1", "x00080018": f"{UID}.1.1", "x00080016": "1.2.840", **changes}
    return {
        tag[1:]: {"Value": value if isinstance(value, list) else [value]} for tag, value in stated.items() if value is not None
    }


def coded(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    return {"00080100": {"Value": [value]}, "00080102": {"Value": [scheme]}, "00080104": {"Value": [meaning]}}


def item(**stated: object) -> dict[str, Any]:
    return {tag[1:]: {"Value": value if isinstance(value, list) else [value]} for tag, value in stated.items()}


def only(*datasets: dict[str, Any], site: SiteRules = SITE) -> ArchivedStudy:
    (study,) = studies_in(datasets, site)
    return study


def number(bare: str, issuer: str | None = None, universal: str | None = None) -> PatientNumber:
    return PatientNumber(number=bare, issuer=issuer, universal_issuer=universal)
