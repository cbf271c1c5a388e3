"""What ``imaging-cds check`` found at an EHR, in words: each finding with its verdict and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from imaging_cds.check_print import markdown_table, markdown_text, plain


class Verdict(StrEnum):
    """How a finding bears on a launch."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing fails by it."""
    WARNING = "warning"
    """Something may fail, or works less well."""
    FAULT = "fault"
    """Something will fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. ``remedy`` says who has to change what; empty where nothing is to be done."""

    area: str
    verdict: Verdict
    what: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Without empty members."""
        remedy = {"remedy": self.remedy} if self.remedy else {}
        return {"area": self.area, "verdict": self.verdict.value, "what": self.what, **remedy}


@dataclass(frozen=True, slots=True)
class Area:
    """Makes findings of one area."""

    name: str

    def ok(self, what: str) -> Finding:
        """Works as it should."""
        return Finding(area=self.name, verdict=Verdict.OK, what=what)

    def note(self, what: str, remedy: str = "") -> Finding:
        """Worth knowing."""
        return Finding(area=self.name, verdict=Verdict.NOTE, what=what, remedy=remedy)

    def warning(self, what: str, remedy: str) -> Finding:
        """May fail."""
        return Finding(area=self.name, verdict=Verdict.WARNING, what=what, remedy=remedy)

    def fault(self, what: str, remedy: str) -> Finding:
        """Will fail."""
        return Finding(area=self.name, verdict=Verdict.FAULT, what=what, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything found at one issuer, one synchronisation or one installation (``kind``), in the order of looking."""

    issuer: str
    findings: tuple[Finding, ...]
    kind: str = "EHR"

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        order = list(Verdict)
        return max((one.verdict for one in self.findings), key=order.index, default=Verdict.OK)

    @property
    def exit_code(self) -> int:
        """0 = nothing is known that would fail, 1 = something will."""
        return 1 if self.verdict is Verdict.FAULT else 0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        found = [one.as_json() for one in self.findings]
        name = {"issuer": self.issuer} if self.kind == "EHR" else {"name": self.issuer}
        return {**name, "verdict": self.verdict.value, "findings": found}

    def lines(self, paint: Callable[[str], str] = plain) -> Iterator[str]:
        """For people, area by area."""
        yield f"{self.kind} {_printable(self.issuer)}"
        area = ""
        for one in self.findings:
            if one.area != area:
                area = one.area
                yield f"\n{area}"
            yield f"  {paint(f'{_MARKS[one.verdict]:<8}')} {_printable(one.what)}"
            if one.remedy:
                yield f"  {'':<8} -> {_printable(one.remedy)}"
        yield f"\n{self._summary()}"

    def markdown(self) -> Iterator[str]:
        """For a ticket: one table, the areas as its first column."""
        yield f"# {self.kind} {markdown_text(_printable(self.issuer))}"
        yield f"\n{self._summary()}\n"
        rows = [(one.area, _MARKS[one.verdict], _printable(one.what), _printable(one.remedy)) for one in self.findings]
        yield from markdown_table(("area", "verdict", "what was found", "what to do"), rows)

    def _summary(self) -> str:
        count = {verdict: sum(one.verdict is verdict for one in self.findings) for verdict in Verdict}
        if count[Verdict.FAULT]:
            return f"{count[Verdict.FAULT]} would fail, {count[Verdict.WARNING]} may fail."
        if count[Verdict.WARNING]:
            return f"Nothing is known that would fail; {count[Verdict.WARNING]} may fail or work less well."
        return "Nothing is known that would fail."


@dataclass(frozen=True, slots=True)
class Reports:
    """Every EHR of an installation, one after another, then every synchronisation; at the end what is on this machine."""

    reports: tuple[Report, ...]
    syncs: tuple[Report, ...] = ()
    installation: Report | None = None

    @property
    def exit_code(self) -> int:
        """1 as soon as one of them has a fault."""
        return max((one.exit_code for one in self._all), default=0)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        syncs = {"syncs": [one.as_json() for one in self.syncs]} if self.syncs else {}
        own = {"installation": self.installation.as_json()} if self.installation else {}
        return {"ehrs": [one.as_json() for one in self.reports], **syncs, **own}

    def lines(self, paint: Callable[[str], str] = plain) -> Iterator[str]:
        """For people."""
        for number, one in enumerate(self._all):
            yield from ("", "") if number else ()
            yield from one.lines(paint)

    def markdown(self) -> Iterator[str]:
        """For a ticket."""
        for number, one in enumerate(self._all):
            yield from ("",) if number else ()
            yield from one.markdown()

    @property
    def _all(self) -> tuple[Report, ...]:
        return (*self.reports, *self.syncs, *((self.installation,) if self.installation else ()))


_MARKS = {Verdict.OK: "ok", Verdict.NOTE: "note", Verdict.WARNING: "WARNING", Verdict.FAULT: "FAULT"}


def _printable(words: str) -> str:
    """What an outside server wrote may hold control characters; a terminal must not obey them."""
    return "".join(mark if mark.isprintable() else "?" for mark in words)
