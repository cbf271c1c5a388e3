"""Every resource that we write, judged by HAPI's validator with HL7's own definitions of R4, R4B and R5: no error.

LOINC, SNOMED CT, RadLex and DICOM codes are not looked up by it, since nobody gives their tables away with it: what we write of
those is checked against our own (tests/code_literals.py). UCUM and HL7's own codes are.
Spec: clinical rules T3; FHIR R4 Validation; IHE ITI BALP, whose profiles are judged by tests/balp_profiles.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from fhir_imaging.fhir_versions import FhirVersion, Status
from tests.balp_profiles import PATIENT_QUERY, PATIENT_READ, TOKEN_MINIMAL, faults
from tests.interop.emitted_resources import KINDS, Emitted, emitted
from tests.interop.fhir_validator import TIMEOUT_S, Issue, needed, validated

pytestmark = [pytest.mark.interop, pytest.mark.timeout(TIMEOUT_S + 100)]
Json = dict[str, Any]
Kind = tuple[FhirVersion, str]
EVERY_KIND = tuple((version, kind) for version, kinds in KINDS.items() for kind in sorted(kinds))
NOT_HERE = frozenset(
    f"Invalid profile. Failed to retrieve profile with url={one}" for one in (PATIENT_READ, PATIENT_QUERY, TOKEN_MINIMAL)
)
"""Errors that are none: IHE's profiles are in no jar, so what claims one is judged by ``tests.balp_profiles`` in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """A warning that we know and leave: ``words`` are of its text."""

    rule: str
    words: str
    why: str


WARNINGS = (
    Stays(rule="http://hl7.org/fhir/StructureDefinition/DomainResource#dom-6", words="narrative", why="read by programs alone"),
    Stays(rule="Validation_VAL_Profile_Unknown", words="profiles.ihe.net", why="IHE's profiles are in no jar; see NOT_HERE"),
    Stays(rule="Terminology_TX_ValueSet_NotFound", words="dicom.nema.org", why="DICOM's tables are in no jar"),
    Stays(rule="Terminology_TX_ValueSet_NotFound", words="RadLex_Playbook", why="RadLex is in no jar"),
    Stays(rule="Terminology_TX_NoValid_13", words="#AIAST", why="newer than the code system in the jars"),
    Stays(rule="Terminology_TX_NoValid_13", words="#XrequestId", why="asked for by BALP"),
    Stays(rule="Terminology_TX_NoValid_2_CC", words="#IRCP", why="asked for by BALP; extensible"),
    Stays(
        rule="Terminology_TX_NoValid_2_CC", words="#112040", why="HL7 has no identifier type for a tracked lesion; extensible"
    ),
    Stays(rule="Terminology_TX_NoValid_2_CC", words="#112039", why="as for #112040"),
    Stays(
        rule="All_observations_should_have_a_performer", words="performer", why="what observes is a program: Observation.device"
    ),
    Stays(
        rule="All_observations_should_have_an_effectiveDateTime_or_an_effectivePeriod",
        words="effective",
        why="a result that is withdrawn keeps no more than it must",
    ),
)


# Damage that the validator has to see

CODED: Mapping[str, tuple[str, ...]] = {
    "AuditEvent": ("outcome",),
    "Bundle": ("type",),
    "CapabilityStatement": ("status",),
    "Device": ("status",),
    "DiagnosticReport": ("status",),
    "Endpoint": ("status",),
    "ImagingStudy": ("status",),
    "Observation": ("status",),
    "OperationOutcome": ("issue", "severity"),
    "Patient": ("gender",),
    "ServiceRequest": ("status",),
}
"""An element of each kind whose codes FHIR fixes."""
REQUIRED: Mapping[str, str] = {
    "AuditEvent": "agent",
    "Bundle": "type",
    "CapabilityStatement": "kind",
    "DiagnosticReport": "code",
    "Endpoint": "connectionType",
    "ImagingStudy": "subject",
    "Observation": "code",
    "OperationOutcome": "issue",
    "ServiceRequest": "subject",
}
"""An element that each has to have; Device and Patient have none."""


def _no_such_code(resource: Json) -> str:
    *where, name = CODED[resource["resourceType"]]
    for step in where:
        resource = resource[step][0]
    resource[name] = "no-such-code"
    return name


def _unknown_element(resource: Json) -> str:
    resource["noSuchElement"] = True
    return "noSuchElement"


def _missing_element(resource: Json) -> str:
    name = REQUIRED[resource["resourceType"]]
    del resource[name]
    return name


def _no_such_code_inside(resource: Json) -> str:
    return _no_such_code(resource["entry"][0]["resource"])


DAMAGES: Mapping[str, Callable[[Json], str]] = {
    "no such code": _no_such_code,
    "unknown element": _unknown_element,
    "missing element": _missing_element,
    "no such code inside": _no_such_code_inside,
}
"""Each spoils a resource and gives the name of the element that the validator has to name."""


def _damages(kind: str) -> Iterator[str]:
    yield from ("no such code", "unknown element")
    if kind in REQUIRED:
        yield "missing element"
    if kind == "Bundle":
        yield "no such code inside"


