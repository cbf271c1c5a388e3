"""What cards of all services share: their context, override reasons, links that open a study.

Spec: CDS Hooks 2.0 R25, R30, R31. Links carry DICOM UIDs and nothing of the patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from cds_service.protocol import HookRequest
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.codes import concept
from imaging_findings.rules import Urgency
from imaging_findings.site_policy import SitePolicy, product_policy

TOPICS = "https://imaging-cds.example/fhir/CodeSystem/card-topic"
NON_ADHERENCE = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
OVERRIDE_CODES = (
    "indication-order-exists",
    "action-completed",
    "patient-contraindication",
    "patient-refuses",
    "inappropriate-recipient",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContext:
    """What a card needs beside the guidance. ``ehr_name`` is None when the request's FHIR server is no configured EHR."""

    request: HookRequest
    app_url: str
    ehr_name: str | None
    now: datetime
    new_uuid: Callable[[], str]
    policy: SitePolicy = field(default_factory=product_policy)
    """The rules in force; those of the product unless the site has said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCard:
    """A card as sent, and the rule behind it, by which feedback is counted."""

    card: dict[str, Any]
    rule_id: str

    @property
    def card_uuid(self) -> str:
        """The card's uuid."""
        return str(self.card["uuid"])

    @property
    def indicator(self) -> str:
        """The card's indicator."""
        return str(self.card["indicator"])


def incomplete_card(context: CardContext, summary: str, detail: str, source: str) -> IssuedCard:
    """Says that a check could not be done wholly, where otherwise nothing would be said at all."""
    card = {
        "uuid": context.new_uuid(),
        "summary": summary,
        "indicator": Urgency.INFO.value,
        "detail": detail,
        "source": {"label": source, "topic": topic("incomplete-data", "Data that could not be checked")},
    }
    return IssuedCard(card=card, rule_id="service/incomplete-data")


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
