"""R1, R2, R3: the one quick walk over an answer finds it right exactly where the walks that name places find nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.validator import faults_of, is_plainly_sound
from tests.examples import examples

_NAMES = st.sampled_from(["a", "extension", "resourceType", "é", "\ud800"])
_LEAVES = st.one_of(
    st.sampled_from([None, "", "x", "é", "\ud800", "\udc00x", 0, 1, True, False, 1.5]),
    st.floats(),
)
_ANY = st.recursive(
    _LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=3)), max_leaves=12
)
_CARD = {"summary": "s", "indicator": "info", "source": {"label": "l"}, "uuid": "u"}


@given(_ANY)
@settings(max_examples=examples(500))
def test_both_ways_of_looking_agree(member: object) -> None:
    answer = {"cards": [_CARD | {"member": member}]}

    assert is_plainly_sound(answer) is (faults_of(answer) == ())
