"""Is there a code of the same family that says better what the order means? Said as information, never in an order's way.

Three cases, and only where the answer is certain: the order fulfils an open follow-up, but not with the examination that the
follow-up's own row orders; its code leaves the contrast phase open that its other codes name; its code and its words are of
different modalities (36643-5 is a chest X-ray, whatever stands beside it). A family is what LOINC names alike but for contrast
and screening: a CT angiogram of the chest is no chest CT. Spec: clinical rules X1-X3, section 4 (suggestion); CDS Hooks R29.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_imaging.study import concept_text
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.anatomy import words_of
from imaging_findings.codes import LOINC, Code
from imaging_findings.modalities import family_of
from imaging_findings.order_advice import BetterCode, OrderAdvice, Reason, SuppressedAdvice
from imaging_findings.order_facts import ImagingOrder
from imaging_findings.order_follow_up import OpenFollowUp
from imaging_findings.rules import Urgency
from imaging_findings.study_names import Contrast, NameReading, families_named, family_said, read_name
from imaging_findings.study_table import StudyCode, loinc_lines, study_codes
from imaging_findings.value_sets import value_set

_SCREENING = " for screening"
_PHASES = {
    Contrast.BOTH: " WO and W contrast IV",
    Contrast.WITH: " W contrast IV",
    Contrast.WITHOUT: " WO contrast",
    Contrast.UNKNOWN: "",
}
# Names that overlap: a mammogram is an X-ray examination, and a PET/CT holds a CT.
_KIN = [{"XR", "MG"}, {"XR", "DXA"}, {"XR", "XA"}, {"CT", "XA"}, {"MR", "XA"}, {"US", "XA"}]
_KIN += [{"NM", "CT"}, {"NM", "MR"}, {"NM", "XR"}]
# Words that add nothing to modality, region, contrast and screening; any other leaves it open what is meant.
_FILLERS = frozenset({"of", "the", "and", "scan", "iv", "intravenous", "contrast", "w", "wo", "with", "without", "for"})
_FILLERS |= {"ct", "computed", "tomography", "screening", "noncontrast"}
_BY_DECISION = "Whether contrast agent is needed stays the orderer's decision."
_BY_OWNER = "Screening or diagnostic code: the clinical owner of the rule decides; this still needs a clinician's check."


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What around the order forbids to speak of another code."""

    is_repeat: bool = False
    """Whether the order was already called a repeat: then the question is whether, not how."""
    is_emergency: bool = False
    cancer: str | None = None


Verdict = tuple[OrderAdvice | None, tuple[SuppressedAdvice, ...]]


def better_code_advice(order: ImagingOrder, follow_up: OpenFollowUp | None, around: Circumstances) -> Verdict:
    """At most one piece of advice about the order's code, and what was suppressed.

    ``follow_up``: the open follow-up that the order answers in kind and in time, if any.
    """
    if order.kind.is_intervention:
        return None, ()
    contradiction = _contradiction(order, around)
    if contradiction is not None:
        return contradiction, ()
    for found, rule_id, by in (_for_follow_up(order, follow_up), _for_phase(order)):
        if found is None:
            continue
        why = _why_quiet(order, follow_up if rule_id == "orders/code-follow-up" else None, around)
        if why is not None:
            return None, (SuppressedAdvice(rule_id=rule_id, order=order, reason=why, by=by),)
        return found, ()
    return None, ()


_Found = tuple[OrderAdvice | None, str, str]


def _for_follow_up(order: ImagingOrder, follow_up: OpenFollowUp | None) -> _Found:
    rule_id = "orders/code-follow-up"
    proposal = follow_up.guidance.order if follow_up is not None else None
    own = _study(_only_coding(order))
    wanted = _study(proposal.code) if proposal is not None else None
    if follow_up is None or own is None or wanted is None or own.code.is_same(wanted.code):
        return None, rule_id, ""
    if _family(own) is None or _family(own) != _family(wanted):
        return None, rule_id, ""
    finding = follow_up.guidance.finding.reference
    technique = f", {proposal.note.lower()}" if proposal is not None and proposal.note else ""
    words = f"the follow-up asks for {_named(wanted.code)}{technique}; the order says {_named(own.code)}."
    is_phase_open = own.contrast is Contrast.UNKNOWN
    notes = [_BY_DECISION] if own.contrast is not wanted.contrast else []
    notes += [_BY_OWNER] if own.purpose is not wanted.purpose else []
    better = BetterCode(
        code=wanted.code,
        replaces=own.code,
        note=proposal.note if proposal is not None else None,
        is_recommended=finding in order.cites and (is_phase_open or own.contrast is wanted.contrast),
    )
    lines = [("Better-fitting code", " ".join([words, *notes]))]
    headline = f"the follow-up due {follow_up.due} asks for {wanted.code.display}"
    return _advice(rule_id, order, headline, lines, better), rule_id, finding


