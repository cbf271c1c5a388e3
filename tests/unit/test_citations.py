"""How tests cite requirements, and what docs/conformance.md may claim: the rules behind ``make conformance``."""

from __future__ import annotations

import pytest

from tests.citations import CLINICAL, HOOKS, INVARIANTS, citations, cited_in_name, cited_in_words
from tests.conformance import Row, Section, faults, page


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_r27_r28_cds_resp_6_suggestions_say_how_many_may_be_taken", {"R27", "R28", "cds-resp-6"}),
        ("test_x1_to_x3_wrong_codes_appear_in_no_source", {"X1", "X3"}),
        ("test_ord_1_a_user_without_a_type_is_only_a_warning", {"ord-1"}),
        ("test_gd_missing_input_gives_no_row", {"Gd"}),
        ("test_p_age_boundaries", {"P"}),
        ("test_n8_and_pregnancy_reach_the_card", {"N8"}),
        ("test_app_a15_app_a17_letters_in_another_order_grant_nothing", {"A15", "A17"}),
        ("test_s11_a38_tokens_of_five_seconds_are_renewed_ahead", {"A38"}),
        ("test_s11_a_study_search_that_is_busy_once_is_asked_again", set()),
        ("test_every_draft_order_is_valid_r4", set()),
        ("test_patient_f_is_quoted", set()),
    ],
)
def test_the_beginning_of_a_name_cites(name: str, ids: set[str]) -> None:
    assert cited_in_name(name) == ids


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("T2, for the rows L2 and L4B.", {"T2", "L2", "L4B"}),
        ("fleischner-2017/F2-6-8", {"F2"}),
        ("cds-resp-4", {"cds-resp-4"}),
        ("valid R4, as FHIR R4 has it", set()),
        ("version R4.1 of a P", set()),
    ],
)
def test_words_cite_by_whole_ids(words: str, ids: set[str]) -> None:
    assert cited_in_words(words) & {*HOOKS, *INVARIANTS, *CLINICAL} == ids


def test_a_table_beside_the_tests_counts_for_those_that_read_it() -> None:
    assert "unit/test_cds_validator.py::test_one_fault_is_found_under_its_requirement" in citations("hooks")["R26"]


def test_a_reference_looks_into_its_own_files() -> None:
    """``F8`` of SMART Imaging Access is tested at the gateway; ``F5`` of both references is not the same thing."""
    assert [test for test in citations("clinical")["F5"] if "gateway" in test] == []
    assert [test for test in citations("clinical")["T10"] if "gateway" in test] != []


def a_row(state: str = "implemented", tests: tuple[str, ...] = ("unit/test_cds_request.py",)) -> Row:
    return Row(requirement="R15", asks="required members", state=state, tests=tests)


def a_section(*rows: Row) -> Section:
    return Section(heading="CDS Hooks", text="Of 2.0.", citations="hooks", rows=rows)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (a_row(), []),
        (a_row("partly: only some"), []),
        (a_row("not yet: sync", ()), []),
        (a_row("left out: nobody asks for it", ()), []),
        (a_row(tests=()), ["CDS Hooks, R15: no test cites it"]),
        (a_row("partly: only some", ()), ["CDS Hooks, R15: no test cites it"]),
        (a_row("done"), ["CDS Hooks, R15: there is no state 'done'"]),
        (a_row("partly"), ["CDS Hooks, R15: a reason belongs to every state but implemented"]),
        (a_row("implemented: nearly"), ["CDS Hooks, R15: a reason belongs to every state but implemented"]),
    ],
)
def test_a_claim_needs_a_test_and_every_other_state_a_reason(row: Row, told: list[str]) -> None:
    assert list(faults([a_section(row)])) == told


def test_the_page_is_a_table_for_each_section() -> None:
    written = page("# Conformance\n", [a_section(a_row(), a_row("not yet: sync"))])

    assert written.splitlines() == [
        "# Conformance",
        "",
        "## CDS Hooks",
        "",
        "Of 2.0.",
        "",
        "| id | asks for | state | shown by |",
        "|---|---|---|---|",
        "| R15 | required members | implemented | `unit/test_cds_request.py` |",
        "| R15 | required members | not yet: sync | |",
    ]
