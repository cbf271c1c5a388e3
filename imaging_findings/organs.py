"""Which organs an examination shows, by its names: an ultrasound of the gallbladder shows nothing of the aorta (rule Gf).

Families and regions find repeats and are too coarse for what answers a follow-up. What was imaged is read out of three sources:
the names of known procedure codes, the body sites, and the words beside them. The first that names organs decides; an
examination of the whole region shows all that lies in it. Words may so take an answer away that a code for the whole region
seemed to give, and never add one: a reminder that is silenced wrongly is the worse fault.

The words stand in ``tables/organ_words.csv``. Spec: clinical rules Gc, Gf.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property, lru_cache

from imaging_findings.anatomy import before_reason, phrases, phrases_in, words_of
from imaging_findings.code_tables import rows

# Slices and mammograms hold all that lies in their region; ultrasound shows what the probe was held to.
_BY_REGION = frozenset({"CT", "MR", "NM", "MG"})


class Shown(StrEnum):
    """Whether an examination shows an organ."""

    YES = "yes"
    REGION_ONLY = "region-only"
    """Only its region is stated: nobody can tell."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class _Word:
    shows: str
    of: frozenset[str]


_Together = tuple[tuple[_Word, ...], ...]
"""The words of several names that are read together."""


# No slots: what was read is kept beside the names.
@dataclass(frozen=True, kw_only=True)
class StudyNames:
    """The names that one examination goes by. They hold text from outside, but for ``coded``."""

    coded: tuple[str, ...] = ()
    """Names of known procedure codes, out of the tables."""
    sites: tuple[str, ...] = ()
    """Names of body sites."""
    said: tuple[str, ...] = ()
    """Code texts and descriptions."""

    @property
    def best(self) -> str | None:
        """The name for a person to read; None where there is none. A body site alone names no examination."""
        return next((name for name in (*self.coded, *self.said) if name), None)

    def sources(self) -> Iterator[tuple[_Together, ...]]:
        """What the names show, source by source: codes and sites are read together, of texts each by itself."""
        yield (self._coded,)
        yield (self._sites,)
        yield self._said

    # Every finding asks anew, and parsing costs; what was parsed is kept no longer than the names are.
    @cached_property
    def _coded(self) -> _Together:
        return tuple(map(_read_of_table, self.coded))

    @cached_property
    def _sites(self) -> _Together:
        return tuple(map(_read, self.sites))

    @cached_property
    def _said(self) -> tuple[_Together, ...]:
        return tuple((_read(name),) for name in self.said)


NO_NAMES = StudyNames()


class _Says(StrEnum):
    ORGAN = "organ"
    OTHER = "other"
    WHOLE = "whole"
    PART = "part"
    NOTHING = "nothing"


def shown(names: StudyNames, families: Iterable[str], organs: frozenset[str], regions: frozenset[str]) -> Shown:
    """Whether the examination shows one of ``organs``, which lie in ``regions``; without organs there is nothing to ask."""
    if not organs:
        return Shown.YES
    is_by_region = bool(_BY_REGION & set(families))
    seen: set[_Says] = set()
    for place, source in enumerate(names.sources()):
        found = {_says(one, organs, regions) for one in source}
        if _Says.ORGAN in found:
            return Shown.YES
        if _Says.OTHER in found:
            return Shown.NO
        # A scanner's body part is often that of its preset alone.
        seen |= found if place != 1 or is_by_region else set()
    is_whole = is_by_region or _Says.WHOLE in seen
    return Shown.YES if is_whole and _Says.PART not in seen else Shown.REGION_ONLY


@cache
def known_organs() -> frozenset[str]:
    """All organs that the table has names for."""
    return frozenset(organ for row in rows("organ_words.csv") if row["shows"] != "region" for organ in row["of"].split())


def organs_of(beginnings: Iterable[str]) -> frozenset[str]:
    """The organs of the table that begin so, as a rule pack names its organ; empty for one that the table does not have."""
    return _organs_of(tuple(beginnings))


@lru_cache(maxsize=256)
def _organs_of(starts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(organ for organ in known_organs() if organ.startswith(starts)) if starts else frozenset()


def _says(names: Iterable[Sequence[_Word]], organs: frozenset[str], regions: frozenset[str]) -> _Says:
    """What the words of these names, taken together, say of the organs."""
    words = [word for name in names for word in name]
    of_organs = frozenset(organ for word in words if word.shows != "region" for organ in word.of)
    is_part = any(word.shows == "part" for word in words)
    if organs & of_organs:
        return _Says.ORGAN
    if not is_part and any(word.of & regions for word in words if word.shows == "region"):
        return _Says.WHOLE
    if of_organs:
        return _Says.OTHER
    return _Says.PART if is_part else _Says.NOTHING


def _read(name: str) -> tuple[_Word, ...]:
    words = words_of(name)
    # "US for transplanted kidney" names its organ nowhere else.
    found = phrases_in(before_reason(words), _words())[0] or phrases_in(words, _words())[0]
    return tuple(_words()[phrase] for phrase in found)


@lru_cache(maxsize=2048)
def _read_of_table(name: str) -> tuple[_Word, ...]:
    """A site sees the same few examinations again and again. What a patient's own record words is never kept."""
    return _read(name)


@cache
def _words() -> Mapping[str, _Word]:
    """What phrases show; one of the anatomy that the table of organs does not have is an organ of its own."""
    found = {phrase: _Word("organ", frozenset({phrase} if regions else ())) for phrase, regions in phrases().items()}
    for row in rows("organ_words.csv"):
        found |= dict.fromkeys(row["words"].split("|"), _Word(row["shows"], frozenset(row["of"].split())))
    return found
