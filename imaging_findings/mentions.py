"""Categories that a report's words state: found to be quoted, never to be computed from (rule Gc).

What does not count: negations, history ("prior Lung-RADS 3"), conditions, ranges and templates: three categories in one
sentence, or three lines in a row that only explain categories. A pair of sides ("right BI-RADS 2, left BI-RADS 4") and
numbered lesions in one sentence are one mention with all of them. Of several mentions the most suspicious one is told, with
the others beside it. Spec: clinical rules, section 3.5 and T9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

from fhir_imaging.tolerant import text
from imaging_findings.history import ReportFacts
from imaging_findings.packs import bundled_packs
from imaging_findings.quotes import Quote, excerpt, whole_sentences_of

# "category", "v2022", "5th edition", colons and brackets may stand between the system's name and its category.
_BETWEEN = (
    r"(?:\s|[:=,(\[]|-(?=\s)|\b(?:up|down)graded\s+to\b|\b(?:category|cat\.?|score|assessment|final|overall|is|of)\b"
    r"|\(?\bv(?:ersion)?\.?\s?\d[\d.]*\)?|\b20\d\d\b|\b5th\s+ed(?:ition|\.)?)*"
)
_END = r"(?![\w.]*\d)(?!\w)"


def _after(name: str, category: str) -> str:
    return rf"\b{name}{_BETWEEN}-?\s?(?P<category>{category}){_END}"


PATTERNS: dict[str, re.Pattern[str]] = {
    "lung-rads": re.compile(_after(r"lung[\s-]?rads", r"(?:0|1|2|3|4[ABX]|4)(?:\s?\(?S\)?)?"), re.IGNORECASE),
    "bi-rads": re.compile(_after(r"bi[\s-]?rads", r"[0-356]|4[ABC]?"), re.IGNORECASE),
    "li-rads-ct-mr": re.compile(rf"(?:\bLI-?RADS{_BETWEEN}(?:LR-?)?|\bLR-)(?P<category>NC|TIV|M|[1-5]){_END}", re.IGNORECASE),
    "ti-rads": re.compile(rf"(?:\b(?:ACR\s)?TI-?RADS{_BETWEEN}(?:TR-?\s?)?|\bTR-?)(?P<category>[1-5]){_END}", re.IGNORECASE),
    "pi-rads": re.compile(_after(r"pi[\s-]?rads", r"[1-5]"), re.IGNORECASE),
    "o-rads-us": re.compile(_after(r"o[\s-]rads(?:\sUS)?", r"[0-5]"), re.IGNORECASE),
    "bosniak": re.compile(_after(r"bosniak", r"IIF|III|II|IV|I|2F|[1-4]"), re.IGNORECASE),
}
# What a text must hold, in folded case, for a pattern to match it. Most reports name no system, and looking for a plain piece
# of text costs a hundredth of the patterns.
_STEMS = {
    "lung": "lung-rads",
    "bi": "bi-rads",
    "li": "li-rads-ct-mr",
    "ti": "ti-rads",
    "pi": "pi-rads",
    "o": "o-rads-us",
}
_RADS = re.compile(rf"({'|'.join(_STEMS)})[\s-]?rads")
_TR = re.compile(r"tr-?[1-5]")
NAMES = {
    "lung-rads": "Lung-RADS",
    "bi-rads": "BI-RADS",
    "li-rads-ct-mr": "LI-RADS",
    "ti-rads": "TI-RADS",
    "pi-rads": "PI-RADS",
    "o-rads-us": "O-RADS",
    "bosniak": "Bosniak",
}
# Categories that ask for nothing before the routine: not worth a card that only quotes.
_ROUTINE = {
    "lung-rads": {"1", "2"},
    "bi-rads": {"1", "2"},
    "ti-rads": {"1", "2"},
    "pi-rads": {"1", "2"},
    "o-rads-us": {"1"},
    "bosniak": {"I", "II", "1", "2"},
}
# Of Lung-RADS, whose pack names no order: from the least suspicious to the most; a bare 4 stands before its kinds.
_LUNG_ORDER = ("1", "2", "0", "3", "4", "4A", "4B", "4X")
# What the words leave out of the coded category, and Bosniak's classes in Arabic numerals.
_PREFIX = {"li-rads-ct-mr": "LR-", "ti-rads": "TR"}
_CLASS = {"1": "I", "2": "II", "2F": "IIF", "3": "III", "4": "IV"}
# Looked for in the clause before the category: "no adenopathy, BI-RADS 4" denies the adenopathy and not the category.
_NOT_SAID = re.compile(
    r"\b(?:not|cannot|no|never|without|rather than|instead of|versus|vs\.?)\b|n['’]t\b",
    re.IGNORECASE,
)
# Looked for in the same clause, but not before "now".
_PAST = re.compile(
    r"\b(?:prior|previous|previously|history|historical|earlier|formerly|was|were|had been|known|initially|comparison|"
    r"compared|last|downgraded|upgraded|from)\b",
    re.IGNORECASE,
)
# Looked for in all that stands before it.
_NOT_YET = re.compile(r"\b(?:if|would|could|should|unless|criteria)\b", re.IGNORECASE)
_PAST_FIRST = re.compile(
    r"^\W*(?:(?:previously|formerly|initially|earlier)\b|comparison\w*\s*:[^:]*$|"
    r"(?:prior|previous|historical|history|earlier|last|old)\b[^:,;]{0,40}:\W*$)",
    re.IGNORECASE,
)
# Right before the category, these state it: "was assessed as", "upgraded from BI-RADS 3 to".
_STATING = re.compile(
    r"(?:\b(?:was|were|is|are|has been|have been)\s+)?\b(?:"
    r"(?:re-?)?(?:assessed|classified|categori[sz]ed|rated|scored|graded|designated)\s+(?:as|to be)|"
    r"(?:upgraded|downgraded|changed|increased|decreased|progressed|reclassified)\b[^,;:()]{0,60}?\bto"
    r")\W*(?:an?\s+|ACR\s+)?$",
    re.IGNORECASE,
)
_NOW = re.compile(r"\b(?:now|currently|today)\b", re.IGNORECASE)
# Right after the category: "BI-RADS 3 in 2024", "BI-RADS 4 previously"; but "BI-RADS 4 previously 3" is about the 3.
_PAST_AFTER = re.compile(
    r"\s+(?:(?:previously|formerly|earlier)\b(?![^.;]*\d)|at that time|last (?:year|time|exam\w*)|"
    r"(?:in|on|from|at) (?:the )?(?:prior|previous|last|earlier|(?:\w+ )?(?:19|20)\d\d\b))",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"\([^()]*\)")
_CLAUSE = re.compile(r"[,;:](?=\s)")
_RANGE = re.compile(
    r"\s*(?:-|–|/|to|or|through|versus|vs\.?)\s*(?:(?:LR|TR)-?)?(?:[0-6][A-CX]?|I{1,3}F?|IV)(?!\w|\s?(?:mm|cm|month|year|week))",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"\b(?:nodule|lesion|mass|segment|observation|cyst|target|finding|area)\s*(?:#|no\.?)?\s*\d", re.IGNORECASE
)
# A line of a legend: the category, then what it means. One that names a place is about this patient.
_LEGEND_START = re.compile(r"^[\W\d_]*(?:ACR\s+)?$", re.IGNORECASE)
_LEGEND_REST = re.compile(r"\s*(?:[:=(–—-]|\.?$)")
_PLACE = re.compile(r"\b(?:left|right|bilateral|both|segment|isthmus)\b", re.IGNORECASE)
_TEMPLATE_FROM = 3
# No sentence that somebody wrote says more; these bound the time that words without a full stop take.
_REACH = 300
"""How many characters before a category words may deny it."""
_MOST_IN_A_SENTENCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One sentence that states a category. ``categories`` has several entries for a pair of sides or numbered lesions."""

    system: str
    categories: tuple[str, ...]
    quote: Quote
    others: tuple[Mention, ...] = ()
    """Other sentences of the report that state other categories, less suspicious ones: the most suspicious first."""

    @property
    def title(self) -> str:
        """The category in the system's usual form."""
        return f"{NAMES[self.system]} {' and '.join(self.categories)}"

    @property
    def is_routine(self) -> bool:
        """Whether the category asks for nothing before the routine."""
        return set(self.categories) <= _ROUTINE.get(self.system, set())

    @property
    def suspicion(self) -> int:
        """The place of its most suspicious category within its system."""
        order = _order(self.system)
        return max(order.index(one) for one in self.coded)

    @property
    def coded(self) -> tuple[str, ...]:
        """The categories as the packs and the code lists write them: ``TR5`` for a TI-RADS 5."""
        return tuple(_coded(self.system, one) for one in self.categories)


