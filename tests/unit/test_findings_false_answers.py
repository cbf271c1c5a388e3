"""Gf, Gc: what ends a follow-up and what only looks as if it did: a reminder that is silenced wrongly is the worst fault."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.advice import Guidance
from imaging_findings.codes import LOINC
from imaging_findings.rules import Urgency
from imaging_findings.site_packs import parse_site_packs
from tests.cds_actors import a_lung_rads, a_nodule, a_report, a_study, an_order, concept, nodule_components
from tests.followed_actors import ABDOMEN, ASSESSMENT, BREAST, NECK, PELVIS, assessed, followed, imaged

MG = imaged("study", "2026-05-01", "MG", BREAST)
US_NECK = imaged("study", "2026-05-01", "US", NECK)
CT_ABDOMEN = imaged("study", "2026-05-01", "CT", ABDOMEN)
AT_RISK = {"code": concept(ASSESSMENT, "at-risk"), "valueBoolean": True}


def an_lr5() -> dict[str, Any]:
    found = assessed("li-rads-ct-mr", "LR-5", "2018")
    return found | {"component": [*found["component"], AT_RISK]}


def the_open(*findings: dict[str, Any], **after: Any) -> Guidance:
    judgement = followed(*findings, **after)
    assert len(judgement.guidance) == 1, judgement.suppressed
    return judgement.guidance[0]


# --- what asks for tissue or a referral


@pytest.mark.parametrize(
    ("finding", "study", "later"),
    [
        (assessed("bi-rads", "4", "5", side="left"), MG, imaged("later", "2026-06-01", "MG", BREAST)),
        (
            assessed("ti-rads", "TR5", "2017", mm=12),
            US_NECK,
            imaged("later", "2026-06-01", "US", None, description="US carotid"),
        ),
        (
            assessed("o-rads-us", "5", "2022"),
            imaged("study", "2026-05-01", "US", PELVIS),
            imaged("l", "2026-06-01", "US", PELVIS),
        ),
        (assessed("bosniak", "IV", "2019"), CT_ABDOMEN, imaged("later", "2026-05-02", "CT", ABDOMEN)),
        (an_lr5(), CT_ABDOMEN, imaged("later", "2026-06-01", "CT", ABDOMEN)),
        (assessed("abdominal-aorta", mm=58), CT_ABDOMEN, imaged("later", "2026-05-02", "US", ABDOMEN)),
        (assessed("pi-rads", "5", "2.1"), imaged("study", "2026-05-01", "MR", PELVIS), imaged("l", "2026-06-01", "MR", PELVIS)),
    ],
    ids=["BI-RADS 4", "TR5", "O-RADS 5", "Bosniak IV", "LR-5", "AAA above the table", "PI-RADS 5"],
)
def test_gf_imaging_answers_no_call_for_tissue_and_no_referral(
    finding: dict[str, Any], study: dict[str, Any], later: dict[str, Any]
) -> None:
    guidance = the_open(finding, studies=[study, later])

    assert guidance.urgency is Urgency.WARNING
    assert any("does not answer it" in note for note in guidance.notes)


def test_gf_such_a_note_names_what_was_done_and_when() -> None:
    guidance = the_open(assessed("bosniak", "IV", "2019"), studies=[CT_ABDOMEN, imaged("later", "2026-05-02", "CT", ABDOMEN)])

    assert guidance.notes == ("A later CT abdomen of 2026-05-02 does not answer it.",)


@pytest.mark.parametrize(
    ("code", "is_open"),
    [
        ("26338-4", False),
        ("24602-5", False),
        ("26339-2", True),
        ("26344-2", True),
        ("24823-7", True),
    ],
    ids=["biopsy of the left breast", "of a breast", "of the right breast", "aspiration of a cyst", "biopsy of the lung"],
)
def test_gf_only_a_biopsy_of_the_organ_and_side_answers_a_call_for_tissue(code: str, is_open: bool) -> None:
    order = an_order(code=concept(LOINC, code), authoredOn="2026-10-20")
    ordered = followed(assessed("bi-rads", "5", "5", side="left"), studies=[MG], orders=[order])
    done = imaged("done", "2026-06-01", "MG", None, procedureCode=[concept(LOINC, code)])
    imaged_since = followed(assessed("bi-rads", "5", "5", side="left"), studies=[MG, done])

    assert bool(ordered.guidance) is is_open
    assert bool(imaged_since.guidance) is is_open


def test_gf_a_biopsy_that_was_ordered_months_ago_and_not_done_is_told() -> None:
    order = an_order(code=concept(LOINC, "26338-4"), authoredOn="2026-05-02")

    guidance = the_open(assessed("bi-rads", "5", "5", side="left"), studies=[MG], orders=[order])

    assert guidance.urgency is Urgency.WARNING
    assert "An order (MG Guidance for biopsy of Breast - left) is open: ordered 2026-05-02, not done." in guidance.notes


def test_gf_a_suspicious_finding_whose_size_is_missing_is_answered_by_no_image() -> None:
    later = imaged("later", "2026-06-01", "US", NECK)

    assert followed(assessed("ti-rads", "TR5", "2017"), studies=[US_NECK, later]).guidance


@pytest.mark.parametrize(("words", "is_open"), [("BI-RADS 4.", True), ("BI-RADS 6.", False)])
def test_gc_a_category_in_words_is_ended_by_what_would_end_the_coded_one(words: str, is_open: bool) -> None:
    judgement = followed(reports=[a_report(words)], studies=[MG, imaged("later", "2026-06-01", "MG", BREAST)])

    assert bool(judgement.guidance) is is_open


def test_gc_a_category_that_words_write_otherwise_than_codes_is_the_same() -> None:
    later = imaged("later", "2026-06-01", "US", NECK)

    assert followed(reports=[a_report("TI-RADS 5.")], studies=[US_NECK, later]).guidance


# --- as the site has it


OWN_ROW = """
[[pack]]
id = "bosniak-2019"
[[pack.row]]
id = "III-IV"
category = ["III", "IV"]
statement = "Refer to urology."
{answered}urgency = "warning"
evidence = "C"
"""


@pytest.mark.parametrize(
    ("answered", "is_open"),
    [("", True), ('answered_by = "imaging"\n', False), ('answered_by = "intervention"\n', True)],
    ids=["not stated", "imaging", "biopsy"],
)
def test_gf_a_sites_own_row_says_what_answers_it(answered: str, is_open: bool) -> None:
    packs = parse_site_packs(OWN_ROW.format(answered=answered), "site.toml")
    after = [CT_ABDOMEN, imaged("later", "2026-06-02", "CT", ABDOMEN)]

    assert bool(followed(assessed("bosniak", "IV", "2019"), studies=after, packs=packs).guidance) is is_open


CATEGORY_3 = """
[[pack]]
id = "lung-rads-2022"
[[pack.category]]
code = "3"
statement = "LDCT at 6 months."
step = { examination = "LDCT", low = 6, high = 6, unit = "mo" }
screening_answers = {answers}
urgency = "warning"
evidence = "S"
"""


@pytest.mark.parametrize(("answers", "is_open"), [("true", False), ("false", True)])
def test_gf_a_site_that_follows_up_by_screening_codes_says_so(answers: str, is_open: bool) -> None:
    packs = parse_site_packs(CATEGORY_3.replace("{answers}", answers), "site.toml")
    order = an_order(code=concept(LOINC, "79086-5"))

    assert bool(followed(a_lung_rads("3"), studies=[a_study()], orders=[order], packs=packs).guidance) is is_open


# --- screening examinations


@pytest.mark.parametrize("category", ["3", "4A", "4B", "4X"])
def test_gf_an_order_for_screening_answers_no_suspicious_lung_rads(category: str) -> None:
    order = an_order(code=concept(LOINC, "79086-5"), occurrenceDateTime="2027-10-01")

    assert the_open(a_lung_rads(category), studies=[a_study()], orders=[order]).urgency is Urgency.WARNING


def test_gf_a_screening_answers_no_nodule_that_was_found_by_chance_unless_it_was_read() -> None:
    order = an_order(code=concept(LOINC, "79086-5"))
    later = imaged("later", "2026-11-01", procedureCode=[concept(LOINC, "79086-5")])
    read = a_lung_rads("2", id="new", effectiveDateTime="2026-11-01", derivedFrom=[{"reference": "ImagingStudy/later"}])

    assert followed(a_nodule(7), studies=[a_study()], orders=[order]).guidance
    assert followed(a_nodule(7), studies=[a_study(started="2026-04-20"), later]).guidance[0].order is not None
    both = followed(a_nodule(7), read, studies=[a_study(), later])
    assert [one.finding.reference for one in both.guidance] == ["Observation/new"]


@pytest.mark.parametrize("category", ["0", "3", "4", "5"])
def test_gf_an_order_for_screening_answers_no_bi_rads_that_asks_for_more(category: str) -> None:
    order = an_order(code=concept(LOINC, "24606-6"), authoredOn="2026-05-02")

    assert the_open(assessed("bi-rads", category, "5"), studies=[MG], orders=[order]).urgency is Urgency.WARNING


def test_gf_an_order_for_screening_answers_the_annual_screening() -> None:
    order = an_order(code=concept(LOINC, "79086-5"), occurrenceDateTime="2027-10-01")

    assert followed(a_lung_rads("2"), studies=[a_study()], orders=[order]).guidance == ()


def test_gf_a_later_screening_that_was_read_counts_with_its_own_category() -> None:
    later = imaged("later", "2026-11-01", procedureCode=[concept(LOINC, "79086-5")])
    read = a_lung_rads("2", id="new", effectiveDateTime="2026-11-01", derivedFrom=[{"reference": "ImagingStudy/later"}])

    unread = the_open(a_lung_rads("3"), studies=[a_study(), later])
    both = followed(a_lung_rads("3"), read, studies=[a_study(), later])

    assert "A later CT chest of 2026-11-01 does not answer it (a screening examination)." in unread.notes
    assert [one.finding.reference for one in both.guidance] == ["Observation/new"]


@pytest.mark.parametrize(
    ("modalities", "description", "is_open"),
    [(("PT", "CT"), "whole body", False), (("PT", "CT"), "PET CT whole body", False), (("NM",), "Bone scan whole body", True)],
    ids=["PET/CT", "PET/CT by its name", "bone scan"],
)
@pytest.mark.parametrize("finding", [a_lung_rads("4B"), a_nodule(12)], ids=["Lung-RADS 4B", "F2 above 8 mm"])
def test_gf_a_pet_answers_where_the_row_names_it(
    finding: dict[str, Any], modalities: tuple[str, ...], description: str, is_open: bool
) -> None:
    pet = imaged("pet", "2026-11-01", modalities[0], None, description=description)
    pet["modality"] = [{"code": one} for one in modalities]

    assert bool(followed(finding, studies=[a_study(), pet]).guidance) is is_open


# --- orders


FOUR_A = a_lung_rads("4A", effectiveDateTime="2025-10-01")
SEEN = imaged("study", "2025-10-01")


@pytest.mark.parametrize("planned", [None, "2025-12-28", "2026-01-05"])
def test_gf_an_order_that_was_never_carried_out_silences_nothing(planned: str | None) -> None:
    order = an_order(authoredOn="2025-10-02", occurrenceDateTime=planned)

    guidance = the_open(FOUR_A, studies=[SEEN], orders=[order])

    assert (guidance.urgency, guidance.overdue, guidance.order) == (Urgency.WARNING, True, None)
    assert guidance.headline == "LDCT overdue since 2026-01-01; ordered 2025-10-02, not done"


def test_gf_an_order_within_its_time_still_ends_the_matter() -> None:
    assert followed(a_lung_rads("4A"), studies=[a_study()], orders=[an_order(occurrenceDateTime="2026-12-28")]).guidance == ()


@pytest.mark.parametrize(
    ("members", "note"),
    [
        ({"status": "on-hold"}, "An order (CT Chest WO contrast) is on hold."),
        (
            {"occurrenceDateTime": "2026-11-22"},
            "An order (CT Chest WO contrast) is planned for 2026-11-22, earlier than due; it does not answer it.",
        ),
        (
            {"code": concept(LOINC, "24628-0")},
            "An order (CT Chest W contrast IV) asks for another contrast phase; it does not answer it.",
        ),
        (
            {"authoredOn": "2026-10-01"},
            "An order (CT Chest WO contrast) was written on the day of the study and may be the study's own.",
        ),
    ],
    ids=["on hold", "too early", "another contrast phase", "the study's own day"],
)
def test_gf_an_order_that_may_not_answer_is_named_and_ends_nothing(members: dict[str, Any], note: str) -> None:
    study = a_study(started="2026-10-01")

    assert note in the_open(a_lung_rads("3"), studies=[study], orders=[an_order(**members)]).notes


@pytest.mark.parametrize(
    ("authored", "is_open"),
    [("2026-10-01T07:00:00+02:00", True), ("2026-10-01T18:00:00+02:00", False), ("2026-09-30T23:30:00-05:00", True)],
)
def test_gf_an_order_from_before_the_study_began_is_not_for_its_follow_up(authored: str, is_open: bool) -> None:
    study = a_study(started="2026-10-01T10:00:00+02:00")

    assert bool(followed(a_lung_rads("3"), studies=[study], orders=[an_order(authoredOn=authored)]).guidance) is is_open


def test_gf_an_order_that_names_the_finding_has_decided_on_its_time() -> None:
    order = an_order(occurrenceDateTime="2026-11-22", reasonReference=[{"reference": "Observation/finding"}])

    assert followed(a_lung_rads("3"), studies=[a_study()], orders=[order]).guidance == ()


# --- studies


def test_gf_a_study_is_never_later_than_itself() -> None:
    own = a_study(started="2026-10-01T23:30:00-05:00")
    copy = a_study(id="copy", started="2026-10-02T04:30:00Z")

    assert followed(a_lung_rads("4A"), studies=[own, copy]).guidance


def test_gf_two_zones_make_no_study_later() -> None:
    own = a_study(started="2026-10-01T23:30:00-05:00")
    other = imaged("other", "2026-10-02T04:20:00Z")

    assert followed(a_lung_rads("4A"), studies=[own, other]).guidance


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("82699-0", "CT Ribs - left WO contrast"),
        ("36534-6", "CT Sternum WO contrast"),
        ("37225-0", "CT Sternoclavicular Joint"),
        ("35969-5", "CT Esophagus"),
    ],
    ids=["ribs", "sternum", "joint", "esophagus"],
)
def test_gf_a_ct_of_another_part_of_the_chest_ends_no_follow_up_of_the_lung(code: str, name: str) -> None:
    later = imaged("later", "2026-11-01", site=None, procedureCode=[concept(LOINC, code)])
    order = an_order(code=concept(LOINC, code))

    done = the_open(a_lung_rads("4A"), studies=[a_study(), later])

    assert f"A later CT chest of 2026-11-01 does not answer it ({name} does not show the lungs)." in done.notes
    assert followed(a_lung_rads("4A"), studies=[a_study()], orders=[order]).guidance


@pytest.mark.parametrize(
    ("site", "is_open"), [("113197003", True), ("56873002", True), ("39607008", False)], ids=["rib", "sternum", "lung"]
)
def test_gf_the_body_site_says_so_too(site: str, is_open: bool) -> None:
    studies = [a_study(started="2026-07-20"), imaged("l", "2026-11-01", site=site)]
    assert bool(followed(a_lung_rads("4A"), studies=studies).guidance) is is_open


@pytest.mark.parametrize("description", ["CT HEAD - chest pain, syncope", "CT chest pain", "CT neck and chest"])
def test_gc_words_that_leave_open_what_was_imaged_end_nothing(description: str) -> None:
    later = imaged("later", "2026-11-03", site=None, description=description)

    guidance = the_open(a_lung_rads("3"), studies=[a_study(), later])

    assert any(note.endswith("may answer it, but only words say what it shows.") for note in guidance.notes)


# --- steps that are only offered


def test_f1_a_step_that_is_only_offered_says_that_its_time_has_passed() -> None:
    finding = a_nodule(component=nodule_components(12.0, "solid", risk="high"), effectiveDateTime="2026-04-01")

    guidance = the_open(finding, studies=[imaged("study", "2026-04-01")])

    assert "3-month point passed 2026-07-01, no imaging found." in guidance.notes
    assert guidance.overdue is False
