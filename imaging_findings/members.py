"""What the members of a group Observation (``hasMember``) state, read as the group's own components.

HL7 dicom-sr writes a nodule as a group (DCM 121071 *Finding*, the nodule as its value) with size, type and risk in Observations
of their own. Only what certainly is a measurement of the same nodule counts: an Observation of the same patient, of the same
study and day, that stands behind its words as firmly as the group does, and that no other member contradicts. Members of
members are not followed, so a circle of groups ends by itself. Spec: clinical rules, sections 3.5 and 6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.tolerant import dicts, text
from imaging_findings import codes
from imaging_findings.denial import is_denied
from imaging_findings.findings import Author
from imaging_findings.observations import author_of, reference_of, relative_reference, study_reference_of
from imaging_findings.stated_days import day_of

Resource = Mapping[str, Any]

_GROUP = codes.concept(codes.DCM, "121071")
_NODULES = (codes.SOLITARY_NODULE, codes.NODULE_FINDING)
MEASURED = (
    codes.DIAMETER,
    codes.LONG_AXIS,
    codes.SHORT_AXIS,
    codes.NUMBER_OF_LESIONS,
    codes.ATTENUATION,
    codes.SOLID_PART_DIAMETER,
    codes.MALIGNANCY_RISK,
    codes.CHANGE,
    codes.PREVIOUS_DIAMETER,
    codes.NODULE_FEATURE,
)
"""What a member may say of its group's nodule; the ``findings`` query asks for the same codes."""
_SEVERAL = (codes.NODULE_FEATURE,)
"""What may truly be stated more than once."""


def with_members(observations: Sequence[Resource], bases: Collection[str] = ()) -> list[Resource]:
    """The patient's Observations, groups with what their members measured; absolute references count into ``bases`` only."""
    if not any(one.get("hasMember") for one in observations):
        return list(observations)
    known = {reference_of(one, "Observation"): one for one in observations}
    known.pop("Observation", None)
    return [_as_one(one, known, bases) if one.get("hasMember") else one for one in observations]


def _as_one(group: Resource, known: Mapping[str, Resource], bases: Collection[str]) -> Resource:
    members = [one for one in _members(group, known, bases) if _is_of(one, group)]
    of_nodule = codes.find(group.get("valueCodeableConcept"), *_NODULES) is not None and not is_denied(group)
    if (
        of_nodule
        and codes.find(group.get("code"), _GROUP)
        and not any(codes.find(one.get("code"), *_NODULES) for one in members)
    ):
        # The nodule is what the group is about; from here on it is read as one that stands in ``code``.
        group = {**group, "code": group["valueCodeableConcept"]}
        del group["valueCodeableConcept"]
    told = list(_told(group, members))
    return {**group, "component": [*dicts(group.get("component")), *told]} if told else group


def _members(group: Resource, known: Mapping[str, Resource], bases: Collection[str]) -> Iterator[Resource]:
    """The members that came; the same logical id on another server is another resource."""
    own = reference_of(group, "Observation")
    local = [f"{base.rstrip('/')}/" for base in bases]
    for reference in dict.fromkeys(text(one.get("reference")) or "" for one in dicts(group.get("hasMember"))):
        is_local = "://" not in reference or any(reference.startswith(base) for base in local)
        name = relative_reference(reference, "Observation") if is_local else None
        if name and name != own and name in known:
            yield known[name]


def _is_of(member: Resource, group: Resource) -> bool:
    """Whether a member speaks of the same images, and as firmly as its group: an unsigned one adds nothing to a signed one."""
    author, firm = author_of(member), author_of(group)
    if author is None or firm is None or (firm is Author.PERSON and author is not Author.PERSON):
        return False
    studies = study_reference_of(member), study_reference_of(group)
    days = day_of(text(member.get("effectiveDateTime"))), day_of(text(group.get("effectiveDateTime")))
    return all(None in pair or pair[0] == pair[1] for pair in (studies, days))


def _told(group: Resource, members: Iterable[Resource]) -> Iterator[Mapping[str, Any]]:
    """Components out of the members; what the group itself states comes first, and what members dispute is left out."""
    stated = {key for one in dicts(group.get("component")) for key in codes.keys_of(one.get("code"))}
    by_code: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for member in members:
        code = codes.find(member.get("code"), *MEASURED)
        if code is not None and not member.get("dataAbsentReason"):
            values = {name: value for name, value in member.items() if name.startswith("value")}
            by_code.setdefault((code.system, code.code), []).append({"code": member["code"], **values})
    for key, found in by_code.items():
        agreed = all({**one, "code": None} == {**found[0], "code": None} for one in found)
        if any((one.system, one.code) == key for one in _SEVERAL):
            yield from found
        elif agreed and key not in stated:
            yield found[0]
