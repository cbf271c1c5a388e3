"""Scopes are a set read by grammar (APP-A15, APP-A16, APP-A17; smart-imaging group 7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.scopes import ScopeContext, parse_scopes

PATIENT = (ScopeContext.PATIENT,)


@pytest.mark.parametrize(
    "granted",
    [
        "patient/ImagingStudy.rs",
        "patient/ImagingStudy.r patient/ImagingStudy.s",
        "patient/*.rs",
        "patient/*.read",
        "patient/ImagingStudy.read launch openid",
        "patient/ImagingStudy.cruds",
        "patient/*.*",
    ],
)
def test_read_and_search_are_granted_in_every_spelling(granted: str) -> None:
    scopes = parse_scopes(granted)

    assert scopes.allows("ImagingStudy", "r", contexts=PATIENT)
    assert scopes.allows("ImagingStudy", "s", contexts=PATIENT)
    assert scopes.letters_for("ImagingStudy", contexts=PATIENT) >= {"r", "s"}


@pytest.mark.parametrize(
    "granted",
    [
        "",
        "launch openid fhirUser",
        "patient/Patient.rs",
        "patient/ImagingStudy.c",
        "patient/ImagingStudy.sr",
        "patient/ImagingStudy.rr",
        "patient/ImagingStudyX.rs",
        "xpatient/ImagingStudy.rs",
        "patient/imagingstudy.rs",
        "patient/ImagingStudy.write",
        "system/ImagingStudy.rs",
        "user/ImagingStudy.rs",
        "patient/ImagingStudy.rs\tx",
        "x\npatient/ImagingStudy.rs",
        "patient/ImagingStudy.rs?modality=CT",
        "patient/ImagingStudy.",
    ],
)
def test_look_alikes_and_filtered_scopes_grant_no_unfiltered_read(granted: str) -> None:
    assert not parse_scopes(granted).allows("ImagingStudy", "r", contexts=PATIENT)


def test_a_filtered_scope_keeps_its_filter() -> None:
    scopes = parse_scopes("patient/ImagingStudy.rs?modality=CT&status=available")

    (scope,) = scopes.granting("ImagingStudy", "r", contexts=PATIENT)
    assert scope.filters == (("modality", "CT"), ("status", "available"))


def test_r_does_not_grant_search_and_s_does_not_grant_read() -> None:
    assert not parse_scopes("patient/ImagingStudy.r").allows("ImagingStudy", "s", contexts=PATIENT)
    assert not parse_scopes("patient/ImagingStudy.s").allows("ImagingStudy", "r", contexts=PATIENT)


def test_other_scopes_are_kept_by_name() -> None:
    assert parse_scopes("launch/patient openid").other == {"launch/patient", "openid"}


@given(st.text(max_size=60))
def test_no_input_raises(text: str) -> None:
    parse_scopes(text)


# The grammar, held against a second reading of the specification that shares nothing with the parser


LETTERS = [
    "".join(letter for letter, chosen in zip("cruds", f"{bits:05b}", strict=True) if chosen == "1") for bits in range(1, 32)
]
V1 = {"read": "rs", "write": "cud", "*": "cruds"}
contexts = st.sampled_from(["patient", "user", "system"])
types = st.sampled_from(["ImagingStudy", "Patient", "Observation", "*"])
accesses = st.sampled_from([*LETTERS, *V1])
words = st.text(st.sampled_from("abcXYZ019|,.:-_%/"), min_size=1, max_size=12)
filters = st.lists(st.tuples(st.sampled_from(["modality", "status", "_tag", "modality:not"]), words), max_size=3)
other_words = st.sampled_from(["openid", "fhirUser", "launch", "launch/patient", "offline_access", "profile"])


@st.composite
def clinical_words(draw: st.DrawFn) -> str:
    named = [f"{name}={value}" for name, value in draw(filters)]
    query = "?" + "&".join(named) if named else ""
    return f"{draw(contexts)}/{draw(types)}.{draw(accesses)}{query}"


def read_by_hand(word: str) -> tuple[str, str, frozenset[str], int] | None:
    """Context, type, letters and number of filters of a word; None when it is no clinical scope."""
    context, slash, rest = word.partition("/")
    kind, dot, rest = rest.partition(".")
    access, mark, query = rest.partition("?")
    parts = query.split("&") if mark else []
    if context not in ("patient", "user", "system") or not slash or not dot:
        return None
    if kind != "*" and not (kind.isascii() and kind.isalpha() and kind[0].isupper()):
        return None
    if access not in LETTERS and access not in V1:
        return None
    if any(not part.partition("=")[0] or "=" not in part or "?" in part for part in parts) or (mark and not query):
        return None
    if any(character.isspace() for character in query):
        return None
    return context, kind, frozenset(V1.get(access, access)), len(parts)


@given(st.lists(clinical_words() | other_words, max_size=5))
def test_every_scope_of_the_grammar_is_read_as_it_was_written(granted: list[str]) -> None:
    read = parse_scopes(" ".join(granted)).clinical

    assert [(one.context.value, one.resource_type, one.letters, len(one.filters)) for one in read] == [
        by_hand for by_hand in map(read_by_hand, granted) if by_hand
    ]


@given(clinical_words(), st.integers(0, 60), st.sampled_from([*"\t\r\n\0&?=*./,;+%sruXé ", ""]), st.booleans())
def test_a_scope_with_one_character_changed_grants_what_the_grammar_says(word: str, at: int, mark: str, inserted: bool) -> None:
    """Look-alikes (group 7): a damaged scope never grants more than its own reading, and never raises."""
    at = min(at, len(word))
    changed = word[:at] + mark + word[at + (0 if inserted else 1) :]
    expected = [by_hand for by_hand in map(read_by_hand, changed.split(" ")) if by_hand]

    read = parse_scopes(changed).clinical

    assert [(one.context.value, one.resource_type, one.letters, len(one.filters)) for one in read] == expected


@given(st.text(st.sampled_from("patienuserym/IgSdy*.rscudw?=&modlCT \t"), max_size=40))
def test_text_near_the_grammar_grants_what_a_second_reading_grants(text: str) -> None:
    expected = [by_hand for by_hand in map(read_by_hand, text.split(" ")) if by_hand]

    assert len(parse_scopes(text).clinical) == len(expected)


@pytest.mark.parametrize("query", ["?", "?&", "?&&", "?modality", "?=CT", "?modality=CT&", "?&modality=CT", "?modality=CT?x=y"])
def test_a_query_that_holds_no_readable_filter_does_not_widen_the_scope(query: str) -> None:
    """P6: a filter that cannot be read grants nothing, least of all everything."""
    assert parse_scopes(f"patient/ImagingStudy.rs{query}").clinical == ()
