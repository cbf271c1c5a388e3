"""T9 and clinical rules 3.5: categories in words are quoted, and negation, history, templates and ranges do not trigger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.wording import detail_of, summary_of
from imaging_findings.advice import Judgement
from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.history import ReportFacts
from imaging_findings.mentions import PATTERNS, mentions_among, mentions_of, systems_named
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from tests.cds_actors import DCM, NOW, a_lung_rads, a_patient, a_report, a_study

Resource = Mapping[str, Any]
MAMMOGRAM = a_study(modality=[{"system": DCM, "code": "MG"}], series=[])


def a_report_saying(words: str) -> ReportFacts:
    return ReportFacts(
        reference="DiagnosticReport/r",
        day=None,
        signed_by=None,
        conclusion=words,
        studies=frozenset(),
        results=frozenset(),
    )


def stated(words: str) -> list[str]:
    return [mention.title for mention in mentions_of(a_report_saying(words))]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Lung-RADS 4A.", "Lung-RADS 4A"),
        ("Lung RADS: 4A", "Lung-RADS 4A"),
        ("LungRADS category 4A(S)", "Lung-RADS 4AS"),
        ("Lung-RADS v2022 category 3", "Lung-RADS 3"),
        ("Impression: Lung-RADS 2022: 4B.", "Lung-RADS 4B"),
        ("BI-RADS 3", "BI-RADS 3"),
        ("BIRADS Category: 4B", "BI-RADS 4B"),
        ("BI-RADS 5th edition: 0", "BI-RADS 0"),
        ("A 12 mm observation, LR-3.", "LI-RADS 3"),
        ("LI-RADS LR-5.", "LI-RADS 5"),
        ("Right lobe nodule, TR4.", "TI-RADS 4"),
        ("ACR TI-RADS 5", "TI-RADS 5"),
        ("PI-RADS 4", "PI-RADS 4"),
        ("PI-RADS v2.1 score 4", "PI-RADS 4"),
        ("O-RADS 3", "O-RADS 3"),
        ("Cyst of the left kidney, Bosniak IIF.", "Bosniak IIF"),
        ("No axillary adenopathy, BI-RADS 4.", "BI-RADS 4"),
        ("Compared with the prior, stable mass, BI-RADS 3.", "BI-RADS 3"),
        ("Mass 5 cm from the nipple, BI-RADS 4A", "BI-RADS 4A"),
        ("Right breast BI-RADS 2, left breast BI-RADS 4.", "BI-RADS 2 and 4"),
    ],
)
def test_the_forms_of_the_wild_are_found(words: str, expected: str) -> None:
    assert stated(words) == [expected]


@pytest.mark.parametrize(
    "words",
    [
        "Prior Lung-RADS 3 nodule is gone.",
        "Previously BI-RADS 3.",
        "Previously, BI-RADS 3.",
        "History of BI-RADS 4 lesion.",
        "This is not BI-RADS 4.",
        "No LR-5 observation.",
        "No evidence of a Bosniak III lesion.",
        "Was Lung-RADS 4A in 2025.",
        "If growing, Lung-RADS 4A would apply.",
        "BI-RADS 1-3 are benign.",
        "BI-RADS 3 or 4.",
        "LR-3/LR-4.",
        "Bosniak II to III.",
        "Lung-RADS 1: negative\nLung-RADS 2: benign\nLung-RADS 3: probably benign\nLung-RADS 4A: suspicious",
        "BI-RADS 3, BI-RADS 4.",
        "Compared with BI-RADS 3 of last year.",
        "Lung-RADS was explained to the patient.",
        "BI-RADS density 3 of 20 patients.",
        "A 3 mm nodule.",
        "",
    ],
)
def test_t9_what_is_denied_past_conditional_or_listed_is_not_found(words: str) -> None:
    assert stated(words) == []


def test_the_impression_at_the_end_counts() -> None:
    assert stated("Lung-RADS 3 nodule in the right lobe.\nImpression: Lung-RADS 4A.") == ["Lung-RADS 4A"]


def facts_with(conclusion: str, *findings: Resource, studies: list[Resource] | None = None, **members: Any) -> Facts:
    whole: dict[str, list[Resource]] = {key: [] for key in ("orders", "conditions", "smoking", "communications")}
    found = {"findings": list(findings), "studies": studies or [MAMMOGRAM], "reports": [a_report(conclusion, **members)]}
    return read_facts(whole | {"patient": [a_patient()]} | found, "p")


def judged(facts: Facts) -> Judgement:
    return judge(facts, bundled_packs(), NOW)


def test_patient_f_a_text_only_bi_rads_3_is_quoted_and_nothing_is_computed() -> None:
    facts = facts_with("Probably benign mass, BI-RADS 3. Recommend follow-up in 6 months.")
    (guidance,) = judged(facts).guidance

    assert summary_of(guidance).startswith("BI-RADS 3 (MG 2026-10-01): stated in the report's words only")
    assert guidance.urgency is Urgency.INFO
    assert (guidance.next_step, guidance.order, guidance.statements) == (None, None, ())
    assert "“Probably benign mass, BI-RADS 3.”" in detail_of(guidance, facts)
    assert "“Recommend follow-up in 6 months.”" in detail_of(guidance, facts)


def test_words_beside_a_coded_category_are_no_second_card() -> None:
    judgement = judged(facts_with("Lung-RADS 3.", a_lung_rads("3"), studies=[a_study()]))

    assert [one.rule_id for one in judgement.guidance] == ["lung-rads-2022/3"]


def test_routine_and_old_words_make_no_card() -> None:
    routine = judged(facts_with("BI-RADS 2."))
    old = judged(facts_with("BI-RADS 3.", studies=[a_study(started="2024-10-01")]))

    assert routine.guidance == old.guidance == ()
    assert old.suppressed[0].reason == "the report is older than 24 months"


def test_unsigned_reports_are_not_quoted() -> None:
    assert judged(facts_with("BI-RADS 3.", status="preliminary")).guidance == ()


# The names as reports write them, and odd cousins: patterns take ſ for s, and both the dotless and the dotted capital for i.
_STEMS = ("Lung", "lung", "BI", "bi", "bı", "Lİ", "LI", "TI", "ACR TI", "PI", "O", "o", "xo", "")
_NAMES = st.one_of(
    st.tuples(st.sampled_from(_STEMS), st.sampled_from(["-", " ", "", "\n"]), st.sampled_from(["RADS", "rads", "RADſ"])).map(
        "".join
    ),
    st.sampled_from(["LR-", "lr-", "LI-RADS LR-", "TR", "tr-", "TR3", "tr5 ", "Bosniak", "BOſNIAK", "contrast "]),
)
_PHRASES = st.tuples(
    st.sampled_from(["", "No ", "Prior ", "Right ", "If larger, ", "İ ", "ß"]),
    _NAMES,
    st.sampled_from(["", " ", ": ", " category ", " v2022 ", " US ", "-"]),
    st.sampled_from(["0", "1", "2", "3", "4A", "4", "5", "6", "II", "IIF", "IV", "NC", "", "3-4"]),
    st.sampled_from(["", ". ", ", left ", "\n", " mm", "; ", " or 4"]),
).map("".join)


@given(st.one_of(_PHRASES, st.lists(_PHRASES, max_size=3).map("".join), st.tuples(st.text(max_size=9), _PHRASES).map(" ".join)))
@settings(max_examples=500)
def test_looking_for_plain_pieces_first_misses_no_pattern_and_no_mention(words: str) -> None:
    report = a_report_saying(words)

    assert {system for system, pattern in PATTERNS.items() if pattern.search(words)} <= set(systems_named(words))
    assert mentions_of(report) == mentions_among(report, PATTERNS)
