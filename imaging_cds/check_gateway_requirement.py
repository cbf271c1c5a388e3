"""A requirement as data: its ids, its words, its check and what to do where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fhir_imaging.tolerant import as_dict, as_list
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_probe import Reply
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome, Row, Unseen, Verdict, hidden

_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement. ``ids`` is a list of ids separated by spaces, the main one first (smart-imaging.md)."""

    ids: str
    name: str
    asks: str
    remedy: str
    check: Callable[[Examination], Outcome]
    proof: Callable[[Examination], None] | None = None
    """What must be seen before nothing wrong counts as right; raises NotTried where it is not."""

    @property
    def key(self) -> str:
        """What tells requirements of one id apart."""
        return f"{self.ids.split()[0]}:{self.name}"

    def row(self, exam: Examination, area: str) -> Row:
        """How the requirement fares. Nothing that a server says ends the whole check."""
        try:
            outcome = self.check(exam)
            if outcome.verdict is Verdict.OK and self.proof is not None:
                self.proof(exam)
        except NotTried as why:
            outcome = Outcome(Verdict.NOT_TRIED, str(why))
        except NotOffered as what:
            outcome = Outcome(Verdict.NOT_OFFERED, str(what))
        except Unseen as why:
            outcome = Outcome(Verdict.UNSEEN, str(why))
        except Exception as odd:  # JSON of every shape comes back, also such as no check has thought of
            kind = type(odd).__name__
            outcome = fault(
                f"An answer could not be made sense of ({kind}); if it is right, this check is not: please report it."
            )
        seen = hidden(outcome.seen, exam.subject.tokens.values())
        outcome = Outcome(outcome.verdict, seen)
        ids = tuple(self.ids.split())
        return Row(ids=ids, name=self.name, area=area, asked=self.asks, outcome=outcome, remedy=self.remedy)


def proven(proof: Callable[[Examination], None], *requirements: Requirement) -> tuple[Requirement, ...]:
    """The requirements, which are kept only where the proof is seen too."""
    return tuple(replace(one, proof=proof) for one in requirements)


def ok(seen: str) -> Outcome:
    """As it should be."""
    return Outcome(Verdict.OK, seen)


def fault(seen: str) -> Outcome:
    """Not as it should be."""
    return Outcome(Verdict.FAULT, seen)


def judged(problems: Sequence[str], seen: str) -> Outcome:
    """A fault with the problems where there are any; else what was seen."""
    unique = list(dict.fromkeys(problems))
    more = f" (and {len(unique) - _SHOWN} more)" if len(unique) > _SHOWN else ""
    return fault("; ".join(unique[:_SHOWN]) + more) if unique else ok(seen)


def refused(replies: Iterable[tuple[str, Reply]]) -> Outcome:
    """Whether everything was refused: nothing served, nothing broken by the question, and nobody sent on instead."""
    told = list(replies)
    problems = [f"{name}{words}" for name, reply in told if (words := _instead_of_a_refusal(reply))]
    statuses = ", ".join(sorted({reply.end.said for _, reply in told}))
    return judged(problems, f"{len(told)} requests refused ({statuses}).")


def _instead_of_a_refusal(reply: Reply) -> str:
    """What was done to a request that is to be refused; empty where it was.

    A sign-in page is for people: a program takes it for an answer. What a redirect leads to may be the images themselves.
    """
    end = reply.end
    if end.is_refused or end.status == 501:
        return ""
    if reply.is_served:
        return f" is served ({reply.said}{_how_much(reply)})"
    if end.is_served:
        return f" is sent on to what is served ({reply.said}, then {end.said}: {end.content_type}{_how_much(end)})"
    if end.status is None or end.status >= 500:
        return f": {end.said}"
    return f" is sent on ({end.said}), which is no refusal"


def _how_much(reply: Reply) -> str:
    """How many entries a served search holds: none at all is a milder fault than somebody's studies."""
    bundle = as_dict(reply.json()) if reply.content_type.endswith("json") else {}
    return f", {len(as_list(bundle.get('entry')))} entries" if bundle.get("resourceType") == "Bundle" else ""
