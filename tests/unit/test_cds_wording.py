"""Words of a card: summaries stay under 140 characters, and nothing from outside becomes markup."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cds_service.plain_words import escaped
from cds_service.wording import detail_of, summary_of
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NOW, a_lung_rads, a_patient, a_report, a_study, an_ai_lung_rads
from tests.examples import examples


@settings(max_examples=examples(60), deadline=None)
@given(st.text(max_size=600))
@example("<b>bold</b>\r\n[link](x) `code` *star* | cell")
def test_escaped_text_holds_no_html_and_no_line_break(words: str) -> None:
    """R25: markdown without HTML."""
    safe = escaped(words)

    assert not re.search(r"[<>\r\n]", safe)
    assert re.search(r"(?<!\\)(?:\\\\)*[`*\[\]|]", safe) is None


def test_text_from_outside_cannot_mark_up_a_card() -> None:
    """R25."""
    evil = "Recommend CT in 6 months <img src=x onerror=alert(1)> [click](javascript:alert(1)) `x`"
    resources = {
        "patient": [a_patient()],
        "findings": [a_lung_rads("3", performer=[{"display": "<script>alert(1)</script>"}])],
        "studies": [a_study()],
        "reports": [a_report(evil)],
    }
    facts = read_facts(resources, "p")

    detail = detail_of(judge(facts, bundled_packs(), NOW).guidance[0], facts)

    assert "<" not in detail
    assert "&lt;img" in detail
    assert "\\[click\\]" in detail


def test_what_did_not_come_is_named() -> None:
    facts = read_facts(
        {"patient": [a_patient()], "findings": [a_lung_rads("3")], "studies": [a_study()]}, "p", partial=frozenset({"studies"})
    )

    detail = detail_of(judge(facts, bundled_packs(), NOW).guidance[0], facts)

    assert "**Not available:** radiology reports, open orders, tobacco smoking status, conditions." in detail
    assert "**Only a part came:** imaging studies." in detail


def test_the_longest_summary_is_cut_at_139_characters() -> None:
    long_name = "Synthetic Nodule AI " * 30
    findings = [a_lung_rads("0"), an_ai_lung_rads("4B", device={"display": long_name})]
    facts = read_facts({"patient": [a_patient()], "findings": findings, "studies": [a_study()]}, "p")

    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert 0 < len(summary_of(guidance)) <= 139
