"""Decimals as they were written (FHIR decimal), and an encoder that nothing in a text can mislead."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.written_number import WrittenNumber, json_text
from imaging_findings.code_replacement import _has_lost_number

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@given(st.lists(NUMBERS, max_size=4), st.text(max_size=20))
def test_numbers_come_out_as_they_went_in(numbers: list[str], beside: str) -> None:
    text = f'{{"numbers":[{",".join(numbers)}],"beside":{json.dumps(beside, ensure_ascii=False)}}}'

    assert json_text(json.loads(text, parse_float=WrittenNumber)) == text


def test_a_text_that_looks_like_a_mark_stays_a_text() -> None:
    assert json_text({"a": ":0", "b": WrittenNumber("1.50"), "c": '":0"'}) == '{"a":":0","b":1.50,"c":"\\":0\\""}'


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no JSON"):
        json_text({"a": object()})
    with pytest.raises(ValueError, match="Out of range"):
        json_text([float("nan")])


@pytest.mark.parametrize(
    ("value", "lost"),
    [
        (WrittenNumber("1.50"), False),
        (WrittenNumber("1E400"), True),
        ([{"x": WrittenNumber("-1e999")}], True),
        ({"value": 2.5}, True),
        ({"value": 2}, False),
    ],
)
def test_a_number_that_lost_its_digits_is_known(value: object, lost: bool) -> None:
    assert _has_lost_number(value) is lost
