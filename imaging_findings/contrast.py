"""Contrast agent and this patient: kidney function, metformin, earlier reactions. Never a reason to withhold a necessary study.

Spec: clinical rules N1-N8 (ACR-NKF consensus; group II gadolinium). Age above 60 and hypertension are no triggers (X25).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from imaging_findings.contrast_reactions import ContrastReaction, Severity
from imaging_findings.order_advice import OrderAdvice, Reason
from imaging_findings.order_facts import ImagingOrder
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.patient_facts import Egfr
from imaging_findings.rules import Urgency

SEVERE_BELOW = 30.0
"""mL/min or mL/min/1.73 m²; 30 itself is not below it."""
MODERATE_BELOW = 45.0
_IODINATED = frozenset({"CT", "XA", "XR"})
_ARTERIAL = re.compile(r"\b(IA|arter(?:y|ies|ial)|aorta)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastFacts:
    """What is known of the patient. ``egfr`` is the latest final one of any age; ``not_available`` names what did not come."""

    egfr: Egfr | None = None
    acute_kidney_injury: str | None = None
    dialysis: str | None = None
    kidney_risks: tuple[str, ...] = ()
    """Chronic kidney disease, a single kidney, a transplant, and (by setting) diabetes, in words."""
    metformin: str | None = None
    reactions: tuple[ContrastReaction, ...] = ()
    is_inpatient: bool = False
    not_available: frozenset[str] = frozenset()


def contrast_advice(order: ImagingOrder, facts: ContrastFacts, policy: OrderPolicy, today: date) -> tuple[OrderAdvice, ...]:
    """Advice for an order that is known to put contrast agent into the vessels; nothing for any other."""
    if not order.kind.contrast.is_given:
        return ()
    if order.kind.families & _IODINATED:
        found = [_iodinated(order, facts, policy, today), _metformin(order, facts, policy, today)]
    elif "MR" in order.kind.families:
        found = [_gadolinium(order, facts, policy, today)]
    else:
        return ()
    return tuple(one for one in [*found, _reaction(order, facts)] if one is not None)


def recent_egfr(facts: ContrastFacts, policy: OrderPolicy, today: date) -> Egfr | None:
    """The latest eGFR, where it lies within the window of the patient's class (both ends belong to it)."""
    days = policy.egfr_window_inpatient_days if facts.is_inpatient else policy.egfr_window_outpatient_days
    return facts.egfr if facts.egfr is not None and facts.egfr.day >= today - timedelta(days=days) else None


def _iodinated(order: ImagingOrder, facts: ContrastFacts, policy: OrderPolicy, today: date) -> OrderAdvice | None:
    egfr = recent_egfr(facts, policy, today)
    severe = egfr is not None and egfr.is_below(SEVERE_BELOW)
    if facts.acute_kidney_injury or (severe and not facts.dialysis):
        lines = [
            *([("Acute kidney injury", facts.acute_kidney_injury)] if facts.acute_kidney_injury else []),
            *_egfr_lines(egfr),
            (
                "Advice",
                "Highest-risk group: prophylactic intravenous saline is indicated. "
                "Do not withhold a necessary examination for this alone.",
            ),
        ]
        told = f"eGFR {egfr.words} ({egfr.day})" if egfr and severe else "acute kidney injury"
        headline = f"iodinated contrast with {told}"
        return _advice("contrast/N1", Reason.KIDNEY, order, Urgency.WARNING, headline, lines)
    if facts.dialysis:
        return None
    if egfr is None:
        return _no_egfr(order, facts, policy)
    if egfr.is_at_least(MODERATE_BELOW):
        return None
    if egfr.is_at_least(SEVERE_BELOW) and egfr.is_below(MODERATE_BELOW):
        advice = "eGFR 30–44: prophylaxis is an individual decision, only where other high risk is present."
        headline = f"iodinated contrast with eGFR {egfr.words} ({egfr.day})"
        return _advice("contrast/N2", Reason.KIDNEY, order, Urgency.INFO, headline, [*_egfr_lines(egfr), ("Advice", advice)])
    return _unclear(order, egfr)


def _unclear(order: ImagingOrder, egfr: Egfr) -> OrderAdvice:
    why = "the unit of the latest eGFR is not recognised" if egfr.in_unknown_unit else "the latest eGFR is no plain number"
    missing = ("Missing", "an eGFR as a number in mL/min: this one tells no class, so no advice is computed")
    headline = f"iodinated contrast; {why} ({egfr.words}, {egfr.day})"
    return _advice("contrast/egfr-unclear", Reason.KIDNEY, order, Urgency.INFO, headline, [*_egfr_lines(egfr), missing])


