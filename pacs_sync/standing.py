"""What stands in a FHIR server: whether we made it, what of it others said, and whether it differs from what we would write.

A resource of ours is marked twice, since servers keep one or the other: ``meta.source`` says which synchronisation made it, and
a tag says it in a way that every server can be searched by. Results carry their study's UID as a tag too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.fhir_mapping.comparison import comparable, without_server_marks
from fhir_imaging.fhir_mapping.study_dialects import AVAILABILITY
from fhir_imaging.study import WITHDRAWN
from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID, from_urn, to_urn
from imaging_findings.report_states import AI_ASSERTED

SYNC_TAGS = "urn:imaging-cds:sync"
"""System of the tag; its code is the synchronisation's name."""
IN_ERROR = "entered-in-error"
_OWNED = frozenset(
    {
        *(
            "resourceType",
            "id",
            "meta",
            "text",
            "contained",
            "identifier",
            "status",
            "modality",
            "subject",
            "started",
            "basedOn",
        ),
        *("referrer", "endpoint", "numberOfSeries", "numberOfInstances", "procedureCode", "procedure", "reasonCode", "reason"),
        *("description", "series"),
    }
)
"""Elements of an ImagingStudy that the archive decides; what others added to it beside these stays."""
_NEEDED_OF_STUDY = ("resourceType", "id", "meta", "status", "subject")
_NEEDED_OF_RESULT = ("resourceType", "id", "meta", "identifier", "status", "code", "category", "subject")
_SIGNED = frozenset({"final", "amended", "corrected", "appended"})
_UNSIGNED = frozenset({"preliminary", "registered", "partial"})


@dataclass(frozen=True, slots=True)
class Mark:
    """How resources of one synchronisation are known."""

    name: str

    @property
    def source(self) -> str:
        """``meta.source`` of all that it writes."""
        return f"{SYNC_TAGS}:{self.name}"

    def is_on(self, resource: Mapping[str, Any]) -> bool:
        """Whether we made it, by either mark."""
        return self.is_tagged_on(resource) or _source(as_dict(resource.get("meta"))) == self.source

    def is_tagged_on(self, resource: Mapping[str, Any]) -> bool:
        """Whether it has the tag, by which alone it can be searched for."""
        return has_tag(resource, {"system": SYNC_TAGS, "code": self.name})

    def put_on(self, resource: Mapping[str, Any], *, study: StudyInstanceUID | None = None) -> dict[str, Any]:
        """The resource with both marks, and for a result that of its study; other tags of it stay."""
        meta = as_dict(resource.get("meta"))
        tags = [{"system": SYNC_TAGS, "code": self.name}]
        if study is not None:
            tags.append(study_tag(study))
        others = [one for one in dicts(meta.get("tag")) if one not in tags]
        return {**resource, "meta": {**meta, "source": self.source, "tag": [*others, *tags]}}


def study_tag(uid: StudyInstanceUID) -> dict[str, str]:
    """By which the results of a study are found, in every release and on every server."""
    return {"system": DICOM_UID_SYSTEM, "code": to_urn(uid)}


def tagged_studies(resource: Mapping[str, Any]) -> frozenset[StudyInstanceUID]:
    """The studies whose result it is, by ``study_tag``."""
    tags = (one for one in dicts(as_dict(resource.get("meta")).get("tag")) if one.get("system") == DICOM_UID_SYSTEM)
    return frozenset(StudyInstanceUID(uid) for one in tags if (uid := from_urn(text(one.get("code")) or "")))


def has_tag(resource: Mapping[str, Any], tag: Mapping[str, str]) -> bool:
    """Whether it carries this tag."""
    tags = dicts(as_dict(resource.get("meta")).get("tag"))
    return any(one.get("system") == tag["system"] and one.get("code") == tag["code"] for one in tags)


def has_other_maker(resource: Mapping[str, Any], mark: Mark) -> bool:
    """Whether it says that somebody else made it. Servers (HAPI) write a request's id alone as ``#id`` where nobody said."""
    meta = as_dict(resource.get("meta"))
    is_tagged = any(one.get("system") == SYNC_TAGS and one.get("code") != mark.name for one in dicts(meta.get("tag")))
    return is_tagged or _source(meta) not in ("", mark.source)


