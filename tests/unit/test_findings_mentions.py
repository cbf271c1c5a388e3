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
from imaging_findings.mentions import NAMES, PATTERNS, mentions_among, mentions_of, systems_named
from imaging_findings.packs import bundled_packs
from imaging_findings.quotes import MAX_QUOTE
from imaging_findings.rules import TablePack, Urgency
from tests.cds_actors import DCM, LOINC, NOW, a_lung_rads, a_patient, a_report, a_study, concept
from tests.examples import examples
from tests.followed_actors import imaged

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
        ("Upgraded to BI-RADS 4B.", "BI-RADS 4B"),
        ("Lung-RADS category upgraded to 4A.", "Lung-RADS 4A"),
        ("Upgraded from BI-RADS 3 to BI-RADS 4.", "BI-RADS 4"),
        ("The mass was assessed as BI-RADS 5.", "BI-RADS 5"),
        ("Nodule classified as TR4.", "TI-RADS 4"),
        ("Previously BI-RADS 3, now BI-RADS 4", "BI-RADS 4"),
        ("Was BI-RADS 3 and is now BI-RADS 4.", "BI-RADS 4"),
        ("BI-RADS 3 (previously BI-RADS 4)", "BI-RADS 3"),
        ("BI-RADS 4 (prior BI-RADS 3).", "BI-RADS 4"),
        ("BI-RADS 4, previously BI-RADS 3.", "BI-RADS 4"),
        ("Mass (unchanged from prior) BI-RADS 4.", "BI-RADS 4"),
        ("Nodule 1 TR3, nodule 2 TR4.", "TI-RADS 3 and 4"),
        ("Segment 8 LR-5, segment 6 LR-3, segment 2 LR-4.", "LI-RADS 5 and 3 and 4"),
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
        "BI-RADS 1\nBI-RADS 2\nBI-RADS 3",
        "- BI-RADS 4: suspicious\n- BI-RADS 5: malignant\n- BI-RADS 6: known",
        "BI-RADS 3 = probably benign, BI-RADS 4 = suspicious, BI-RADS 5 = highly suggestive of malignancy.",
        "Right or left: BI-RADS 2 benign, BI-RADS 3 probably benign, BI-RADS 4 suspicious.",
        "Not upgraded to BI-RADS 4.",
        "Prior assessment: BI-RADS 4.",
        "HISTORY: BI-RADS 4",
        "Comparison: mammogram of 2024-01-01, BI-RADS 4.",
        "BI-RADS 3 versus 4A.",
        "The mass cannot be assessed as BI-RADS 4.",
        "It isn't BI-RADS 4.",
        "Previously assessed as BI-RADS 4.",
        "Was assessed as BI-RADS 4 in 2024.",
        "Had been assessed as BI-RADS 4.",
        "BI-RADS 4 previously.",
        "If it grows, now BI-RADS 4.",
        "Ranges from TR3 to TR4.",
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


# A radiologist's review, item 18: the worse side or lesion was dropped.
@pytest.mark.parametrize(
    ("words", "worst", "sentence", "others"),
    [
        (
            "Right breast: BI-RADS 4. Left breast: BI-RADS 2.",
            "BI-RADS 4",
            "Right breast: BI-RADS 4.",
            ["BI-RADS 2"],
        ),
        (
            "Left breast: BI-RADS 2. Right breast: BI-RADS 4.",
            "BI-RADS 4",
            "Right breast: BI-RADS 4.",
            ["BI-RADS 2"],
        ),
        (
            "Nodule 1: TR3. Nodule 2: TR5, 14 mm. Nodule 3: TR4.",
            "TI-RADS 5",
            "Nodule 2: TR5, 14 mm.",
            ["TI-RADS 4", "TI-RADS 3"],
        ),
        (
            "Segment 8: LR-5. Segment 6: LR-3. Segment 2: LR-4.",
            "LI-RADS 5",
            "Segment 8: LR-5.",
            ["LI-RADS 4", "LI-RADS 3"],
        ),
        ("LR-4 in segment 2. LR-TIV in segment 4.", "LI-RADS TIV", "LR-TIV in segment 4.", ["LI-RADS 4"]),
        ("Left cyst: Bosniak IIF. Right cyst: Bosniak II.", "Bosniak IIF", "Left cyst: Bosniak IIF.", ["Bosniak II"]),
        ("Left BI-RADS 6. Right BI-RADS 4.", "BI-RADS 4", "Right BI-RADS 4.", ["BI-RADS 6"]),
        ("Left BI-RADS 3.\nRight BI-RADS 0.", "BI-RADS 0", "Right BI-RADS 0.", ["BI-RADS 3"]),
        ("Lung-RADS 4A (S). Then Lung-RADS 3.", "Lung-RADS 4AS", "Lung-RADS 4A (S).", ["Lung-RADS 3"]),
        ("Mass, BI-RADS 4.\nImpression: BI-RADS 4.", "BI-RADS 4", "Impression: BI-RADS 4.", []),
        (
            "TR3: nodule on the left\nTR4: nodule on the right\nTR5: isthmus",
            "TI-RADS 5",
            "TR5: isthmus",
            ["TI-RADS 4", "TI-RADS 3"],
        ),
    ],
)
def test_t9_the_most_suspicious_of_several_mentions_is_quoted_with_the_others(
    words: str, worst: str, sentence: str, others: list[str]
) -> None:
    (mention,) = mentions_of(a_report_saying(words))

    assert (mention.title, mention.quote.sentence) == (worst, sentence)
    assert [one.title for one in mention.others] == others


