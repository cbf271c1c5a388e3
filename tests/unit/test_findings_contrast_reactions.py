"""N8: which records are reactions to contrast, to which class and how bad, in codes and words; N4: brands of metformin."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.contrast_reactions import Severity, contrast_reactions
from imaging_findings.medications import takes_metformin
from tests.cds_actors import SCT, concept
from tests.order_actors import TODAY, a_metformin, an_allergy

IODINATED, GADOLINIUM, EITHER, NONE = (True, False), (False, True), (True, True), None


def classes(**members: Any) -> tuple[bool, bool] | None:
    found = contrast_reactions([an_allergy(**members)])
    return (found[0].iodinated, found[0].gadolinium) if found else None


def severity(**members: Any) -> Severity:
    (found,) = contrast_reactions([an_allergy(**members)])
    return found.severity


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Omnipaque 350", IODINATED),
        ("Isovue", IODINATED),
        ("IV dye", IODINATED),
        ("X-ray dye", IODINATED),
        ("x ray contrast", IODINATED),
        ("Radiocontrast", IODINATED),
        ("CONTRAST DYE", IODINATED),
        ("Iodinated contrast media", IODINATED),
        ("ULTRAVIST-370", IODINATED),
        ("MRI contrast agent", GADOLINIUM),
        ("MR-contrast", GADOLINIUM),
        ("Gadavist", GADOLINIUM),
        ("Omniscan", GADOLINIUM),
        ("CT contrast and MRI contrast", EITHER),
        ("Contrast media", EITHER),
        ("Kontrastmittel", EITHER),
        ("produit de contraste", EITHER),
        ("Barium sulfate oral contrast", NONE),
        ("X-ray contrast (barium)", NONE),
        ("Barium and iodinated contrast", IODINATED),
        ("Ultrasound contrast (perflutren)", NONE),
        ("SonoVue", NONE),
        ("No known allergy to contrast media", NONE),
        ("Patient denies: no history of reaction to IV contrast", NONE),
        ("Not allergic to iohexol", NONE),
        ("No IV contrast reaction", NONE),
        ("No history of allergy to contrast", NONE),
        ("Keine Kontrastmittelallergie", NONE),
        ("No IV contrast - anaphylactic 2019", IODINATED),
        ("NO IV CONTRAST!", IODINATED),
        ("No known drug allergies except IV dye", IODINATED),
        ("Never give contrast", EITHER),
        ("Contrast media, tolerated with premedication", EITHER),
        ("IV contrast: hives, no other allergies", IODINATED),
        ("Iodine", NONE),
        ("Povidone-iodine", NONE),
        ("Hair dye", NONE),
        ("Shellfish", NONE),
    ],
)
def test_n8_the_class_that_words_name(words: str, expected: tuple[bool, bool] | None) -> None:
    assert classes(code={"text": words}, criticality="high") == expected


def test_n8_a_code_says_contrast_whatever_stands_beside_it() -> None:
    assert classes(code=concept(SCT, "293637006") | {"text": "no known reaction"}) == EITHER
    assert classes(code=concept(SCT, "293637006") | {"text": "barium?"}) == EITHER


def test_n8_the_substance_of_a_reaction_counts_as_well() -> None:
    assert classes(code={"text": "Drug allergy"}, reaction=[{"substance": {"text": "Visipaque"}}]) == IODINATED


ANAPHYLAXIS = concept(SCT, "39579001")


@pytest.mark.parametrize(
    ("reaction", "expected"),
    [
        ({"manifestation": [ANAPHYLAXIS]}, Severity.SEVERE),
        ({"manifestation": [ANAPHYLAXIS], "severity": "mild"}, Severity.SEVERE),
        ({"manifestation": [{"concept": ANAPHYLAXIS}]}, Severity.SEVERE),
        ({"manifestation": [{"text": "Anaphylactic shock"}]}, Severity.SEVERE),
        ({"manifestation": [{"text": "Laryngeal oedema"}]}, Severity.SEVERE),
        ({"manifestation": [{"text": "Hives"}], "description": "went into cardiac arrest"}, Severity.SEVERE),
        ({"manifestation": [{"text": "No anaphylaxis"}]}, Severity.UNSTATED),
        ({"manifestation": [{"text": "Rash without anaphylaxis"}]}, Severity.UNSTATED),
        ({"manifestation": [{"text": "Hives, no signs of anaphylaxis"}]}, Severity.UNSTATED),
        ({"manifestation": [{"text": "no fever but anaphylaxis"}]}, Severity.SEVERE),
        ({"manifestation": [{"text": "Urticaria"}]}, Severity.UNSTATED),
        ({"manifestation": [{"text": "Urticaria"}], "severity": "moderate"}, Severity.NOT_SEVERE),
        ({"manifestation": "anaphylaxis"}, Severity.UNSTATED),
    ],
)
def test_n8_anaphylaxis_is_severe_without_being_called_so(reaction: dict[str, Any], expected: Severity) -> None:
    assert severity(reaction=[reaction]) is expected


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("Janumet 50 mg/1000 mg", True),
        ("GLUCOPHAGE 850", True),
        ("Synjardy XR", True),
        ("Jentadueto", True),
        ("Invokamet", True),
        ("Xigduo XR 10-1000", True),
        ("Actoplus Met", True),
        ("ACTOPLUS-MET 15/850", True),
        ("Kombiglyze XR", True),
        ("Metforminhydrochlorid 1000 mg", True),
        ("Januvia 100 mg", False),
        ("Jardiance", False),
        ("Actos", False),
        ("Onglyza", False),
    ],
)
def test_n4_metformin_by_the_brands_that_hold_it(name: str, taken: bool) -> None:
    resource = a_metformin(medicationCodeableConcept={"text": name})

    assert (takes_metformin([resource], TODAY) is not None) is taken


def test_n8_a_reaction_without_words_is_named_by_the_table() -> None:
    (found,) = contrast_reactions([an_allergy(code={"coding": [{"system": SCT, "code": "293637006"}]})])

    assert found.words == "Allergy to contrast media"
