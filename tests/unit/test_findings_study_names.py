"""O1 and 7.3: what sites type for an examination or a body part is read as meant, and what is not understood stays text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_findings.body_parts import body_parts_of
from imaging_findings.study_kinds import Basis, Contrast, Purpose, Side, kind_of_order, kind_of_study, study_kind_of
from imaging_findings.study_names import read_name


@pytest.mark.parametrize(
    ("name", "modality", "regions", "contrast"),
    [
        ("CT CHEST W/O CONTRAST", "CT", "chest", "without"),
        ("CT abd/pel w/ & w/o IV con", "CT", "abdomen pelvis", "both"),
        ("MRI BRAIN WWO", "MR", "head", "both"),
        ("CT Thorax nativ", "CT", "chest", "without"),
        ("CT Schädel mit KM", "CT", "head", "with"),
        ("TDM thoraco-abdomino-pelvienne avec injection", "CT", "chest abdomen pelvis", "with"),
        ("TC de tórax sin contraste", "CT", "chest", "without"),
        ("CT C/A/P with IV contrast", "CT", "chest abdomen pelvis", "with"),
        ("CT abdomen with oral contrast only", "CT", "abdomen", "other-route"),
        ("CT abdomen without oral contrast with IV contrast", "CT", "abdomen", "with"),
        ("PET/CT skull base to mid-thigh", "PT", "neck chest abdomen pelvis", "unknown"),
        ("XR T-spine", "XR", "thoracic-spine", "unknown"),
        ("CXR", "XR", "chest", "unknown"),
        ("please call back", None, "", "unknown"),
    ],
)
def test_names_as_sites_type_them(name: str, modality: str | None, regions: str, contrast: str) -> None:
    read = read_name(name)

    assert (read.modality, read.regions, read.contrast) == (modality, frozenset(regions.split()), Contrast(contrast))


def test_sides_and_purposes_of_names() -> None:
    assert read_name("IRM du genou gauche").side is Side.LEFT
    assert read_name("XR knee r/o fracture").side is Side.UNSTATED
    assert read_name("XR Chest left lateral").side is Side.UNSTATED
    assert read_name("LDCT lung screening").purpose is Purpose.SCREENING
    assert read_name("CT guided biopsy lung").purpose is Purpose.INTERVENTION


@pytest.mark.parametrize(
    ("stated", "codes"),
    [
        ("C-SPINE", ["122494005"]),
        ("L-SPINE", ["122496007"]),
        ("CHEST ", ["816094009"]),
        ("thorax", ["816094009"]),
        ("chest/abd/pelvis", ["416775004"]),
        ("Abdomen & Pelvis", ["818982008"]),
        ("neck, chest, abdomen & pelvis", ["416319003"]),
        ("PELVIS AND HIP", ["816092008", "24136001"]),
        ("Knie", ["72696002"]),
        ("L KNEE", ["72696002"]),
        ("Fuß", ["56459004"]),
        ("tórax", ["816094009"]),
        ("genou", ["72696002"]),
        ("UNKNOWN", []),
        ("chest and something", []),
        ("", []),
    ],
)
def test_m3_body_parts_as_sites_type_them(stated: str, codes: list[str]) -> None:
    assert [part.code.code for part in body_parts_of(stated)] == codes


def test_limb_code_is_narrowed_by_the_body_site_of_the_order() -> None:
    order = {
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "73721"}]},
        "bodySite": [{"coding": [{"system": "http://snomed.info/sct", "code": "72696002"}]}],
    }

    assert kind_of_order(order).regions == {"knee"}


def test_study_without_codes_is_read_from_modality_and_site_then_words() -> None:
    series = [{"modality": {"code": "CT"}, "bodySite": {"display": "CHEST"}}]

    assert kind_of_study({"series": series}).basis is Basis.MODALITY_AND_SITE
    assert study_kind_of(words=["CT Chest W contrast"]).basis is Basis.WORDS
    assert kind_of_study({}).basis is Basis.NOTHING


def test_r5_study_and_pet_ct() -> None:
    concept = {"coding": [{"system": "http://loinc.org", "code": "29252-4"}]}
    kind = kind_of_study({"procedure": [{"concept": concept}], "modality": [{"coding": [{"code": "CT"}]}]})

    assert (kind.family, kind.regions, kind.contrast) == ("CT", {"chest"}, Contrast.WITHOUT)
    assert study_kind_of(modalities=["PT", "CT"]).family == "NM"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "coding", "text", "series", "bodySite", "modality", "procedureCode", "laterality"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["code", "series", "bodySite", "modality", "procedureCode", "description"]), _JSON))
def test_no_shape_of_a_resource_raises(resource: dict[str, object]) -> None:
    assert kind_of_study(resource).families is not None
    assert kind_of_order(resource).regions is not None