def maker_of(resource: Mapping[str, Any]) -> str | None:
    """The name of the synchronisation that says it made it; None where none does."""
    meta = as_dict(resource.get("meta"))
    named = (text(one.get("code")) for one in dicts(meta.get("tag")) if one.get("system") == SYNC_TAGS)
    own, _, name = _source(meta).partition(f"{SYNC_TAGS}:")
    return next(filter(None, named), None) or (name if name and not own else None)


def study_uids(resource: Mapping[str, Any]) -> frozenset[str]:
    """The Study Instance UIDs that an ImagingStudy claims to be."""
    stated = (text(one.get("value")) for one in dicts(resource.get("identifier")) if one.get("system") == DICOM_UID_SYSTEM)
    return frozenset(uid for value in stated if value and (uid := from_urn(value)))


def subject_id(resource: Mapping[str, Any]) -> str | None:
    """Logical id of the Patient in whose chart it stands; None where that is not said by a reference."""
    reference = text(as_dict(resource.get("subject")).get("reference")) or ""
    kind, _, logical_id = reference.partition("/_history/")[0].rpartition("/")
    return logical_id or None if kind == "Patient" or kind.endswith("/Patient") else None


def is_withdrawn(resource: Mapping[str, Any]) -> bool:
    """Whether nobody is to look at this ImagingStudy."""
    return resource.get("status") in WITHDRAWN


def differs(wanted: Mapping[str, Any], stands: Mapping[str, Any]) -> bool:
    """Whether writing would change what stands; marks are not compared, since not every server keeps them."""
    return _said(wanted) != _said(stands)


def only_signed_since(wanted: Mapping[str, Any], stands: Mapping[str, Any]) -> bool:
    """Whether a result differs only in what a person did: signed it, or rejected it.

    A result that we took back ourselves has nothing left but what FHIR demands, so it cannot be taken for a rejected one.
    """
    state = stands.get("status")
    if wanted.get("status") in (None, IN_ERROR) or state not in {IN_ERROR, *_SIGNED}:
        return False
    if state in _SIGNED and wanted.get("status") not in _UNSIGNED:
        return False
    return not differs({**wanted, "status": state}, stands)


def with_what_others_said(wanted: Mapping[str, Any], stands: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be written over an ImagingStudy: ours, and what others added in elements that no archive knows.

    Not where it changes the chart: a visit, a note or a reader of the former patient is not the new one's.
    """
    labels = {name: value for name in ("security", "profile") if (value := as_dict(stands.get("meta")).get(name))}
    meta = {**labels, **as_dict(wanted.get("meta"))}
    if subject_id(wanted) != subject_id(stands):
        return {**wanted, "meta": meta}
    kept = {name: value for name, value in stands.items() if name not in (*_OWNED, "extension")}
    extensions = [one for one in dicts(stands.get("extension")) if one.get("url") != AVAILABILITY]
    extensions += dicts(wanted.get("extension"))
    return {**kept, **wanted, **({"extension": extensions} if extensions else {}), "meta": meta}


def with_others_labels(wanted: Mapping[str, Any], stands: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the security labels that others put on what stands; whether a program asserts it is ours to say."""
    meta = as_dict(wanted.get("meta"))
    ours = dicts(meta.get("security"))
    stated = dicts(as_dict(stands.get("meta")).get("security"))
    others = [one for one in stated if one.get("code") != AI_ASSERTED.code and one not in ours]
    return {**wanted, "meta": {**meta, "security": [*ours, *others]}} if others else dict(wanted)


def bare_study(resource: Mapping[str, Any]) -> dict[str, Any]:
    """An ImagingStudy without anything that tells of a patient in whose chart it must not stand."""
    uids = [one for one in dicts(resource.get("identifier")) if one.get("system") == DICOM_UID_SYSTEM]
    kept = {name: resource[name] for name in _NEEDED_OF_STUDY if name in resource}
    return {**kept, "identifier": uids}


def withdrawn_result(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A result taken back: only what FHIR demands of it is left."""
    kept = {name: resource[name] for name in _NEEDED_OF_RESULT if name in resource}
    return {**without_server_marks(kept), "status": IN_ERROR}


def _said(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in comparable(resource).items() if name != "meta"}


def _source(meta: Mapping[str, Any]) -> str:
    return (text(meta.get("source")) or "").partition("#")[0]
