"""The orders being placed and the examinations they may repeat, read tolerantly from ``context`` and prefetch.

A draft order is not on the FHIR server (CDS Hooks R33), may lack its id, its code or its reason (R23), and counts as imaging
only when its code is a known examination. Every order and study has its ``StudyKind``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, tzinfo
from typing import Any

from fhir_imaging.study import UnreadableStudy, points_to_patient, read_study
from fhir_imaging.tolerant import as_dict, dicts, text, texts
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.findings import Problem
from imaging_findings.moments import site_day
from imaging_findings.observations import reference_of
from imaging_findings.report_states import Accession, accessions_of
from imaging_findings.study_kinds import Contrast, StudyKind, kind_of_order, kind_of_study, study_kind_of
from imaging_findings.study_table import SiteStudies, study_codes
from imaging_findings.value_sets import words_of

# Statuses of an order that somebody may still sign or change; a revised order keeps its own (R33).
OPEN = frozenset({"draft", "active", "on-hold"})
# v3 ParticipationType: referrer, verifier, consultant, author.
_NOT_PERFORMING = frozenset({"REF", "VRF", "CON", "AUT"})
_PHASES = {
    Contrast.WITH: " with contrast",
    Contrast.WITHOUT: " without contrast",
    Contrast.BOTH: " without and with contrast",
}
_REPEATING = ("frequency", "period", "dayOfWeek", "timeOfDay", "when", "countMax")
_REASONS = ("reasonReference", "reason")
_CITING = (*_REASONS, "supportingInfo", "basedOn", "replaces")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingOrder:
    """One imaging order, draft or on record."""

    key: str
    """What tells it from the others: ``ServiceRequest/{id}``, or its place in the Bundle where it has no id."""
    status: str
    intent: str
    name: str
    """The examination in words: the table's display where the code is known."""
    codes: frozenset[str]
    """``system|code`` of what the order states; codes of several systems translate each other."""
    kind: StudyKind
    authored: date | None = None
    planned: date | None = None
    """The first day of its occurrence, where it names one."""
    cites: frozenset[str] = frozenset()
    """``Type/id`` of everything that it gives as reason, support, basis or predecessor."""
    reasons: frozenset[str] = frozenset()
    """``Type/id`` of what it gives as its reason alone."""
    is_serial: bool = False
    """Whether its timing repeats it."""
    sent: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The resource itself, for an action that hands it back changed; never shown or logged."""

    @property
    def has_id(self) -> bool:
        """Whether an action can name it."""
        return self.key.startswith("ServiceRequest/")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorStudy:
    """One study on record, with what a card shows of it."""

    reference: str
    study_instance_uid: StudyInstanceUID
    status: str
    day: date | None
    name: str
    performer: str | None
    kind: StudyKind
    based_on: frozenset[str]
    accessions: frozenset[Accession] = frozenset()
    same_as: frozenset[str] = frozenset()
    """Further resources of the same Study Instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftOrders:
    """What the hook's context says: the orders to judge, and the other drafts, which are context (R33)."""

    judged: tuple[ImagingOrder, ...]
    others: tuple[ImagingOrder, ...] = ()


def read_draft_orders(
    context: Mapping[str, Any],
    patient_id: str,
    *,
    by_selection: bool,
    bases: Sequence[str] = (),
    site: SiteStudies | None = None,
    zone: tzinfo | None = None,
) -> DraftOrders:
    """The imaging orders in ``draftOrders``, in their order. With ``by_selection`` only the ``selections`` are judged.

    ``bases``: the FHIR bases whose logical ids are meant; ``site``: the site's own examination codes; ``zone``: where days are
    counted. Never raises: what is no imaging order, another patient's or an entry of no known shape is left out.
    """
    found: dict[str, ImagingOrder] = {}
    for position, resource in enumerate(_resources(context.get("draftOrders"))):
        subject = text(as_dict(resource.get("subject")).get("reference"))
        is_own = subject is None or points_to_patient(subject, patient_id, bases)
        order = _read_draft(resource, position, site, zone) if is_own else None
        if order is not None:
            found[order.key] = order
    # Public clients name a selection by type and id, by bare id, or by an absolute address (R23).
    chosen = {one.rstrip("/").split("/")[-1] for one in texts(context.get("selections"))}
    judged = [one for one in found.values() if not by_selection or one.key.split("/")[-1] in chosen]
    return DraftOrders(judged=tuple(judged), others=tuple(one for one in found.values() if one not in judged))