@cache
def _order(system: str) -> tuple[str, ...]:
    """The coded categories from the least suspicious to the most: those of the product's own pack."""
    packs = (one for one in bundled_packs().tables if one.reads == system)
    return next((one.severity[::-1] for one in packs), _LUNG_ORDER)


def _coded(system: str, category: str) -> str:
    plain = category.removesuffix("S")
    return _CLASS.get(plain, plain) if system == "bosniak" else f"{_PREFIX.get(system, '')}{plain}"


def may_be_told_of(report: Mapping[str, Any]) -> bool:
    """Whether a DiagnosticReport names a study or a result, codes its conclusion, or may name a system in words.

    A chart holds many old reports that do none of this; they need not be read any further.
    """
    if report.get("imagingStudy") or report.get("result") or report.get("conclusionCode"):
        return True
    return bool(systems_named(text(report.get("conclusion")) or ""))


def mentions_of(report: ReportFacts) -> tuple[Mention, ...]:
    """What the conclusion's words state, one mention for each system: the most suspicious, with the others."""
    systems = systems_named(report.conclusion or "")
    return mentions_among(report, systems) if systems else ()


def systems_named(words: str) -> tuple[str, ...]:
    """The systems that the words may name: every one whose pattern matches them, and now and then one more."""
    folded = words.casefold()
    found: set[str] = set()
    if "rads" in folded:
        # Patterns take the dotless i and the dotted capital for an i; folding leaves the one, and a dot of the other.
        found.update(_STEMS[stem] for stem in _RADS.findall(folded.replace("ı", "i").replace("\u0307", "")))
    if "lr-" in folded:
        found.add("li-rads-ct-mr")
    if _TR.search(folded):
        found.add("ti-rads")
    if "bosn" in folded:
        found.add("bosniak")
    return tuple(system for system in PATTERNS if system in found) if found else ()