def _no_egfr(order: ImagingOrder, facts: ContrastFacts, policy: OrderPolicy) -> OrderAdvice | None:
    risks = [*facts.kidney_risks, *([f"takes {facts.metformin}"] if facts.metformin else [])]
    if facts.egfr is not None and facts.egfr.is_below(MODERATE_BELOW):
        risks.append(f"eGFR was {facts.egfr.words} on {facts.egfr.day}")
    if not risks:
        return None
    days = policy.egfr_window_inpatient_days if facts.is_inpatient else policy.egfr_window_outpatient_days
    lines = [("Risk factor", "; ".join(risks)), ("Window", f"{days} days")]
    if "labs" in facts.not_available:
        headline = "iodinated contrast; kidney function could not be looked up"
        lines.append(("Not available", "laboratory results"))
    else:
        headline = f"iodinated contrast; no eGFR found in the last {days} days"
        lines += [("Last known", f"{facts.egfr.words} on {facts.egfr.day}")] if facts.egfr else []
    return _advice("contrast/N6", Reason.KIDNEY, order, Urgency.INFO, headline, [*lines])


def _metformin(order: ImagingOrder, facts: ContrastFacts, policy: OrderPolicy, today: date) -> OrderAdvice | None:
    if facts.metformin is None:
        return None
    egfr = recent_egfr(facts, policy, today)
    severe = egfr is not None and egfr.is_below(SEVERE_BELOW)
    arterial = "XA" in order.kind.families and _ARTERIAL.search(order.name) is not None
    if not (severe or facts.acute_kidney_injury or arterial):
        return None
    why = [
        *([f"eGFR {egfr.words} ({egfr.day})"] if egfr and severe else []),
        *(["acute kidney injury"] if facts.acute_kidney_injury else []),
        *(["arterial catheter study"] if arterial else []),
    ]
    advice = "Hold metformin at or before the examination and for 48 hours; restart after kidney function was checked again."
    lines = [("Medication", facts.metformin), ("Because of", ", ".join(why)), ("Advice", advice)]
    headline = f"hold metformin for iodinated contrast: {', '.join(why)}"
    return _advice("contrast/N4", Reason.METFORMIN, order, Urgency.WARNING, headline, lines)


def _gadolinium(order: ImagingOrder, facts: ContrastFacts, policy: OrderPolicy, today: date) -> OrderAdvice | None:
    egfr = recent_egfr(facts, policy, today)
    if egfr is None or not egfr.is_below(SEVERE_BELOW):
        return None
    advice = "Group II gadolinium agents are acceptable; avoid group I agents. This row still needs a clinician's check."
    headline = f"gadolinium with eGFR {egfr.words} ({egfr.day}): choose a group II agent"
    return _advice("contrast/N7", Reason.KIDNEY, order, Urgency.INFO, headline, [*_egfr_lines(egfr), ("Advice", advice)])


def _reaction(order: ImagingOrder, facts: ContrastFacts) -> OrderAdvice | None:
    is_gadolinium = "MR" in order.kind.families
    found = [one for one in facts.reactions if (one.gadolinium if is_gadolinium else one.iodinated)]
    if not found:
        return None
    worst = next((one for one in found if one.severity is Severity.SEVERE), found[0])
    group = "gadolinium" if is_gadolinium else "iodinated contrast"
    lines = [("On record", f"{one.words} ({one.severity.value})") for one in found[:5]]
    lines.append(("Match", f"by class ({group}), not only by agent"))
    told = {
        Severity.SEVERE: "severe reaction",
        Severity.NOT_SEVERE: "reaction",
        Severity.UNSTATED: "reaction of unstated severity",
    }
    urgency = Urgency.WARNING if worst.severity is Severity.SEVERE else Urgency.INFO
    headline = f"{told[worst.severity]} to {group} on record"
    return _advice("contrast/N8", Reason.REACTION, order, urgency, headline, lines)


def _egfr_lines(egfr: Egfr | None) -> list[tuple[str, str]]:
    return [("Latest eGFR", f"{egfr.words}, {egfr.day}")] if egfr else []


def _advice(
    rule_id: str, reason: Reason, order: ImagingOrder, urgency: Urgency, headline: str, lines: list[tuple[str, str]]
) -> OrderAdvice:
    return OrderAdvice(rule_id=rule_id, reason=reason, order=order, urgency=urgency, headline=headline, lines=tuple(lines))
