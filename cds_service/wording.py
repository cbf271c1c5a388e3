"""Guidance in words: the one-sentence summary and the markdown detail of a card.

Text from outside (report sentences, names) is escaped before it meets markdown.
Spec: CDS Hooks 2.0 R25 (summary under 140 characters, GitHub Flavored Markdown); clinical rules, section 4.
"""

from __future__ import annotations

from cds_service.plain_words import SUMMARY_MAX, escaped, one_line, shortened, utf16_length
from imaging_findings.advice import Authority, Guidance, Statement
from imaging_findings.facts import QUERIES, Facts
from imaging_findings.findings import Author, Finding, Kind
from imaging_findings.incidental import describe
from imaging_findings.quotes import Quote
from imaging_findings.rules import PackInfo
from imaging_findings.wording import finding_words, headline_title, what_next

_MAX_TITLE = 70
_MAX_OTHERS = 5
_MAX_NODULE_LINES = 2
_MAX_SIZES = 3
AI_LABEL = "AI (unsigned)"
# Only a critical result asks for these; its own card says when they could not be read.
TOLD_BY_THE_RULE = frozenset({"communications"})


def summary_of(guidance: Guidance) -> str:
    """What, when and on whose authority, in one sentence under 140 characters."""
    title = shortened(one_line(_title(guidance)), _MAX_TITLE)
    what = one_line(f"{title}{_seen_on(guidance)}: {what_next(guidance)}")
    beside = _ai_beside(guidance)
    source = f" – {_source(guidance)}"
    for ending in (beside + source, beside, source, ""):
        said = one_line(what + ending)
        if utf16_length(said) <= SUMMARY_MAX:
            return said
    return shortened(what, SUMMARY_MAX)


def detail_of(guidance: Guidance, facts: Facts) -> str:
    """The evidence: finding, report, guideline with version and citation, AI beside the reader, and what is missing."""
    found = escaped(finding_words(guidance.finding, guidance.title))
    lines = [f"**Finding:** {found}{_seen_on(guidance)}. {_signature(guidance.finding)}"]
    lines += [f"**Report:** {_quote_words(quote)}" for quote in guidance.quotes]
    lines += _statement_lines(guidance.statements)
    if guidance.next_step and guidance.overdue:
        lines.append(f"**Overdue** since {guidance.next_step.due.latest}.")
    elif guidance.next_step and guidance.next_step.firm:
        lines.append(f"**Due:** {guidance.next_step.due}, counted from the date of the study.")
    lines += _ai_words(guidance)
    lines += _other_lines(guidance)
    if guidance.finding.kind is Kind.NODULE and facts.smoking:
        lines.append(f"**Tobacco smoking status:** {escaped(facts.smoking)}.")
    if guidance.missing:
        lines.append("**Missing:** " + "; ".join(escaped(one) for one in guidance.missing) + ".")
    lines += [f"**Note:** {escaped(note)}" for note in guidance.notes]
    lines += availability_lines(facts)
    return "\n\n".join(lines)


def availability_lines(facts: Facts) -> list[str]:
    """What could not be looked at, so that silence about it is not taken for an answer."""
    meanings = {query.key: query.meaning for query in QUERIES if query.key not in TOLD_BY_THE_RULE}
    lines: list[str] = []
    if facts.unavailable & set(meanings):
        told = ", ".join(meanings[key] for key in meanings if key in facts.unavailable)
        lines.append(f"**Not available:** {told}.")
    if facts.partial & set(meanings):
        told = ", ".join(meanings[key] for key in meanings if key in facts.partial)
        lines.append(f"**Only a part came:** {told}.")
    if facts.problems:
        told = "; ".join(f"{escaped(one.reference)} ({escaped(one.reason)})" for one in facts.problems[:5])
        lines.append(f"**Left out:** {told}.")
    return lines


def _title(guidance: Guidance) -> str:
    prefix = f"{AI_LABEL}: " if guidance.finding.author is Author.AI else ""
    return f"{prefix}{headline_title(guidance)}"


def _seen_on(guidance: Guidance) -> str:
    study = guidance.study
    day = (study.day if study else None) or guidance.finding.study_date
    families = sorted(study.families) if study else []
    modality = "LDCT" if guidance.finding.kind is Kind.LUNG_RADS else (families[0] if families else "study")
    return f" ({modality} {day})" if day else f" ({modality})"


def _source(guidance: Guidance) -> str:
    if guidance.finding.author is Author.AI:
        return "AI result"
    first = guidance.statements[0] if guidance.statements else None
    if first and first.authority is Authority.GUIDELINE and first.pack and guidance.finding.kind is Kind.NODULE:
        return first.pack.title
    return "radiologist"


