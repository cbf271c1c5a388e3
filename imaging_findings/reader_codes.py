"""What a reader coded for which no rule is carried: shown as the reader's word, with no interval beyond what is coded (Ga).

CAD-RADS categories (no interval is sourced) and recommended follow-up of breast imaging (CID 6028, 6029). One guidance for each
study and scheme. Which CAD-RADS categories are worth a card is ours and still needs a clinician's check (evidence C).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from imaging_findings.advice import Authority, Guidance, Statement, Suppressed
from imaging_findings.answers import Answer, Kind
from imaging_findings.assessment_codes import CAD_RADS
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding
from imaging_findings.follow_up import Ground, after_history
from imaging_findings.intervals import add_months
from imaging_findings.quotes import quotes_of
from imaging_findings.reader_words import with_readers_word
from imaging_findings.rules import Packs, Urgency

# Older results are history; whoever wants them reads the report.
MAX_AGE_MONTHS = 24
_BREAST = tuple(Kind(family, "breast") for family in ("MG", "US", "MR"))
_ANSWERS = {
    "cad-rads": Answer(words="CT or MR of the heart", kinds=(Kind("CT", "heart"), Kind("MR", "heart"))),
    "breast-recommendation": Answer(words="breast examination", kinds=_BREAST),
}
# Obstructive disease, or a study to be repeated; 0 to 2 are echoed nowhere as a card.
_TOLD = frozenset({"3", "4", "4A", "4B", "5", "N"})
_UNTOLD = "the reader's category asks for nothing that is coded"
_CHECK = "No interval is carried for this category, and none is computed."


def echoed_guidance(facts: Facts, packs: Packs, today: date) -> list[Guidance | Suppressed]:
    """What was coded and has no rule, once for each study and scheme."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in facts.assessments:
        name = finding.assessment.name if finding.assessment else ""
        if name in _ANSWERS and finding.author is Author.PERSON:
            # An Observation says it in full, so a report's conclusion code gives way to it.
            place = finding.study_reference or f"{finding.study_date or finding.reference}"
            known = found.get((name, place))
            if known is None or not known.reference.startswith("Observation"):
                found[name, place] = finding
    return [_of(finding, name, facts, packs, today) for (name, _), finding in found.items()]


def _of(finding: Finding, name: str, facts: Facts, packs: Packs, today: date) -> Guidance | Suppressed:
    why = _why_quiet(finding, name, facts)
    if why is not None:
        return Suppressed(finding=finding, reason=why, by=finding.reference)
    study = facts.study_of(finding)
    day = (study.day if study else None) or finding.study_date
    is_dated = finding.recommended is not None and (finding.recommended.interval or finding.recommended.due) is not None
    if not is_dated and (day is None or add_months(day, MAX_AGE_MONTHS) < today):
        return Suppressed(finding=finding, reason=f"it is older than {MAX_AGE_MONTHS} months", by=finding.reference)
    reports = facts.reports_of(finding)
    guidance = Guidance(
        rule_id=f"reader/{name}",
        finding=finding,
        study=study,
        urgency=Urgency.INFO,
        title=_title(name, finding),
        statements=_statements(name, finding),
        notes=(_CHECK,) if name == "cad-rads" else (),
        reports=reports,
        quotes=tuple(quote for report in reports for quote in quotes_of(report)),
    )
    ground = Ground(facts=facts, day=day, today=today, answer=_ANSWERS[name], early=packs.early)
    return after_history(with_readers_word(guidance, day), ground)


def _why_quiet(finding: Finding, name: str, facts: Facts) -> str | None:
    if name == "cad-rads":
        return None if finding.category in _TOLD else _UNTOLD
    if finding.recommended is None:
        return _UNTOLD
    if any(_is_of_same(one, finding, "bi-rads") for one in _signed(facts)):
        return "the BI-RADS category of the same study says what follows"
    return None


def _signed(facts: Facts) -> Sequence[Finding]:
    return [one for one in facts.assessments if one.author is Author.PERSON]


def _is_of_same(one: Finding, other: Finding, name: str) -> bool:
    same_study = one.study_reference is not None and one.study_reference == other.study_reference
    return one.assessment is not None and one.assessment.name == name and (same_study or one.reference == other.reference)


def _title(name: str, finding: Finding) -> str | None:
    return "Breast imaging" if name == "breast-recommendation" else None


def _statements(name: str, finding: Finding) -> tuple[Statement, ...]:
    if name != "cad-rads":
        return ()
    named = (code.display.partition(" - ") for code in CAD_RADS.values())
    meant = next(words for category, _, words in named if category == finding.category)
    words = f"{meant}, as the reader coded it; what follows is the reader's and the referrer's to decide."
    return (Statement(authority=Authority.READER, words=words),)