EVERY_DAMAGE = tuple((*one, damage) for one in EVERY_KIND for damage in _damages(one[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was written with what is said of it, and what is said of each damaged one with the element that was damaged."""

    written: tuple[tuple[Emitted, tuple[Issue, ...]], ...]
    damaged: Mapping[tuple[FhirVersion, str, str], tuple[str, tuple[Issue, ...]]]

    def of(self, kind: Kind) -> list[tuple[Emitted, tuple[Issue, ...]]]:
        return [(one, issues) for one, issues in self.written if (one.version, one.kind) == kind]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Everything in one run of the validator: reading HL7's definitions is most of its work."""
    needed()
    directory = tmp_path_factory.mktemp("emitted")
    written = emitted(directory)
    damaged = {(version, kind, damage): _damaged(written, version, kind, damage) for version, kind, damage in EVERY_DAMAGE}
    asked = [(one.version, one.resource) for one in written]
    asked += [(case[0], resource) for case, (_, resource) in damaged.items()]
    said = validated(asked, directory)
    of_damaged = zip(damaged.items(), said[len(written) :], strict=True)
    return Judged(
        written=tuple(zip(written, said[: len(written)], strict=True)),
        damaged={case: (element, issues) for (case, (element, _)), issues in of_damaged},
    )


def _damaged(written: list[Emitted], version: FhirVersion, kind: str, damage: str) -> tuple[str, Json]:
    whole = next(one.resource for one in written if (one.version, one.kind) == (version, kind))
    resource = copy.deepcopy(whole)
    return DAMAGES[damage](resource), resource


# What is said


def _stated(judged: Judged, kind: Kind, element: str) -> set[str]:
    return {str(one.resource.get(element)) for one, _ in judged.of(kind)}


def test_every_use_and_state_is_among_what_is_judged(judged: Judged) -> None:
    r4, r4b, r5 = FhirVersion.R4, FhirVersion.R4B, FhirVersion.R5
    searches = [one.resource for one, _ in judged.of((r4, "Bundle")) if one.resource["type"] == "searchset"]

    assert _stated(judged, (r4, "Bundle"), "type") == {"collection", "searchset", "transaction"}
    for version in (r4, r4b):
        assert _stated(judged, (version, "ImagingStudy"), "status") == set(Status)
        assert _stated(judged, (version, "Observation"), "status") == {"preliminary", "final", "entered-in-error"}
    assert _stated(judged, (r5, "ImagingStudy"), "status") >= set(Status)
    assert {entry["search"]["mode"] for one in searches for entry in one.get("entry", [])} == {"match", "include", "outcome"}
    assert _stated(judged, (r4, "ServiceRequest"), "id") == {"None", "new"}, "orders that are made, and changed"
    assert _stated(judged, (r4, "AuditEvent"), "outcome") == {"0", "4", "8"}


@pytest.mark.parametrize("kind", EVERY_KIND, ids=[" ".join(one) for one in EVERY_KIND])
def test_nothing_that_we_write_has_an_error(judged: Judged, kind: Kind) -> None:
    found = judged.of(kind)

    assert found, "nothing of this kind was written"
    wrong = [
        f"{one.origin}: {issue}" for one, issues in found for issue in issues if issue.is_error and issue.text not in NOT_HERE
    ]
    assert wrong == []


def test_what_claims_a_profile_of_ihe_holds_it(judged: Judged) -> None:
    claiming = [one.resource for one, issues in judged.written if any(issue.text in NOT_HERE for issue in issues)]

    assert claiming == [one.resource for one, _ in judged.written if "profile" in one.resource.get("meta", {})]
    assert {one for event in claiming for one in event["meta"]["profile"]} == {PATIENT_READ, PATIENT_QUERY, TOKEN_MINIMAL}
    assert [fault for event in claiming for fault in faults(event)] == []


@pytest.mark.parametrize(("version", "kind", "damage"), EVERY_DAMAGE, ids=[" ".join(one) for one in EVERY_DAMAGE])
def test_the_validator_sees_what_is_wrong_of_each_kind(judged: Judged, version: FhirVersion, kind: str, damage: str) -> None:
    element, issues = judged.damaged[version, kind, damage]

    assert [one for one in issues if one.is_error and element in f"{one.at} {one.text}"], [str(one) for one in issues]


def test_no_warning_is_there_that_nobody_has_looked_at(judged: Judged) -> None:
    warnings = [(one, issue) for one, issues in judged.written for issue in issues if issue.severity == "warning"]

    unknown = {f"{one.version} {one.origin}: {issue}" for one, issue in warnings if not any(map(_is(issue), WARNINGS))}
    assert sorted(unknown) == []
    assert [stays for stays in WARNINGS if not any(_is(issue)(stays) for _, issue in warnings)] == [], "no longer said"


def _is(issue: Issue) -> Callable[[Stays], bool]:
    return lambda stays: issue.rule == stays.rule and stays.words in issue.text
