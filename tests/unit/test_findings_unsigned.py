"""T8 and clinical rules, section 6: an unsigned AI result beside the signed report of its study, in the words of both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings.advice import Guidance
from imaging_findings.findings import Author
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from imaging_findings.site_packs import parse_site_packs
from tests.cds_actors import NOW, SCT, a_report, a_study, an_ai_lung_rads, concept
from tests.unit.test_findings_critical import an_embolism, facts_with, hours_ago, judged, the_guidance

AI: dict[str, Any] = {"status": "preliminary", "device": {"display": "Synthetic AI 1.0"}, "performer": []}


@pytest.mark.parametrize(
    ("claim", "title"),
    [(an_embolism(2, **AI), "Pulmonary embolism"), (an_ai_lung_rads("4A"), "Lung-RADS 4A")],
    ids=["embolism", "Lung-RADS"],
)
def test_6_a_signed_report_stands_beside_the_ais_claim_and_calms_it(claim: dict[str, Any], title: str) -> None:
    report = a_report(
        "Heart of normal size. Bones intact. Liver normal. No pulmonary embolism. No nodule.", issued=hours_ago(1)
    )
    facts = facts_with(claim, reports=[report])
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance
    detail = detail_of(guidance, facts)

    assert guidance.urgency is Urgency.INFO
    assert summary_of(guidance).startswith(f"AI (unsigned): {title} (")
    assert "nobody has signed it; a signed report exists" in summary_of(guidance)
    assert "A signed report of this study exists" in detail
    assert f"“No {'pulmonary embolism' if 'embolism' in title else 'nodule'}.”" in detail


def test_6_without_a_report_the_claim_stays_a_warning() -> None:
    assert the_guidance(an_embolism(2, **AI)).urgency is Urgency.WARNING


def test_6_a_report_of_another_study_says_nothing_of_the_claim() -> None:
    other = a_report("No embolism.", imagingStudy=[{"reference": "ImagingStudy/other"}])

    assert the_guidance(an_embolism(2, **AI), reports=[other]).urgency is Urgency.WARNING


@pytest.mark.parametrize(("days", "silent"), [(90, False), (91, True)])
def test_6_an_old_claim_is_silent_once_its_study_has_a_signed_report(days: int, *, silent: bool) -> None:
    day = (NOW.date() - timedelta(days=days)).isoformat()
    claim = an_ai_lung_rads("4A", effectiveDateTime=day)
    told = judged(claim, studies=[a_study(started=day)], reports=[a_report("No nodule.", issued=f"{day}T12:00:00Z")])
    unread = judged(claim, studies=[a_study(started=day)])

    assert (told.guidance == ()) is silent
    assert len(unread.guidance) == 1
    if silent:
        reason = "it is an unsigned AI result older than 90 days, and its study has a signed report"
        assert [(one.reason, one.by) for one in told.suppressed] == [(reason, "DiagnosticReport/report")]


def test_6_the_site_says_after_how_many_days() -> None:
    day = (NOW.date() - timedelta(days=31)).isoformat()
    facts = facts_with(
        an_ai_lung_rads("4A"), studies=[a_study(started=day)], reports=[a_report("No nodule.", issued=f"{day}T12:00:00Z")]
    )
    shorter = parse_site_packs("[actionable]\nai_silent_after_days = 30\n", "site.toml")

    assert len(judge(facts, bundled_packs(), NOW).guidance) == 1
    assert judge(facts, shorter, NOW).guidance == ()


@pytest.mark.parametrize(("code", "agrees"), [("59282003", True), ("36118008", None)])
def test_6_the_ais_claim_stands_beside_a_signed_finding_of_the_study(code: str, agrees: bool | None) -> None:
    guidance: Guidance = the_guidance(an_embolism(2), an_embolism(2, id="ai", code=concept(SCT, code), **AI))

    assert guidance.urgency is Urgency.CRITICAL, "by the radiologist's word alone"
    assert guidance.ai is not None
    assert (guidance.ai.author, guidance.ai_agrees) == (Author.AI, agrees)
