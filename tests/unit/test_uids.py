"""Only strict DICOM UIDs pass (smart-imaging group 12)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging import uids


@pytest.mark.parametrize("text", ["1", "1.2.840.10008", "2.25." + "9" * 59, "1.02.3"])
def test_dotted_digits_up_to_64_characters_are_uids(text: str) -> None:
    assert uids.is_uid(text)


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".1", "1..2", "1.2\n", "1.2 ", "1,2", "1.2,1.3", "a.b", "٣.١", "1.2/..", "%31", "2.25." + "9" * 60]
)
def test_everything_else_is_refused(text: str) -> None:
    assert not uids.is_uid(text)
    with pytest.raises(ValueError, match="not a DICOM UID"):
        uids.study_uid(text)


@given(st.text(max_size=80))
def test_what_passes_is_ascii_digits_and_dots_only(text: str) -> None:
    if uids.is_uid(text):
        assert set(text) <= set("0123456789.")
        assert len(text) <= 64


def test_urn_forms_are_read_and_written() -> None:
    assert uids.from_urn("urn:oid:1.2.3") == "1.2.3"
    assert uids.from_urn("1.2.3\0") == "1.2.3"
    assert uids.from_urn("urn:uuid:1.2.3") is None
    assert uids.to_urn("1.2.3") == "urn:oid:1.2.3"
