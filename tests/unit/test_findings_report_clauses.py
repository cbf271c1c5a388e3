"""Ga: a denial in the report of a follow-up reaches all that it lists, and only a statement of its own ends the older table."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import a_nodule, a_patient, a_report, nodule_components
from tests.examples import examples
from tests.followed_actors import imaged

DAY = "2024-09-01"
NODULE = a_nodule(component=nodule_components(7.0, "solid", risk="high"))
DENIALS = (
    "No evidence of ",
    "No ",
    "There is no ",
    "There isn't ",
    "There is no longer ",
    "No longer any ",
    "There are no signs of ",
    "There is no evidence that there is ",
    "Not seen: ",
    "Without ",
    "Lungs w/o ",
    "Negative for ",
    "The record denies ",
    "Absence of ",
    "Lack of ",
    "Free of ",
    "Neither ",
    "Scarring rather than ",
    "Scarring instead of ",
    "Cannot exclude ",
    "Unable to exclude ",
    "Fails to show ",
    "CT does not show ",
    "CT doesn't show ",
    "It is unclear whether there is ",
    "It is unlikely that there is ",
    "Never ",
)
ITEMS = st.sampled_from(
    ["a pleural effusion", "effusion", "the pneumothorax", "an infiltrate", "lymphadenopathy", "2 rib fractures", "this mass"]
)
NODULES = st.sampled_from(
    ["a new nodule", "new nodules", "the new 8 mm nodule", "an enlarging lesion", "growth of the nodule", "2 new masses"]
)
JOINTS = st.sampled_from([", ", " and ", ", and ", " or ", ", or ", ", nor ", "; ", " with ", ",\n", "\n- "])
ENDS = st.sampled_from(["", ".", " is seen.", " are identified."])


def ends(conclusion: str) -> bool:
    """Whether the signed report of the follow-up, in these words, ends the steps of the older table."""
    resources = dict.fromkeys(("conditions", "smoking", "communications", "orders"), ()) | {
        "patient": [a_patient()],
        "findings": [NODULE],
        "studies": [imaged("study", "2024-01-15"), imaged("ct", DAY)],
        "reports": [a_report(conclusion, issued=f"{DAY}T15:00:00Z", imagingStudy=[{"reference": "ImagingStudy/ct"}])],
    }
    judgement = judge(read_facts(resources, "p"), bundled_packs(), datetime(2024, 9, 2, 9, tzinfo=UTC))
    return not any(one.finding.kind == "nodule" for one in judgement.guidance)


@pytest.mark.parametrize(
    "conclusion",
    [
        "There is no evidence that the effusion has resolved, the nodule has grown or the node is larger.",
        "It isn't clear that the effusion and the nodule have resolved.",
        "It is not known whether the effusion, the mass and the nodule have grown.",
        "No evidence the effusion and the nodule have grown.",
        "We do not believe the effusion and the nodule have resolved.",
        "It is unlikely that the effusion and the nodule have resolved.",
        "Negative for effusion, a new nodule, or adenopathy.",
        "Lungs w/o effusion, a new nodule, or adenopathy.",
        "Scarring rather than a new nodule.",
        "No longer any effusion, a new nodule, or adenopathy.",
        "It can no longer be said that the nodule has resolved.",
        "The effusion is no longer seen and nodule unchanged.",
        "The effusion has not changed, nor has the nodule grown.",
        "Neither the effusion nor the nodule has grown.",
        "Neither the effusion, the mass, nor the nodule has grown.",
        "A new nodule is unlikely.",
        "An effusion, a new nodule, or adenopathy is unlikely.",
        "A new nodule cannot be excluded.",
        "A new nodule is excluded.",
        "New nodule versus vessel.",
        "New nodule vs. vessel.",
        "No effusion; a new nodule; adenopathy.",
        "No evidence of: Effusion; Pneumothorax; New nodule.",
        "A new nodule, an effusion, or adenopathy is not seen.",
        "A new nodule and an effusion are not seen.",
        "No effusion, a consolidation or a new nodule is seen.",
        "No effusion, the mass and the new nodule are seen.",
        "There is no effusion, a nodule that has grown, or a mass.",
        "There is no effusion, a new nodule is seen.",
        "No effusion with a new nodule.",
        "If a new nodule appears, the patient should return.",
        "New nodule?",
        "New nodules: none.",
        "New nodules? None.",
        "New nodules:\nNone.",
    ],
)
def test_ga_what_is_denied_or_left_open_ends_nothing(conclusion: str) -> None:
    """Ga: a denial governs its whole list and every statement after "that"; a doubtful clause ends nothing."""
    assert not ends(conclusion)


@pytest.mark.parametrize(
    "conclusion",
    [
        "No evidence of a pleural effusion,\na new nodule, or lymphadenopathy.",
        "No evidence of a pleural effusion\nor a new nodule.",
        "No evidence of\nA new nodule.",
        "Negative for\n- Effusion\n- New nodule",
        "No evidence of:\n- effusion\n- a new nodule\n- adenopathy",
        "No evidence of:\n- Effusion.\n- A new nodule.\n- Adenopathy.",
        "No evidence of:\nEffusion\nNew nodule",
        "No evidence of:\n1. Effusion\n2. New nodule",
        "No evidence of a pleural effusion\n- a new nodule",
        "No evidence of the following\n* effusion\n* a new nodule",
        "No evidence of suspicious findings, e.g. 5 mm new nodules.",
        "No evidence of:\n" + "- effusion\n" * 200 + "- a new nodule",
        "Lungs:\nThe liver lesion has resolved.",
    ],
)
def test_ga_a_denial_reaches_over_lines_and_bullets(conclusion: str) -> None:
    assert not ends(conclusion)


@pytest.mark.parametrize(
    "conclusion",
    [
        "No effusion, the nodule has grown.",
        "No effusion; nodule has grown.",
        "No effusion, there is a new nodule.",
        "No effusion, the nodule is no longer seen.",
        "No effusion but a new nodule.",
        "No effusion, 8 mm nodule has grown.",
        "The effusion has not changed, a new nodule is seen.",
        "There is no effusion and the 7 mm nodule has resolved.",
        "Cannot exclude an effusion, the nodule has grown.",
        "The effusion is no longer seen, the nodule has grown.",
        "The effusion hasn't changed, the nodule has grown.",
        "The effusion is not larger while the nodule has grown.",
        "The nodule has grown to 10 mm versus 7 mm.",
        "The nodule has grown, malignancy is not excluded.",
        "New 8 mm nodule, no effusion, adenopathy not seen.",
        "No effusion\nNew 8 mm nodule",
        "1. No effusion\n2. New 8 mm nodule",
        "- No effusion.\n- New 8 mm nodule.",
        "- no effusion\n- new 8 mm nodule",
        "Comparison: None\n- New 8 mm nodule",
        "Technique: without contrast\nIMPRESSION:\n1. New 8 mm nodule",
        "No evidence of:\n- effusion\n- adenopathy\nIMPRESSION: The nodule has grown.",
    ],
)
def test_ga_a_statement_of_its_own_rules_after_a_denial(conclusion: str) -> None:
    assert ends(conclusion)


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(DENIALS), st.lists(ITEMS, max_size=3), NODULES, st.lists(ITEMS, max_size=2), st.data())
def test_ga_no_list_under_a_denial_ends_a_follow_up(
    denial: str, before: list[str], nodule: str, after: list[str], data: st.DataObject
) -> None:
    """Ga: wherever the nodule stands in the list, and whatever joins its items."""
    first, *rest = [*before, nodule, *after]
    words = denial + first + "".join(data.draw(JOINTS) + one for one in rest) + data.draw(ENDS)

    assert not ends(words), words