def test_t9_an_earlier_category_is_not_taken_for_the_worse_one() -> None:
    assert stated("Final assessment: BI-RADS 2. Prior assessment: BI-RADS 4.") == ["BI-RADS 2"]


def test_a_category_at_the_end_of_a_very_long_sentence_is_quoted_with_what_stands_around_it() -> None:
    (mention,) = mentions_of(
        a_report_saying(f"{'word ' * 200}suspicious mass in the left breast, BI-RADS 4, and{' word' * 200}")
    )

    assert "suspicious mass in the left breast, BI-RADS 4, and" in mention.quote.sentence
    assert (mention.quote.sentence[0], mention.quote.sentence[-1]) == ("…", "…")
    assert len(mention.quote.sentence) <= MAX_QUOTE


def test_words_without_end_are_read_in_time() -> None:
    assert stated("BI-RADS 4 and " * 5000) == ["BI-RADS 4"]


def test_t9_a_statement_beside_a_legend_counts_and_the_legend_does_not() -> None:
    legend = "BI-RADS 1: negative\nBI-RADS 2: benign\nBI-RADS 3: probably benign\nBI-RADS 4: suspicious\nBI-RADS 5: malignant"

    assert stated(f"Right breast: BI-RADS 4A.\n{legend}") == ["BI-RADS 4A"]
    assert stated(f"{legend}\nImpression: BI-RADS 3.") == ["BI-RADS 3"]


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


def test_others_that_the_words_state_stand_in_the_card() -> None:
    facts = facts_with("Right breast: BI-RADS 4. Left breast: BI-RADS 3.")
    (guidance,) = judged(facts).guidance

    assert summary_of(guidance).startswith("BI-RADS 4 (MG 2026-10-01)")
    assert "also states BI-RADS 3; the headline names the most suspicious" in detail_of(guidance, facts)
    assert "“Left breast: BI-RADS 3.”" in detail_of(guidance, facts)


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


@pytest.mark.parametrize("words", ["Lung-RADS 4A (S).", "Lung-RADS 4B (S).", "Lung-RADS 4.", "Lung-RADS 3S."])
def test_gf_a_later_screening_answers_no_suspicious_category_in_words(words: str) -> None:
    """Gc, Gf: also with the modifier S, and of a bare 4, which has no row of its own."""
    later = imaged("later", "2026-10-15", procedureCode=[concept(LOINC, "79086-5")])
    (guidance,) = judged(facts_with(words, studies=[a_study(started="2026-10-01"), later])).guidance

    assert "A later CT chest of 2026-10-15 does not answer it (a screening examination)." in guidance.notes


@pytest.mark.parametrize(
    ("words", "is_answered"), [("Lung-RADS 4B (S).", True), ("Lung-RADS 4X.", True), ("Lung-RADS 4A (S).", False)]
)
def test_gf_a_pet_answers_the_categories_in_words_whose_rows_name_it(words: str, is_answered: bool) -> None:
    pet = imaged("later", "2026-10-15", "PT")

    judgement = judged(facts_with(words, studies=[a_study(started="2026-10-01"), pet]))

    assert (judgement.guidance == ()) is is_answered


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("Bosniak IIİ", "Bosniak III"),
        ("Bosniak ııf", "Bosniak IIF"),
        ("LR-TİV", "LI-RADS TIV"),
        ("Bosniak İ, LR-4", "Bosniak I"),
    ],
)
def test_an_i_of_a_turkish_keyboard_is_an_i(words: str, title: str) -> None:
    assert title in [one.title for one in mentions_of(a_report_saying(f"{words}."))]


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
@settings(max_examples=examples(500))
def test_looking_for_plain_pieces_first_misses_no_pattern_and_no_mention(words: str) -> None:
    report = a_report_saying(words)

    assert {system for system, pattern in PATTERNS.items() if pattern.search(words)} <= set(systems_named(words))
    assert mentions_of(report) == mentions_among(report, PATTERNS)


@pytest.mark.parametrize(
    "pack", [one for one in bundled_packs().tables if one.reads in PATTERNS], ids=lambda one: str(one.reads)
)
def test_words_and_codes_have_one_order_of_suspicion(pack: TablePack) -> None:
    titles = [_in_words(pack.reads, one) for one in pack.severity if one != "X"]

    worst = mentions_of(a_report_saying(" ".join(f"The lesion in the left part is {title}." for title in titles)))[0]

    assert [worst.title, *(one.title for one in worst.others)] == titles


def _in_words(system: str, category: str) -> str:
    return f"{NAMES[system]} {category.removeprefix('LR-').removeprefix('TR')}"
