"""Codes of DICOM as codes of FHIR: M5, the field rule of (0008,1032), body sites (7.3, M3, X20) and sides (M4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._snomed_dict import mapping as pydicom_mapping

from fhir_imaging.concept import Concept
from imaging_findings.body_parts import body_parts
from imaging_findings.codes import SNOMED
from pacs_sync.anatomy import SIDES, side_of, site_of
from pacs_sync.coding_schemes import SYSTEMS, CodingSchemes, old_snomed

PLAIN = CodingSchemes()
SITE = CodingSchemes(of_site={"99HOSP": "https://hospital.example/procedures"})


def coded(value: str, scheme: str, meaning: str = "", version: str = "") -> dict[str, Any]:
    stated = {"00080100": value, "00080102": scheme, "00080104": meaning, "00080103": version}
    return {tag: {"Value": [one]} for tag, one in stated.items() if one}


def with_items(tag: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {tag: {"vr": "SQ", "Value": list(items)}}


def with_texts(**stated: str) -> dict[str, Any]:
    return {tag[1:]: {"Value": [value]} for tag, value in stated.items()}


@pytest.mark.parametrize(
    ("item", "system", "code"),
    [
        (coded("24627-2", "LN", "CT chest"), "http://loinc.org", "24627-2"),
        (coded("816094009", "SCT", "Chest"), "http://snomed.info/sct", "816094009"),
        (coded("113014", "DCM", "Study"), "http://dicom.nema.org/resources/ontology/DCM", "113014"),
        (coded("mm", "UCUM", "millimeter"), "http://unitsofmeasure.org", "mm"),
        (coded("RID50323", "RADLEX", "PI-RADS X"), "http://radlex.org", "RID50323"),
        (coded("CT-7", "99HOSP", "Chest of ours"), "https://hospital.example/procedures", "CT-7"),
        (coded(" 24627-2 ", "LN ", "CT chest"), "http://loinc.org", "24627-2"),
    ],
)
def test_m5_a_designator_becomes_the_systems_uri_and_the_code_stays(item: dict[str, Any], system: str, code: str) -> None:
    found = SITE.concept(item)

    assert found is not None
    assert (found.system, found.code) == (system, code)


@pytest.mark.parametrize(
    "item",
    [
        coded("CT-7", "99OTHER", "Chest"),
        coded("CT-7", "", "Chest"),
        coded("chest CT", "LN", "Chest"),
        coded("T-D3000", "SCT", "Chest"),
        coded("X-99999999", "SRT", "Chest"),
        coded("Chest", "RADLEX", "Chest"),
        coded("", "LN", "Chest"),
        coded("", "", "Chest"),
    ],
)
def test_m5_what_is_not_certain_is_words_alone(item: dict[str, Any]) -> None:
    assert PLAIN.concept(item) == Concept("Chest")


def test_a_code_without_meaning_keeps_itself_for_words() -> None:
    assert PLAIN.concept(coded("CT-7", "99OTHER")) == Concept("CT-7")
    assert PLAIN.concept(with_texts(x00080102="LN")) is None


def test_an_old_snomed_code_becomes_its_successor() -> None:
    expected = Concept("Chest", SNOMED, pydicom_mapping["SRT"]["T-D3000"])

    assert [PLAIN.concept(coded("T-D3000", scheme, "Chest")) for scheme in ("SRT", "SNM3", "99SDM")] == [expected] * 3


def test_t1_the_old_snomed_codes_are_those_of_pydicom() -> None:
    assert old_snomed() == pydicom_mapping["SRT"]


def test_a_version_is_told_where_fhir_has_the_same_kind_of_it() -> None:
    loinc, snomed = PLAIN.concept(coded("24627-2", "LN", "CT", "2.73")), PLAIN.concept(coded("816094009", "SCT", "C", "2019"))

    assert (loinc and loinc.version, snomed and snomed.version) == ("2.73", None)


def test_a_long_code_is_a_code() -> None:
    found = PLAIN.concept(with_texts(x00080119="12345678901234567-0", x00080102="99HOSP", x00080104="Long"))

    assert found == Concept("Long")


def test_each_code_comes_once_and_words_that_it_says_do_not_come_again() -> None:
    items = (coded("24627-2", "LN", "CT chest"), coded("24627-2", "LN", "CT of chest"), coded("7", "99X", "ct CHEST"))

    assert PLAIN.concepts(with_items("00081032", *items), "00081032") == (Concept("CT chest", SYSTEMS["LN"], "24627-2"),)


@given(st.text(max_size=20), st.text(max_size=18), st.text(max_size=20))
def test_whatever_is_stated_a_concept_has_words_and_a_code_only_of_a_known_system(
    value: str, scheme: str, meaning: str
) -> None:
    found = PLAIN.concept(coded(value, scheme, meaning))

    assert found is None or (found.display.strip() == found.display != "" and found.display.isprintable())
    assert found is None or found.system is None or found.system in SYSTEMS.values()
    assert found is None or found.code is None or " ".join(found.code.split(" ")).strip() == found.code


@pytest.mark.parametrize("typed", ["CHEST", "Chest", "CHEST ", "THORAX", "thorax"])
def test_m3_x20_the_chest_is_the_chest_however_it_is_typed(typed: str) -> None:
    assert site_of([], [typed], PLAIN) == Concept(body_parts()["CHEST"].code.display, SNOMED, "816094009")


def test_several_parts_have_the_code_of_their_combination() -> None:
    assert site_of([], ["CHEST", "ABDOMEN"], PLAIN) == site_of([], ["chest/abd"], PLAIN)
    assert site_of([], ["KNEE", "SKULL"], PLAIN) is None


def test_an_unknown_part_has_no_code() -> None:
    assert site_of([], ["BREAST PHANTOM X7"], PLAIN) is None


def test_the_regions_code_outweighs_the_words() -> None:
    told = [with_items("00082218", coded("69536005", "SCT", "Head"))]

    assert site_of(told, ["CHEST"], PLAIN) == Concept("Head", SNOMED, "69536005")


def test_one_region_in_two_wordings_is_one() -> None:
    told = [with_items("00082218", coded("69536005", "SCT", words)) for words in ("Head", "HEAD structure")]

    assert site_of(told, [], PLAIN) == Concept("Head", SNOMED, "69536005")


def test_a_region_without_a_known_code_leaves_the_words_code_and_is_words_where_there_are_none() -> None:
    told = [with_items("00082218", coded("Z-1", "99X", "Thorax of ours"))]

    assert site_of(told, ["CHEST"], PLAIN) == site_of([], ["CHEST"], PLAIN)
    assert site_of(told, [], PLAIN) == Concept("Thorax of ours")
    assert site_of(told, ["BREAST PHANTOM X7"], PLAIN) is None


def test_images_of_several_regions_have_no_one_site() -> None:
    told = [with_items("00082218", coded(code, "SCT", words)) for code, words in (("69536005", "Head"), ("816094009", "Chest"))]

    assert site_of(told, ["HEAD"], PLAIN) is None


def test_the_region_of_a_multi_frame_image_is_in_its_shared_functional_groups() -> None:
    region = with_items("00082218", coded("69536005", "SCT", "Head")) | with_texts(x00209072="L")
    told = [with_items("52009229", with_items("00209071", region))]

    assert site_of(told, [], PLAIN) == Concept("Head", SNOMED, "69536005")
    assert side_of(told, told, PLAIN) == SIDES["L"]


@pytest.mark.parametrize(("side", "code"), [("R", "24028007"), ("L", "7771000"), ("B", "51440002")])
def test_m4_a_side_is_a_code_of_snomed(side: str, code: str) -> None:
    found = side_of([with_texts(x00200060=side)], [], PLAIN)

    assert found is not None
    assert (found.system, found.code) == (SNOMED, code)


@pytest.mark.parametrize("side", ["U", "", "left", "RL"])
def test_unpaired_and_unknown_sides_are_left_out(side: str) -> None:
    assert side_of([with_texts(x00200060=side)], [with_texts(x00200060=side)], PLAIN) is None


def test_the_side_of_an_image_is_the_series_only_where_all_were_seen_and_agree() -> None:
    right, left = with_texts(x00200062="R"), with_texts(x00200062="L")

    assert side_of([right], [], PLAIN) is None, "one image stands for many"
    assert side_of([right, right], [right, right], PLAIN) == SIDES["R"]
    assert side_of([right, left], [right, left], PLAIN) is None
    assert side_of([right, with_texts(x00200062="U")], [right, with_texts(x00200062="U")], PLAIN) is None
    assert (
        side_of(
            [with_texts(x00200060="R"), with_texts(x00200060="L")],
            [with_texts(x00200060="R"), with_texts(x00200060="L")],
            PLAIN,
        )
        is None
    )


def test_m4_an_image_of_another_side_than_its_series_leaves_no_side() -> None:
    contradicted = with_texts(x00200060="R", x00200062="L")

    assert side_of([contradicted], [], PLAIN) is None, "also where one image stands for many"
    assert side_of([contradicted], [contradicted], PLAIN) is None
    assert side_of([with_texts(x00200060="R", x00200062="R"), with_texts(x00200060="R")], [], PLAIN) == SIDES["R"]


@pytest.mark.parametrize("tag", ["00200060", "00200062"])
def test_m4_two_sides_are_not_the_first_of_them(tag: str) -> None:
    both = {tag: {"Value": ["R", "L"]}}

    assert side_of([both], [both], PLAIN) is None


@pytest.mark.parametrize(
    ("code", "words", "side"),
    [("24028007", "Right", "R"), ("24028007", "Rechts", "R"), ("24028007", "Left", None), ("7771000", "right side", None)],
)
def test_m4_a_code_of_a_side_whose_words_name_the_other_one_tells_none(code: str, words: str, side: str | None) -> None:
    region = coded("76752008", "SCT", "Breast") | with_items("00082220", coded(code, "SCT", words))
    image = with_items("00082218", region)

    assert side_of([image], [image], PLAIN) == (SIDES[side] if side else None)


def test_a_region_modifier_tells_the_side() -> None:
    region = coded("76752008", "SCT", "Breast") | with_items("00082220", coded("7771000", "SCT", "Left"))
    contradicted = with_items("00082218", region) | with_texts(x00200062="R")

    assert side_of([with_items("00082218", region)], [with_items("00082218", region)], PLAIN) == SIDES["L"]
    assert side_of([contradicted], [contradicted], PLAIN) is None
