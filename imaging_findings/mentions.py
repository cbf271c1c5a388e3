"""Categories that a report's words state: found to be quoted, never to be computed from (rule Gc).

What does not count: negations, history ("prior Lung-RADS 3"), conditions, ranges and templates that list several categories.
A pair of sides ("right BI-RADS 2, left BI-RADS 4") is one mention with both. Spec: clinical rules, section 3.5 and T9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.tolerant import text
from imaging_findings.history import ReportFacts
from imaging_findings.quotes import Quote, sentences_of

# "category", "v2022", "5th edition", colons and brackets may stand between the system's name and its category.
_BETWEEN = (
    r"(?:\s|[:=,(\[]|-(?=\s)|\b(?:category|cat\.?|score|assessment|final|overall|is|of)\b"
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
# Looked for in the clause before the category: "no adenopathy, BI-RADS 4" denies the adenopathy and not the category.
_NOT_SAID = re.compile(
    r"\b(not|no|never|without|rather than|instead of|versus|vs\.?|prior|previous|previously|history|historical|earlier|"
    r"formerly|was|were|had been|known|initially|comparison|compared|last|downgraded|upgraded|from)\b",
    re.IGNORECASE,
)
# Looked for in all that stands before it.
_NOT_YET = re.compile(
    r"^\W*(?:previously|formerly|initially|earlier)\b|\b(if|would|could|should|unless|criteria)\b", re.IGNORECASE
)
_CLAUSE = re.compile(r"[,;:](?=\s)")
_RANGE = re.compile(
    r"\s*(?:-|–|/|to|or|through)\s*(?:(?:LR|TR)-?)?(?:[0-6][A-CX]?|I{1,3}F?|IV)(?!\w|\s?(?:mm|cm|month|year|week))",
    re.IGNORECASE,
)
_TEMPLATE_FROM = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One sentence that states a category. ``categories`` has two entries for a pair of sides."""

    system: str
    categories: tuple[str, ...]
    quote: Quote

    @property
    def title(self) -> str:
        """The category in the system's usual form."""
        return f"{NAMES[self.system]} {' and '.join(self.categories)}"

    @property
    def is_routine(self) -> bool:
        """Whether the category asks for nothing before the routine."""
        return set(self.categories) <= _ROUTINE.get(self.system, set())


def may_be_told_of(report: Mapping[str, Any]) -> bool:
    """Whether a DiagnosticReport names a study or a result, codes its conclusion, or may name a system in words.

    A chart holds many old reports that do none of this; they need not be read any further.
    """
    if report.get("imagingStudy") or report.get("result") or report.get("conclusionCode"):
        return True
    return bool(systems_named(text(report.get("conclusion")) or ""))


def mentions_of(report: ReportFacts) -> tuple[Mention, ...]:
    """What the conclusion's words state, at most one mention for each system: the last, which is the impression's."""
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
        stated = {_category(match) for match in pattern.finditer(report.conclusion or "")}
        if not stated or len(stated) >= _TEMPLATE_FROM:
            continue
        sentences = sentences_of(report) if sentences is None else sentences
        said = [one for sentence in sentences if (one := _mention(system, pattern, sentence, report))]
        found += said[-1:]
    return tuple(found)


def _mention(system: str, pattern: re.Pattern[str], sentence: str, report: ReportFacts) -> Mention | None:
    matches = list(pattern.finditer(sentence))
    categories = tuple(dict.fromkeys(_category(match) for match in matches))
    if not matches or any(_is_not_said(sentence[: one.start()]) or _RANGE.match(sentence, one.end()) for one in matches):
        return None
    if len(categories) > 1 and not _names_both_sides(sentence):
        return None
    return Mention(system=system, categories=categories, quote=Quote(sentence, report, ()))


def _is_not_said(before: str) -> bool:
    return bool(_NOT_YET.search(before) or _NOT_SAID.search(_CLAUSE.split(before)[-1]))


def _names_both_sides(sentence: str) -> bool:
    return all(re.search(rf"\b{side}\b", sentence, re.IGNORECASE) for side in ("left", "right"))


def _category(match: re.Match[str]) -> str:
    return re.sub(r"[\s()]", "", match["category"]).upper()
