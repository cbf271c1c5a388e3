"""Every order-time rule set names version, citation and clinical owner (clinical rules, section 2)."""

import pytest

from imaging_findings.order_advice import Reason
from imaging_findings.order_sources import SOURCES

# Follow-ups stand on the packs' own sources; what was not checked is no rule.
WITHOUT_OWN_SOURCE = {Reason.FOLLOW_UP, Reason.NOT_CHECKED}


def test_every_reason_that_judges_has_a_source() -> None:
    assert set(SOURCES) == set(Reason) - WITHOUT_OWN_SOURCE


@pytest.mark.parametrize("reason", sorted(SOURCES))
def test_a_source_says_version_citation_and_owner(reason: Reason) -> None:
    source = SOURCES[reason]

    assert source.citation in source.words
    assert f"version {source.version}" in source.words
    assert source.clinical_owner in source.words


def test_rules_without_a_published_source_say_that_they_need_a_check() -> None:
    assert "still need a clinician's check" in SOURCES[Reason.PREGNANCY].words


@pytest.mark.parametrize(
    ("reason", "doubt"),
    [
        (Reason.DUPLICATE, "bone density"),
        (Reason.KIDNEY, "gadolinium"),
        (Reason.METFORMIN, "on hold"),
        (Reason.REACTION, "criticality"),
        (Reason.CODE, "screening or diagnostic"),
    ],
)
def test_what_we_decided_ourselves_is_marked_in_the_card_and_named_for_a_clinicians_check(reason: Reason, doubt: str) -> None:
    assert "a local choice that still needs a clinician's check" in SOURCES[reason].words
    assert any(doubt in question for question in SOURCES[reason].open_questions)