def _for_phase(order: ImagingOrder) -> _Found:
    """An unspecific LOINC code beside other codes that all name one contrast phase."""
    rule_id = "orders/code-phase"
    concept = _code_concept(order)
    stated = codes.codings(concept)
    own = [found for found in (_study(one) for one in stated if one.system == LOINC) if found]
    if len(own) != 1 or own[0].contrast is not Contrast.UNKNOWN or _family(own[0]) is None:
        return None, rule_id, ""
    beside = [*stated, *_codings_of(order, "reasonCode"), *_codings_of(order, "orderDetail")]
    naming = [one for one in map(_study, beside) if one and _same_but_phase(one, own[0])]
    phases = {one.contrast for one in naming}
    phase = phases.pop() if len(phases) == 1 else None
    number = _loinc_by_name().get(f"{own[0].code.display}{_PHASES[phase]}") if phase is not None else None
    fitting = _study(Code(LOINC, number)) if number else None
    if fitting is None or (fitting.modality, fitting.regions, fitting.contrast) != (own[0].modality, own[0].regions, phase):
        return None, rule_id, ""
    by = naming[0].code
    line = (
        f"{_named(own[0].code)} leaves the contrast phase open, {_named(by)} names it: {_named(fitting.code)}. {_BY_DECISION}"
    )
    better = BetterCode(code=fitting.code, replaces=own[0].code, is_recommended=False)
    headline = f"the order's own codes mean {fitting.code.display}"
    return _advice(rule_id, order, headline, [("Better-fitting code", line)], better), rule_id, f"{by.system}|{by.code}"


def _contradiction(order: ImagingOrder, around: Circumstances) -> OrderAdvice | None:
    """Code and words (or two codes) of modalities that have nothing to do with each other."""
    concept = _code_concept(order)
    known = [one for one in map(_study, codes.codings(concept)) if one and one.modality and family_of(one.modality)]
    if not known:
        return None
    own = known[0]
    family = family_of(own.modality or "") or ""
    stated = [text(concept.get("text")), *(text(coding.get("display")) for coding in dicts(concept.get("coding")))]
    contrary = next((one for one in stated if one and _contradicts(one, family)), None)
    other = next((one for one in known[1:] if _is_apart({family_of(one.modality or "") or ""}, family)), None)
    if contrary is None and other is None:
        return None
    said = family_said(contrary) if contrary is not None else family_of((other.modality if other else "") or "")
    lines = [("Code", f"{_named(own.code)}: {family}")]
    lines.append(("Words", f"“{contrary}”") if contrary is not None else ("Other code", _named(other.code) if other else ""))
    lines.append(("Checks", "all checks were made for the coded examination; please see that the right one is ordered"))
    better = None
    if contrary is not None and other is None and not (around.is_repeat or around.is_emergency):
        better = _meant(order, own, contrary)
    headline = f"code and words contradict each other ({family} and {said})"
    return _advice("orders/code-contradiction", order, headline, lines, better)


def _meant(order: ImagingOrder, own: StudyCode, words: str) -> BetterCode | None:
    """The one examination that this product may order and that the words name to the last word; None where that is open."""
    reading = read_name(words)
    rest = [one for one in words_of(words) if one not in _FILLERS and not read_name(one).regions]
    replaces = _only_coding(order)
    if rest or replaces is None or reading.regions != own.regions:
        return None
    plain = (_study(one.code) for one in codes.procedures().values() if _is_plain(one.code.display))
    fitting = [one.code for one in plain if one and _reads_as(one, reading)]
    return BetterCode(code=fitting[0], replaces=replaces, is_recommended=False) if len(fitting) == 1 else None


