"""Cards that only quote: a category that a report states in words and nobody coded (rule Gc).

They are information, compute no interval and draft no order; what answers the category ends them as any other.
"""

from __future__ import annotations

from datetime import date

from imaging_findings.advice import Guidance, Suppressed
from imaging_findings.answers import Answer, of_categories, of_lung_rows
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding, Kind
from imaging_findings.follow_up import Ground, after_history
from imaging_findings.history import ReportFacts, StudyFacts
from imaging_findings.intervals import add_months
from imaging_findings.mentions import Mention, mentions_of
from imaging_findings.quotes import quotes_of
from imaging_findings.rules import CategoryRow, Packs, RowAnswer, ScreeningPack, Urgency

# Older words are history; whoever wants them reads the report.
MAX_AGE_MONTHS = 24
HEADLINE = "stated in the report's words only, no interval computed"
NOTE = "This was read in the report's words. It is quoted, not coded: no interval is computed and no order is drafted."
# Of a category that the pack does not name nobody can say that a screening answers it.
_NO_SCREENING = RowAnswer(by_screening=False)


def text_guidance(facts: Facts, packs: Packs, today: date) -> list[Guidance | Suppressed]:
    """One quoting guidance for each report and system whose category is nowhere coded for the study."""
    found: list[Guidance | Suppressed] = []
    for report in facts.reports:
        for mention in mentions_of(report):
            answer = _answer(mention, packs)
            if answer is not None and not _is_coded(mention, report, facts):
                found.append(_of_mention(mention, answer, facts, packs, today))
    return found


def _of_mention(mention: Mention, answer: Answer, facts: Facts, packs: Packs, today: date) -> Guidance | Suppressed:
    report = mention.quote.report
    study = _study(report, facts)
    day = (study.day if study else None) or report.day
    finding = Finding(
        reference=report.reference,
        kind=Kind.TEXT,
        author=Author.PERSON,
        signed_by=report.signed_by,
        study_reference=study.reference if study else None,
        study_date=day,
        stated=mention.title,
    )
    if mention.is_routine:
        return Suppressed(finding=finding, reason="the category that the words state asks for nothing", by=report.reference)
    if day is None or add_months(day, MAX_AGE_MONTHS) < today:
        return Suppressed(finding=finding, reason=f"the report is older than {MAX_AGE_MONTHS} months", by=report.reference)
    told = {mention.quote.sentence, *(one.quote.sentence for one in mention.others)}
    follow_up = tuple(one for one in quotes_of(report) if one.sentence not in told)
    guidance = Guidance(
        rule_id=f"report-text/{mention.system}",
        finding=finding,
        study=study,
        urgency=Urgency.INFO,
        headline=HEADLINE,
        notes=(NOTE, *_beside(mention)),
        quotes=(mention.quote, *(one.quote for one in mention.others), *follow_up),
        reports=(report,),
    )
    return after_history(guidance, Ground(facts=facts, day=day, today=today, answer=answer, early=packs.early))


def _beside(mention: Mention) -> tuple[str, ...]:
    """That the report states other categories as well, of the other side or of other lesions."""
    if not mention.others:
        return ()
    others = ", ".join(one.title for one in mention.others)
    return (f"The report also states {others}; the headline names the most suspicious.",)


def _answer(mention: Mention, packs: Packs) -> Answer | None:
    """What would answer it; None where the site has switched the system's pack off."""
    if mention.system == "lung-rads" and packs.screening is not None:
        rows = [row for category in mention.coded for row in _lung_rows(category, packs.screening)]
        return of_lung_rows([row.answer for row in rows] or [_NO_SCREENING], None)
    pack = next((one for one in packs.tables if one.reads == mention.system), None)
    return of_categories(pack, mention.coded) if pack else None


def _lung_rows(category: str, pack: ScreeningPack) -> list[CategoryRow]:
    """The category's row; of a bare 4, which has none, the rows of all its kinds."""
    own = pack.categories.get(category)
    return [own] if own else [row for code, row in pack.categories.items() if code.startswith(category)]


def _is_coded(mention: Mention, report: ReportFacts, facts: Facts) -> bool:
    """Whether a signed finding of the same system stands for the report or its study."""
    lungs = facts.findings if mention.system == "lung-rads" else ()
    tables = [one for one in facts.assessments if one.assessment and one.assessment.name == mention.system]
    coded = [one for one in (*lungs, *tables) if one.author is Author.PERSON]
    return any(
        one.study_reference in report.studies or one.reference in report.results or one.reference == report.reference
        for one in coded
    )


def _study(report: ReportFacts, facts: Facts) -> StudyFacts | None:
    return next((one for one in facts.studies if one.reference in report.studies), None)
