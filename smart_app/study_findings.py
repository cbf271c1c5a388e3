"""What the imaging findings say about each study of the list: the same judgement as the cards, in one line beside the study.

Nothing is shown to a user who is the patient or their relative: these lines speak to clinicians, and may be unsigned AI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from fhir_imaging.scopes import GrantedScopes, ScopeContext
from fhir_imaging.texts import gettext
from imaging_findings.advice import Guidance
from imaging_findings.facts import QUERIES, Facts, read_facts
from imaging_findings.findings import Author, Finding
from imaging_findings.guidance import judge
from imaging_findings.moments import on_site_clock
from imaging_findings.referrals import with_old_referrals_quiet
from imaging_findings.release import released_reports
from imaging_findings.rules import ActionablePolicy
from imaging_findings.site_policy import SitePolicy
from imaging_findings.site_queries import asking_for
from imaging_findings.wording import headline_title, title_of, what_next
from smart_app.study_list import ListContext, StudyRow, is_of_patient
from smart_app.study_search import GatheredRecords, SearchWanted

# The list has the patient, the studies and the reports anyway.
_FETCHED_HERE = ("findings", "orders", "smoking", "conditions", "communications")
AI_DIFFERS = "differs from the reader; nobody has signed it"
AI_UNSIGNED = "nobody has signed it"
_CLINICIANS = ("Practitioner", "PractitionerRole")


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """One line beside a study. ``tone``: critical, warning or info. ``series`` and ``instance`` name the slice, if known."""

    tone: str
    title: str
    words: str
    is_unsigned_ai: bool
    series: str | None = None
    instance: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyHighlights:
    """Highlights by Study Instance UID, and what could not be looked at (in words)."""

    by_study: Mapping[str, tuple[Highlight, ...]]
    not_seen: tuple[str, ...] = ()

    def of(self, row: StudyRow) -> tuple[Highlight, ...]:
        """The highlights of one row."""
        return self.by_study.get(row.study_instance_uid, ())


NO_HIGHLIGHTS = StudyHighlights(by_study={})


def is_for_clinicians(user: str | None) -> bool:
    """Whether the signed-in user is a clinician; one whose kind the EHR did not say counts as one, as at the chart."""
    if user is None:
        return True
    segments = user.split("/")
    return len(segments) >= 2 and segments[-2] in _CLINICIANS


def searches_for(
    patient_id: str, granted: GrantedScopes, actionable: ActionablePolicy | None = None
) -> tuple[SearchWanted, ...]:
    """The fact queries that the granted scopes allow, with the findings that the site's policy names."""
    contexts = (ScopeContext.PATIENT, ScopeContext.USER)
    return tuple(
        SearchWanted(query.key, query.resource_type, tuple(parse_qsl(query.path_for(patient_id).partition("?")[2])))
        for query in (asking_for(one, actionable) for one in QUERIES)
        if query.key in _FETCHED_HERE and granted.granting(query.resource_type, "s", contexts=contexts)
    )


def highlights(
    records: GatheredRecords, rows: Sequence[StudyRow], context: ListContext, now: datetime, policy: SitePolicy
) -> StudyHighlights:
    """The judgement on this patient as of ``now`` by the site's rules, as lines beside the studies it is about."""
    facts = _facts(records, context, now, policy)
    by_resource = {f"ImagingStudy/{row.resource_id}": row.study_instance_uid for row in rows if row.resource_id}
    found: dict[str, list[Highlight]] = {}
    judgement = with_old_referrals_quiet(judge(facts, policy.packs, now), now.date(), policy.referral_warning_days)
    for guidance in judgement.guidance:
        uid = by_resource.get(guidance.finding.study_reference or "")
        if uid is not None:
            found.setdefault(uid, []).extend(_lines(guidance, facts))
    return StudyHighlights(by_study={uid: tuple(lines) for uid, lines in found.items()}, not_seen=_not_seen(facts))


def released_to_patient(records: GatheredRecords, context: ListContext, now: datetime, policy: SitePolicy) -> frozenset[str]:
    """The reports, as ``DiagnosticReport/{id}``, that the site's rule lets the patient or a related person read."""
    if not policy.release.serves_patients:
        return frozenset()
    facts = _facts(records, context, now, policy)
    return released_reports(facts, policy.packs.actionable, policy.release, now)


def _facts(records: GatheredRecords, context: ListContext, now: datetime, policy: SitePolicy) -> Facts:
    resources = on_site_clock(_resources(records, context), now.tzinfo)
    keys = {"ImagingStudy": "studies", "DiagnosticReport": "reports"}
    partial = frozenset(keys.get(key, key) for key in records.cut)
    return read_facts(resources, context.patient_id, partial=partial, bases=context.patient_bases, site=policy.studies)


def _resources(records: GatheredRecords, context: ListContext) -> dict[str, Sequence[Mapping[str, Any]] | None]:
    """What the judgement is about; a study of another server's own patient is no fact about this one."""
    studies = records.studies.resources if records.studies else None
    if studies is not None and not context.relative_studies_are_own:
        studies = tuple(one for one in studies if is_of_patient(one, context))
    return {
        "patient": (records.patient,) if records.patient else None,
        "studies": studies,
        "reports": records.reports,
        **{key: records.searches.get(key) for key in _FETCHED_HERE},
    }


def _lines(guidance: Guidance, facts: Facts) -> list[Highlight]:
    """The finding with what should follow, and the unsigned AI result beside it, which never speaks for itself then."""
    lines = [_highlight(guidance.finding, headline_title(guidance), tone=guidance.urgency.value, words=_words(guidance, facts))]
    if guidance.ai is not None:
        differs = guidance.ai_agrees is False
        words = gettext(AI_DIFFERS if differs else AI_UNSIGNED)
        lines.append(_highlight(guidance.ai, title_of(guidance.ai), tone="info", words=words))
    return lines


def _highlight(finding: Finding, title: str, *, tone: str, words: str) -> Highlight:
    selection = finding.selection
    return Highlight(
        tone=tone,
        title=title,
        words=words,
        is_unsigned_ai=finding.author is Author.AI,
        series=selection.series if selection else None,
        instance=selection.instance if selection else None,
    )


def _words(guidance: Guidance, facts: Facts) -> str:
    """What the card's headline says; and where a follow-up is due, that none was found."""
    said = what_next(guidance)
    step = guidance.next_step
    is_due = guidance.finding.author is not Author.AI and not guidance.headline and step is not None and step.firm
    # Whether somebody has already seen to it can only be said where orders could be read.
    return (
        gettext("{what_next}, no follow-up found").format(what_next=said)
        if is_due and "orders" not in facts.unavailable
        else said
    )


def _not_seen(facts: Facts) -> tuple[str, ...]:
    relevant = ("findings", "orders")
    return tuple(query.meaning for query in QUERIES if query.key in relevant and query.key in facts.unavailable)