def read_imaging_order(
    resource: Mapping[str, Any], key: str, site: SiteStudies | None = None, zone: tzinfo | None = None
) -> ImagingOrder | None:
    """A ServiceRequest for a known imaging examination, its days in ``zone``; None for everything else and for a "do not"."""
    if resource.get("resourceType") != "ServiceRequest" or resource.get("doNotPerform") is True:
        return None
    kind = kind_of_order(resource, site)
    if not kind.families:
        return None
    code = as_dict(resource.get("code"))
    stated = codes.codings(code.get("concept") or code)
    known = next((one for one in study_codes(stated, site) if one.code.display), None)
    period, timing = as_dict(resource.get("occurrencePeriod")), as_dict(resource.get("occurrenceTiming"))
    return ImagingOrder(
        key=key,
        status=text(resource.get("status")) or "unknown",
        intent=text(resource.get("intent")) or "unknown",
        name=known.code.display
        if known
        else next(iter(words_of(as_dict(code.get("concept")) or code)), None) or _name_of(kind),
        codes=frozenset(f"{one.system}|{one.code}" for one in stated),
        kind=_with_phase(kind, stated, site),
        authored=site_day(text(resource.get("authoredOn")), zone),
        planned=site_day(text(resource.get("occurrenceDateTime")) or text(period.get("start")), zone),
        cites=frozenset(one for name in _CITING for one in _references(resource.get(name))),
        reasons=frozenset(one for name in _REASONS for one in _references(resource.get(name))),
        is_serial=_is_serial(timing),
        sent=resource,
    )


def read_prior(
    resource: Mapping[str, Any], site: SiteStudies | None = None, zone: tzinfo | None = None
) -> PriorStudy | Problem:
    """One ImagingStudy; a Problem says what is wrong with it. ``zone``: where its day is counted; None = where it says."""
    study = read_study(resource)
    reference = reference_of(resource, "ImagingStudy")
    if isinstance(study, UnreadableStudy):
        return Problem(reference, study.problem)
    kind = kind_of_study(resource, site)
    modalities = "/".join(sorted(kind.families)) or "Study"
    return PriorStudy(
        reference=reference,
        study_instance_uid=study.study_instance_uid,
        status=study.status,
        day=site_day(study.started_text, zone),
        name=study.description or study.procedure or f"{modalities} {' and '.join(sorted(kind.regions))}".strip(),
        performer=_performer(resource),
        kind=kind,
        based_on=frozenset(_references(resource.get("basedOn"))),
        accessions=accessions_of(resource),
    )


def _read_draft(
    resource: Mapping[str, Any], position: int, site: SiteStudies | None, zone: tzinfo | None
) -> ImagingOrder | None:
    reference = reference_of(resource, "ServiceRequest")
    key = reference if "/" in reference else f"draftOrders entry {position}"
    order = read_imaging_order(resource, key, site, zone)
    return order if order is not None and order.status in OPEN | {"unknown"} else None


def _resources(bundle: object) -> Sequence[Mapping[str, Any]]:
    """The resources of a Bundle with or without type; a bare array or a bare resource is read too."""
    stated = as_dict(bundle)
    if stated.get("resourceType") == "ServiceRequest":
        return (stated,)
    entries = dicts(stated.get("entry")) or dicts(bundle)
    return [as_dict(entry.get("resource")) or entry for entry in entries]


def _name_of(kind: StudyKind) -> str:
    """An examination that is known by its number alone (CPT)."""
    regions = " and ".join(sorted(kind.regions)) or "unstated region"
    return f"{'/'.join(sorted(kind.families))} of {regions}{_PHASES.get(kind.contrast, '')}"


def _with_phase(kind: StudyKind, stated: Sequence[Code], site: SiteStudies | None) -> StudyKind:
    """The contrast phase that another of the order's codes names, where the deciding one leaves it open."""
    if kind.contrast is not Contrast.UNKNOWN:
        return kind
    others = [study_kind_of(stated=(one,), site=site) for one in stated]
    phases = {one.contrast for one in others if one.overlaps(kind)} - {Contrast.UNKNOWN}
    return replace(kind, contrast=phases.pop()) if len(phases) == 1 else kind


def _is_serial(timing: Mapping[str, Any]) -> bool:
    """Whether a Timing means more than one examination; bounds alone, or a count of one, do not."""
    repeat = as_dict(timing.get("repeat"))
    if isinstance(repeat.get("count"), int):
        return repeat["count"] > 1 or bool(repeat.get("countMax"))
    return any(repeat.get(name) for name in _REPEATING) or len(texts(timing.get("event"))) > 1


def _references(value: object) -> list[str]:
    """``Type/id`` of every literal reference in an array of References, or of CodeableReferences of R5."""
    found = (text(one.get("reference")) or text(as_dict(one.get("reference")).get("reference")) for one in dicts(value))
    return ["/".join(reference.split("/_history")[0].split("/")[-2:]) for reference in found if reference and "/" in reference]


def _performer(resource: Mapping[str, Any]) -> str | None:
    """Who made the images; whoever read them (``interpreter``) or asked for them stands elsewhere."""
    stated = [one for series in dicts(resource.get("series")) for one in dicts(series.get("performer"))]
    actors = [as_dict(one.get("actor")) for one in stated if not _NOT_PERFORMING & _functions(one)]
    named = (text(one.get("display")) for one in [*actors, as_dict(resource.get("location"))])
    return next((name for name in named if name), None)


def _functions(performer: Mapping[str, Any]) -> set[str]:
    return {one.code for one in codes.codings(performer.get("function"))}
