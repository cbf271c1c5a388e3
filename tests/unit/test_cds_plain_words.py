"""R25: words from outside are one plain line in a summary, and plain text in markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.plain_words import SUMMARY_MAX, escaped, one_sentence, shortened, utf16_length
from cds_service.validator import faults_of


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        ("left\u00a0lung", "left lung"),
        ("left\n\tlung", "left lung"),
        ("soft\u00adhyphen", "softhyphen"),
        ("joined\u200dmarks", "joinedmarks"),
        ("to the \u202eright", "to the right"),
        ("half \ud83d a pair", "half  a pair"),
        ("whole \U0001f600 pair", "whole \U0001f600 pair"),
    ],
)
def test_r25_a_summary_is_one_plain_line(words: str, plain: str) -> None:
    assert one_sentence(words) == plain


@given(st.text())
def test_r25_a_summary_is_under_140_characters_however_a_client_counts_them(words: str) -> None:
    said = one_sentence(words)

    assert len(said) <= utf16_length(said) <= SUMMARY_MAX
    assert len(said.encode("utf-16-le")) // 2 == utf16_length(said)
    assert "\n" not in said
    assert said.isprintable()


def test_r25_139_are_kept_and_140_are_cut_also_of_emoji() -> None:
    assert one_sentence("x" * 139) == "x" * 139
    assert one_sentence("x" * 140) == "x" * 138 + "…"
    assert one_sentence("\U0001f600" * 139) == "\U0001f600" * 69 + "…"


@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_shortened_words_keep_whole_characters(length: int) -> None:
    assert utf16_length(shortened("\U0001f600" * length, 21)) <= 21


@pytest.mark.parametrize(
    ("words", "trigger"),
    [
        ("see https://evil.example/x", "://"),
        ("see HTTP://evil.example", "://"),
        ("see www.evil.example", "www."),
        ("see WWW.evil.example", "WWW."),
        ("write to a@evil.example", "a@evil"),
        ("mailto:a@evil.example", "a@evil"),
    ],
)
def test_r25_report_text_becomes_no_link(words: str, trigger: str) -> None:
    assert trigger in words
    assert trigger not in escaped(words)


@pytest.mark.parametrize("mark", list("\\`*_[]|~#"))
def test_r25_report_text_becomes_no_markup(mark: str) -> None:
    assert escaped(f"a{mark}b") == f"a\\{mark}b"


def test_r25_report_text_becomes_no_html() -> None:
    assert escaped("<b onclick=x> & </b>") == "&lt;b onclick=x&gt; &amp; &lt;/b&gt;"


def test_r25_the_outbound_check_counts_as_clients_of_every_kind_do() -> None:
    def card(summary: str) -> dict[str, object]:
        topic = {"system": "https://imaging-cds.example/x", "code": "c"}
        return {"uuid": "1", "summary": summary, "indicator": "info", "source": {"label": "a", "topic": topic}}

    assert faults_of({"cards": [card("\U0001f600" * 69)]}) == ()
    assert "R25" in faults_of({"cards": [card("\U0001f600" * 70)]})[0]
