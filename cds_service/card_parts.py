"""Parts that cards of several services share: override reasons, links that open a study, sentences of a bounded length.

Spec: CDS Hooks 2.0 R25, R30, R31. Links carry DICOM UIDs and nothing of the patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from cds_service.cards import NON_ADHERENCE, OVERRIDE_CODES, TOPICS, CardContext
from cds_service.wording import SUMMARY_MAX
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.codes import concept


def override_reasons() -> list[dict[str, str]]:
    """Why a clinician may set a card aside (R31)."""
    reasons = (concept(NON_ADHERENCE, code) for code in OVERRIDE_CODES)
    return [{"system": reason.system, "code": reason.code, "display": reason.display} for reason in reasons]


def topic(code: str, display: str) -> dict[str, str]:
    """The card's topic in our own code system."""
    return {"system": TOPICS, "code": code, "display": display}


def image_links(studies: Iterable[tuple[StudyInstanceUID, str]], context: CardContext) -> list[dict[str, str]]:
    """For each study (its UID, and words such as "of 2026-11-01") a SMART link, and an absolute one where the EHR is known."""
    links: list[dict[str, str]] = []
    for uid, words in studies:
        label = f"Open the images {words}".strip()
        launch = f"{context.app_url}/launch"
        links.append({"label": label, "url": launch, "type": "smart", "appContext": str(uid)})
        if context.ehr_name is not None:
            url = f"{context.app_url}/open/{quote(context.ehr_name, safe='')}/{uid}"
            links.append({"label": f"{label} in a new window", "url": url, "type": "absolute"})
    return links


def one_sentence(words: str) -> str:
    """Plain words on one line, under 140 characters."""
    plain = "".join(mark for mark in " ".join(words.split()) if mark.isprintable())
    return plain if len(plain) <= SUMMARY_MAX else plain[: SUMMARY_MAX - 1].rstrip() + "…"
