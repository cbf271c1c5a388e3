"""O1 and O2: the kind of an examination, from codes first, then modality and body site, then words."""

from __future__ import annotations

from imaging_findings.codes import LOINC, Code
from imaging_findings.study_kinds import Contrast, Side, StudyKind, study_kind_of

CHEST_CT = StudyKind(families=frozenset({"CT"}), regions=frozenset({"chest"}))
TRUNK_CT = StudyKind(families=frozenset({"CT"}), regions=frozenset({"chest", "abdomen", "pelvis"}))


def test_o1_chest_abdomen_pelvis_overlaps_chest() -> None:
    assert TRUNK_CT.overlaps(CHEST_CT)
    assert CHEST_CT.overlaps(TRUNK_CT)


def test_o1_unknown_family_or_region_overlaps_nothing() -> None:
    assert not StudyKind().overlaps(StudyKind())
    assert not StudyKind(families=frozenset({"CT"})).overlaps(CHEST_CT)


def test_opposite_sides_do_not_overlap() -> None:
    left, right, unstated = (
        StudyKind(families=frozenset({"XR"}), regions=frozenset({"knee"}), side=side)
        for side in (Side.LEFT, Side.RIGHT, Side.UNSTATED)
    )

    assert not left.overlaps(right)
    assert left.overlaps(left)
    assert left.overlaps(unstated)


def test_o2_other_contrast_phase_is_related_only_when_both_are_known() -> None:
    phases = {contrast: StudyKind(contrast=contrast) for contrast in Contrast}

    assert phases[Contrast.WITH].is_other_phase_of(phases[Contrast.WITHOUT])
    assert not phases[Contrast.WITH].is_other_phase_of(phases[Contrast.UNKNOWN])
    assert not phases[Contrast.BOTH].is_other_phase_of(phases[Contrast.WITHOUT])


def test_procedure_code_gives_family_region_and_screening() -> None:
    kind = study_kind_of(stated=[Code(LOINC, "79086-5")])

    assert (kind.family, kind.regions, kind.is_screening) == ("CT", frozenset({"chest"}), True)
