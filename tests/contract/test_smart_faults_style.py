"""The app and styles of an EHR that must not be followed blindly (SBX-S11 against APP-A31)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ehr_sandbox.settings import Faults
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC) as made:
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


def sheet_of(hospital: Hospital) -> str:
    """The style sheet of the session, as its pages load it."""
    answer = hospital.clinician.get(f"/s/{hospital.clinician.session}/style.css")
    assert answer.status_code == 200
    assert answer.mimetype == "text/css"
    return answer.text


def test_s11_a31_the_sandboxs_own_style_is_taken(hospital: Hospital) -> None:
    page = hospital.launches(smart_style=True)

    assert page.status_code == 200
    assert "#0b5c8a" in sheet_of(hospital).lower()


@pytest.mark.parametrize("style", ["hostile", "low-contrast", "missing"])
def test_s11_a31_a_bad_style_leaves_the_page_readable_and_lets_nothing_through(hospital: Hospital, style: str) -> None:
    page = hospital.launches(smart_style=True, faults=Faults(style=style))
    sheet = sheet_of(hospital)

    assert page.status_code == 200
    assert "CT chest" in page.text
    for text in (page.text, sheet):
        for bad in ("attacker", "display:none", "expression(", "<script>alert", "@import", "900px", "99999"):
            assert bad not in text


def test_s11_a31_text_without_contrast_is_not_taken(hospital: Hospital) -> None:
    hospital.launches(smart_style=True, faults=Faults(style="low-contrast"))

    assert "#e6e6e6" not in sheet_of(hospital).lower()