def _other_lines(guidance: Guidance) -> list[str]:
    """The further findings of the study, a line each; many nodules that one person signed share a line."""
    lead = guidance.finding
    alike = [
        one
        for one in guidance.others
        if one.kind is Kind.NODULE and (one.author, one.signed_by) == (lead.author, lead.signed_by)
    ]
    many = alike if len(alike) > _MAX_NODULE_LINES else []
    single = [one for one in guidance.others if one not in many]
    lines = [f"**Also on this study:** {_beside_words(one, guidance)} {_signature(one)}" for one in single[:_MAX_OTHERS]]
    if len(single) > _MAX_OTHERS:
        lines.append(f"**Also on this study:** {len(single) - _MAX_OTHERS} more.")
    return [f"**Also on this study:** {_nodules_words(many)}.", *lines] if many else lines


def _nodules_words(nodules: list[Finding]) -> str:
    """The largest nodules by type and size, and how many more there are."""
    sized = sorted(((one.nodule.diameter_mm, one) for one in nodules if one.nodule.diameter_mm), key=lambda pair: -pair[0])
    sizes: dict[str, list[str]] = {}
    for size, one in sized[:_MAX_SIZES]:
        sizes.setdefault(one.nodule.attenuation or "of unknown type", []).append(f"{size:g}")
    named = "; ".join(f"{', '.join(some)} mm {kind}" for kind, some in sizes.items())
    more = len(nodules) - min(len(sized), _MAX_SIZES)
    return f"lung nodules, {named}{f' and {more} more' if more else ''}" if named else f"{more} lung nodules"


def _beside_words(finding: Finding, guidance: Guidance) -> str:
    """A further finding of the study with what the rules say of it."""
    own = next((one for one in guidance.beside if one.finding == finding), None)
    return escaped(finding_words(finding)) + (f": {escaped(what_next(own))}." if own else ".")


def _ai_beside(guidance: Guidance) -> str:
    if guidance.ai is None or guidance.ai_agrees is not False:
        return ""
    said = guidance.ai.category or describe(guidance.ai.nodule)
    return f"; {AI_LABEL} says {said}"


def _signature(finding: Finding) -> str:
    name = escaped(finding.signed_by) if finding.signed_by else None
    if finding.author is Author.AI:
        return f"{AI_LABEL}{f', {name}' if name else ''}: nobody has signed it."
    return f"Signed by {name}." if name else "Signed; the signer is not named."


def _quote_words(quote: Quote) -> str:
    signer = escaped(quote.report.signed_by) if quote.report.signed_by else "signer not named"
    return f"“{escaped(quote.sentence)}” ({signer}{f', {quote.report.day}' if quote.report.day else ''})"


def _statement_lines(statements: tuple[Statement, ...]) -> list[str]:
    """Each statement in a line; the rows of one pack name their source once, with the last of them."""
    lines: list[str] = []
    for index, statement in enumerate(statements):
        if statement.pack is None:
            lines.append(f"**Reader:** {statement.words}")
            continue
        of_pack = [one for one in statements if one.pack is not None and one.pack.pack_id == statement.pack.pack_id]
        is_last = not any(one in of_pack for one in statements[index + 1 :])
        source = f" Source: {authority_words(statement.pack, *of_pack)}" if is_last else ""
        lines.append(f"**Guideline:** {statement.words}{source}")
    return lines


def authority_words(pack: PackInfo, *statements: Statement) -> str:
    """On whose authority a guideline's rows stand: version, rows, citation, clinical owner, and what is unchecked."""
    rows = list(dict.fromkeys(one.row for one in statements if one.row))
    unchecked = list(dict.fromkeys(one.row for one in statements if one.needs_check and one.row))
    named = "This row" if len(rows) == 1 else ("These rows" if rows == unchecked else f"Row {' and '.join(unchecked)}")
    check = f" {named} still need{'' if named == 'These rows' else 's'} a clinician's check." if unchecked else ""
    return (
        f"{pack.title}, version {pack.guideline.version}, row{'s' if len(rows) > 1 else ''} {' and '.join(rows)}; "
        f"{pack.citation}. Clinical owner: {pack.clinical_owner}.{check}"
    )


def _ai_words(guidance: Guidance) -> list[str]:
    if guidance.ai is None:
        return []
    verdict = {True: "It agrees with the reader.", False: "It differs from the reader.", None: "The two cannot be compared."}
    name = f", by {escaped(guidance.ai.signed_by)}" if guidance.ai.signed_by else ""
    return [f"**{AI_LABEL}:** {escaped(finding_words(guidance.ai))}{name}; nobody has signed it. {verdict[guidance.ai_agrees]}"]