def mentions_among(report: ReportFacts, systems: Iterable[str]) -> tuple[Mention, ...]:
    """As ``mentions_of``, looking for these systems."""
    found: list[Mention] = []
    sentences: tuple[str, ...] | None = None
    for system in systems:
        pattern = PATTERNS[system]
        if not pattern.search(report.conclusion or ""):
            continue
        sentences = whole_sentences_of(report) if sentences is None else sentences
        legend = _legend(pattern, sentences)
        kept = [sentence for place, sentence in enumerate(sentences) if place not in legend]
        said = [one for sentence in kept if (one := _mention(system, pattern, sentence, report))]
        if said:
            found.append(_together(said))
    return tuple(found)


def _together(said: Sequence[Mention]) -> Mention:
    """The most suspicious mention, the last of equals, with those that state something else."""
    *others, worst = sorted(said, key=lambda one: one.suspicion)
    different: dict[tuple[str, ...], Mention] = {}
    for one in reversed(others):
        if not set(one.categories) <= set(worst.categories):
            different.setdefault(one.categories, one)
    return replace(worst, others=tuple(different.values()))


def _mention(system: str, pattern: re.Pattern[str], sentence: str, report: ReportFacts) -> Mention | None:
    matches = islice(pattern.finditer(sentence), _MOST_IN_A_SENTENCE)
    said = [one for one in matches if not _is_not_said(sentence, one)]
    if not said or any(_RANGE.match(sentence, one.end()) for one in said):
        return None
    categories = tuple(dict.fromkeys(_category(one) for one in said))
    if len(categories) > 1 and not _names_each(sentence, len(categories)):
        return None
    return Mention(system=system, categories=categories, quote=Quote(excerpt(sentence, said[0].start()), report, ()))


def _is_not_said(sentence: str, match: re.Match[str]) -> bool:
    """Whether the words around the category deny it, tell of the past, or only think of it."""
    before = _BRACKETED.sub(" ", sentence[max(0, match.start() - _REACH) : match.start()])
    if _NOT_YET.search(before) or _NOT_SAID.search(_CLAUSE.split(before)[-1]) or _PAST_AFTER.match(sentence, match.end()):
        return True
    since = _STATING.sub("", _NOW.split(before)[-1])
    return bool(_PAST_FIRST.search(since) or _PAST.search(_CLAUSE.split(since)[-1]))


def _names_each(sentence: str, count: int) -> bool:
    """Whether a sentence says what each of its categories is about: two sides, or lesions with numbers."""
    if len(_NUMBERED.findall(sentence)) >= count:
        return True
    sides = all(re.search(rf"\b{side}\b", sentence, re.IGNORECASE) for side in ("left", "right"))
    return sides and count < _TEMPLATE_FROM


def _legend(pattern: re.Pattern[str], sentences: Sequence[str]) -> frozenset[int]:
    """The places of sentences that only explain categories: three or more in a row, of as many categories."""
    found: set[int] = set()
    run: dict[int, str] = {}
    for place, sentence in enumerate(sentences):
        category = _explained(pattern, sentence)
        run = run | {place: category} if category else {}
        if len(set(run.values())) >= _TEMPLATE_FROM:
            found.update(run)
    return frozenset(found)


def _explained(pattern: re.Pattern[str], sentence: str) -> str | None:
    match = pattern.search(sentence)
    if match is None or _PLACE.search(sentence) or not _LEGEND_START.match(sentence[: match.start()]):
        return None
    return _category(match) if _LEGEND_REST.match(sentence, match.end()) else None


def _category(match: re.Match[str]) -> str:
    # Patterns take the dotted capital for an I, as a Turkish keyboard writes it; the dotless one has I for its capital.
    return re.sub(r"[\s()]", "", match["category"]).upper().replace("İ", "I")
