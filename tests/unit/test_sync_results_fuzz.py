"""Mangled structured reports: no exception, no result without a finding, nothing for another patient, always valid FHIR."""

from __future__ import annotations

import copy
import json
from typing import Any

from fhir.resources import get_fhir_model_class
from fhirclient.models import fhirelementfactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_imaging.fhir_versions import FhirVersion
from pacs_sync.report_document import Document
from pacs_sync.structured_report import read_report
from tests.examples import examples
from tests.sr_actors import (
    CENTIMETRE,
    DIAMETER,
    LONG_AXIS,
    MEAN,
    AReport,
    Json,
    a_nodule,
    lung_rads,
    mapped,
    size,
    unregioned,
)

WHOLE = AReport(
    groups=[
        a_nodule(lung_rads(), measurements=[size(DIAMETER, 9.0, derivation=MEAN)]),
        unregioned(size(LONG_AXIS, 0.9, CENTIMETRE)),
    ],
    person="Reader^Ruth",
    verified_by="Reader^Ruth^^Dr",
).json()
FOLLOWER = AReport(number=2, replaces=[AReport().dataset()]).json()
# Text that archives really hold: control characters, NULs, blanks, half surrogates of broken character sets.
WORDS = st.one_of(
    st.sampled_from(["", " ", "\0", "1.2.3", "SCT", "DCM", "mm", "1E400", "NaN", "-0", "9" * 400, "a\nb", "﻿"]),
    st.text(max_size=12),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)), max_leaves=6
)
FUZZ = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, member in members for found in places(member, (*path, name)))]


@st.composite
def mangled(draw: st.DrawFn, whole: Json) -> Any:
    """The report with some of its parts replaced, left out, or put somewhere else."""
    report = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([one for one in places(report) if one]))
        holder: Any = report
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "drop", "copy"])):
            case "replace":
                holder[path[-1]] = draw(VALUES)
            case "drop":
                del holder[path[-1]]
            case "copy":
                other: Any = copy.deepcopy(report)
                for step in draw(st.sampled_from(places(report))):
                    other = other[step]
                holder[path[-1]] = other
    return report


def check(results: Any, version: FhirVersion) -> None:
    for one in results.resources:
        text = json.dumps(one, allow_nan=False)
        if version is FhirVersion.R4:
            fhirelementfactory.FHIRElementFactory.instantiate(one["resourceType"], one)
        else:
            get_fhir_model_class(one["resourceType"]).model_validate_json(text)
        if one["resourceType"] == "Observation":
            stated = one["valueCodeableConcept"] if "valueCodeableConcept" in one else one["code"]
            assert stated.get("coding") or stated.get("text")
        if one["resourceType"] == "DiagnosticReport":
            assert one["result"]
        if one.get("subject"):
            assert one["subject"] == {"reference": "Patient/p"}


@given(report=mangled(WHOLE), follower=mangled(FOLLOWER), version=st.sampled_from([FhirVersion.R4, FhirVersion.R5]))
@FUZZ
def test_a_mangled_report_never_raises_and_gives_only_valid_results(report: Any, follower: Any, version: FhirVersion) -> None:
    check(mapped(report, version=version), version)
    check(mapped(report, follower, version=version), version)


@given(dataset=st.dictionaries(st.sampled_from(sorted(WHOLE)), VALUES, max_size=12))
@FUZZ
def test_any_json_in_place_of_a_report_gives_nothing(dataset: Any) -> None:
    read = read_report(dataset)

    assert not isinstance(read, Document) or read.groups


@given(report=mangled(WHOLE))
@FUZZ
def test_a_result_is_final_only_where_a_person_signed_and_ai_is_never_so_by_itself(report: Any) -> None:
    read = read_report(report)
    for one in mapped(report).resources:
        if one.get("status") == "final":
            assert isinstance(read, Document)
            assert read.is_verified
            assert read.is_complete
            assert read.signatures
            assert one.get("performer") or one.get("resultsInterpreter")
