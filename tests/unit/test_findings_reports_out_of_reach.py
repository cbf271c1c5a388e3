"""Reports that no rule can reach are not read, and leaving them unread changes no guidance and no advice on an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_findings import codes
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.history import read_report
from imaging_findings.mentions import may_be_told_of, mentions_of
from imaging_findings.own_resources import read_each
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NOW, a_lung_rads, a_patient, a_report, a_study
from tests.examples import examples

PACKS = bundled_packs()
_UNLINKED = {name: member for name, member in a_report("").items() if name not in ("imagingStudy", "result", "conclusion")}
_REFERENCES = st.lists(
    st.sampled_from(["ImagingStudy/study", "ImagingStudy/else", "Observation/finding", "Observation/else", " ", "study"]).map(
        lambda reference: {"reference": reference}
    ),
    max_size=2,
)
_ODD: st.SearchStrategy[object] = st.sampled_from([None, "", "ImagingStudy/study", 0, {}, [], ["x"], [{}]])
_WORDS = st.lists(
    st.sampled_from(
        [
            "No fracture.",
            "Follow-up CT in 6 months.",
            "BI-RADS 4.",
            "LR-5.",
            "TR4.",
            "Bosniak IIF.",
            "Lung-RADS 4A.",
            "contrast 3",
        ]
    ),
    max_size=3,
).map(" ".join)
_CONCLUSION_CODES = st.sampled_from(
    [
        [],
        [{"coding": [{"system": codes.SNOMED, "code": "59282003"}]}],
        [{"coding": [{"system": codes.RADLEX, "code": "RID49480"}, {"system": codes.SNOMED, "code": "36118008"}]}],
    ]
)
_REPORTS = st.fixed_dictionaries(
    {"status": st.sampled_from(["final", "amended", "preliminary", "entered-in-error"])},
    optional={
        "imagingStudy": st.one_of(_REFERENCES, _ODD),
        "result": st.one_of(_REFERENCES, _ODD),
        "conclusion": st.one_of(_WORDS, _ODD),
        "conclusionCode": _CONCLUSION_CODES,
        "issued": st.sampled_from(["2026-03-01T10:00:00Z", "2026-03-01", "2026"]),
    },
)


def _numbered(reports: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    return [_UNLINKED | members | {"id": f"r-{number}"} for number, members in enumerate(reports)]


@given(st.lists(_REPORTS, max_size=5))
@settings(max_examples=examples(200))
def test_reading_every_report_would_say_the_same(drawn: list[dict[str, Any]]) -> None:
    sent = _numbered(drawn)
    resources: dict[str, list[Mapping[str, Any]]] = {
        "patient": [a_patient()],
        "findings": [a_lung_rads("4A")],
        "studies": [a_study()],
        "reports": sent,
    }

    facts = read_facts(resources, "p")
    every = replace(facts, reports=tuple(read_each(sent, read_report, [])))

    assert set(facts.reports) <= set(every.reports)
    assert judge(facts, PACKS, NOW) == judge(every, PACKS, NOW)
    assert all(facts.reports_of(one) == every.reports_of(one) for one in facts.findings)


@given(_REPORTS)
def test_what_is_not_read_names_nothing_that_rules_look_up(members: dict[str, Any]) -> None:
    (report,) = _numbered([members])
    read = read_report(report)
    if may_be_told_of(report) or read is None:
        return

    assert not read.studies
    assert not read.results
    assert mentions_of(read) == ()
