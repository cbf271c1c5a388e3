"""Report series in FHIR that the archive does not list just now: what they found stays until they are surely gone.

An index that is rebuilt, or lags behind, lists a study before all of its series. The series stays in the ImagingStudy for so
long, so that whoever looks next, on whatever machine, sees that it is lacking. Pure.

Spec: clinical rules §9 (nobody tells of a deletion); DICOM PS3.18 §10.6.3 (search answers).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_imaging.archived_study import MAX_NUMBER, ArchivedStudy
from fhir_imaging.study import DERIVED_MODALITIES
from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, from_urn
from pacs_sync.plan import Write
from pacs_sync.result_steps import by_key, key_of
from pacs_sync.standing import differs, subject_id, withdrawn_result

_REPORTS = "SR"

Json = Mapping[str, Any]


def has_reports(resource: Json) -> bool:
    """Whether an ImagingStudy of any release has structured reports among its modalities."""
    return any(map(_is_report, dicts(resource.get("modality"))))


def lacking_series(study: ArchivedStudy, write: Write) -> tuple[Json, ...]:
    """The report series of what stands that the archive does not list now. None where it stands in another patient's chart."""
    if write.replaces is None or subject_id(write.replaces.content) != write.subject.patient_id:
        return ()
    listed = {one.uid for one in study.series}
    standing = dicts(write.replaces.content.get("series"))
    return tuple(one for one in standing if _is_report(as_dict(one.get("modality"))) and one.get("uid") not in listed)


def kept_results(standing: Sequence[Json], read: frozenset[str]) -> tuple[Json, ...]:
    """Those of ``standing`` that come from a document which is not among those ``read`` now; none where we took them all back.

    One that a person took back is among them: an older document, which is current again, must not bring it back.
    """
    found = [one for one in by_key(standing).values() if (uid := _document_of(one)) is not None and uid not in read]
    return tuple(found) if any(differs(withdrawn_result(one), one) for one in found) else ()


def beside_kept(made: Iterable[Json], kept: Sequence[Json]) -> tuple[Json, ...]:
    """The results that are to stand: ``kept`` as they are, also where an older document of the same finding is read again."""
    keys = {key_of(one) for one in kept}
    others = [one for one in made if key_of(one) not in keys]
    both = [*kept, *others]  # what a new report refers to stands before it
    return tuple(sorted(both, key=lambda one: ("Device", "Observation", "DiagnosticReport").index(one["resourceType"])))


def with_series(wanted: Json, lacking: Sequence[Json], standing: Json) -> dict[str, Any]:
    """The ImagingStudy with these series of what stands, in its order, counted as the others are."""
    series = sorted([*dicts(wanted.get("series")), *lacking], key=_place)
    modalities = dicts(wanted.get("modality"))
    if not has_reports(wanted):
        modalities += [one for one in dicts(standing.get("modality")) if _is_report(one)]
        modalities.sort(key=lambda one: (_codes(one)[0] in DERIVED_MODALITIES, _codes(one)[0]))
    counts = [one.get("numberOfInstances") for one in series]
    counted = [one for one in counts if isinstance(one, int)]
    total = max(wanted.get("numberOfInstances") or 0, sum(counted))
    more = {"numberOfInstances": total} if counted == counts and total <= MAX_NUMBER else {}
    number = max(wanted.get("numberOfSeries") or 0, len(series))
    return {**wanted, "modality": modalities, "series": series, "numberOfSeries": number, **more}


def _place(series: Json) -> tuple[bool, int, str]:
    number = series.get("number")
    return (number is None, number or 0, str(series.get("uid")))


def _is_report(modality: Json) -> bool:
    """Also where somebody put a coding of their own before DICOM's."""
    return _REPORTS in _codes(modality)


def _codes(modality: Json) -> list[str]:
    """Of a Coding (R4), or of a CodeableConcept (R5); at least one, empty where nothing is said."""
    return [text(one.get("code")) or "" for one in dicts(modality.get("coding")) or [modality]]


def _document_of(result: Json) -> str | None:
    """UID of the document that says it; None where it names none."""
    if result.get("resourceType") == "DiagnosticReport":
        named = dicts(result.get("identifier"))
    else:
        sources = (one for one in dicts(result.get("derivedFrom")) if one.get("type") == "DocumentReference")
        named = [as_dict(one.get("identifier")) for one in sources]
    stated = (text(one.get("value")) for one in named if one.get("system") == DICOM_UID_SYSTEM)
    return next((uid for value in stated if value and (uid := from_urn(value))), None)