def _why_quiet(order: ImagingOrder, follow_up: OpenFollowUp | None, around: Circumstances) -> str | None:
    if around.is_emergency:
        return "in an emergency nobody is asked about codes"
    if around.is_repeat:
        return "the order repeats an examination: whether it is needed comes before how it is coded"
    if follow_up is None:
        return None
    if around.cancer:
        return f"oncology: {around.cancer}"
    return "the order names another reason" if _has_other_reason(order, follow_up) else None


def _has_other_reason(order: ImagingOrder, follow_up: OpenFollowUp) -> bool:
    """Whether the order names a reason that is not certainly this follow-up."""
    guidance = follow_up.guidance
    own = {one.reference for one in (guidance.finding, *guidance.others)} | {one.reference for one in guidance.reports}
    own |= {guidance.study.reference} if guidance.study else set()
    for reason in (*dicts(order.sent.get("reasonCode")), *(as_dict(one.get("concept")) for one in _reasons(order))):
        stated = codes.codings(reason)
        is_open = bool(stated or concept_text(reason))
        if is_open and not (stated and all(value_set("lung-nodule-reason").holds(one) for one in stated)):
            return True
    return bool(order.reasons - own)


def _reasons(order: ImagingOrder) -> tuple[Mapping[str, Any], ...]:
    return tuple(dicts(order.sent.get("reason")))


def _contradicts(words: str, family: str) -> bool:
    return family_said(words) is not None and _is_apart(families_named(words), family)


def _is_apart(families: Iterable[str], family: str) -> bool:
    return all(one != family and {one, family} not in _KIN for one in families)


def _only_coding(order: ImagingOrder) -> Code | None:
    """The one coding of the order's code; None where there are several, which a change of one would contradict."""
    stated = codes.codings(_code_concept(order))
    return stated[0] if len(stated) == 1 and stated[0].system == LOINC else None


def _code_concept(order: ImagingOrder) -> Mapping[str, Any]:
    stated = as_dict(order.sent.get("code"))
    return as_dict(stated.get("concept")) or stated


def _codings_of(order: ImagingOrder, member: str) -> list[Code]:
    return [code for one in dicts(order.sent.get(member)) for code in codes.codings(one)]


def _study(code: Code | None) -> StudyCode | None:
    return next(iter(study_codes([code])), None) if code is not None else None


def _family(study: StudyCode) -> str | None:
    """The LOINC name without contrast and screening; None where the name says contrast in another way."""
    name = study.code.display
    suffix = _PHASES.get(study.contrast)
    if suffix is None or not name.endswith(suffix):
        return None
    return name.removesuffix(suffix).removesuffix(_SCREENING)


@cache
def _loinc_by_name() -> Mapping[str, str]:
    """LOINC numbers of radiology by long common name."""
    return {name: code for code, name, *_ in csv.reader(loinc_lines().values())}


def _same_but_phase(one: StudyCode, own: StudyCode) -> bool:
    same = (one.modality, one.regions, one.purpose) == (own.modality, own.regions, own.purpose)
    return same and one.contrast in (Contrast.WITH, Contrast.WITHOUT, Contrast.BOTH)


def _is_plain(display: str) -> bool:
    """Whether a name says nothing but modality, regions, contrast and screening."""
    return all(one in _FILLERS or read_name(one).regions for one in words_of(display))


def _reads_as(study: StudyCode, reading: NameReading) -> bool:
    same = (study.modality, study.regions, study.contrast) == (reading.modality, reading.regions, reading.contrast)
    return same and study.purpose is reading.purpose


def _named(code: Code) -> str:
    system = "LOINC" if code.system == LOINC else "code"
    return f"{code.display} ({system} {code.code})" if code.display else f"{system} {code.code}"


def _advice(
    rule_id: str, order: ImagingOrder, headline: str, lines: list[tuple[str, str]], better: BetterCode | None
) -> OrderAdvice:
    return OrderAdvice(
        rule_id=rule_id,
        reason=Reason.CODE,
        order=order,
        urgency=Urgency.INFO,
        headline=headline,
        lines=tuple(lines),
        better=better,
    )
