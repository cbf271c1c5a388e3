"""An EHR's style becomes plain values or nothing, and a page that stays readable (APP-A31, security group 27)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from smart_app.style import (
    Colour,
    EhrStyle,
    Range,
    contrast,
    read_backdrop,
    read_colour,
    read_families,
    read_length,
    read_style,
)
from smart_app.style_sheet import OWN, READABLE, style_sheet
from tests.conftest import CHECKOUT

SMART_EXAMPLE = {
    "color_background": "#edeae3",
    "color_error": "#9e2d2d",
    "color_highlight": "#69b5ce",
    "color_modal_backdrop": "",
    "color_success": "#498e49",
    "color_text": "#303030",
    "dim_border_radius": "6px",
    "dim_font_size": "13px",
    "dim_spacing_size": "20px",
    "font_family_body": "Georgia, Times, 'Times New Roman', serif",
    "font_family_heading": "'HelveticaNeue-Light', Helvetica, Arial, 'Lucida Grande', sans-serif;",
}
HOSTILE = [
    "red; } body { display: none",
    "url(https://evil.example/x)",
    "expression(alert(1))",
    "#fff/**/",
    "#ffff",
    "#12345g",
    "\uff03ffffff",
    "#fff\n",
    "rgb(300,0,0)",
    "rgb(1,2)",
    "var(--ink)",
    "</style><script>alert(1)</script>",
    "\\23 fff",
    "transparent",
    "",
    " ",
    "a" * 5000,
]


def declared(sheet: str) -> dict[str, str]:
    """The properties of a sheet by scheme and name, such as ``light --ink``."""
    found = {}
    for block in sheet.splitlines():
        scheme = match[1] + " " if (match := re.search(r"prefers-color-scheme: (\w+)", block)) else ""
        body = re.search(r":root \{(.*?)\}", block)
        assert body is not None
        found |= {scheme + name: value for name, value in re.findall(r"([\w-]+): ([^;]+);", body[1])}
    return found


@pytest.mark.parametrize(
    ("value", "colour"),
    [
        ("#fff", Colour(255, 255, 255)),
        ("#EDEAE3", Colour(0xED, 0xEA, 0xE3)),
        ("rgb(1, 2,3)", Colour(1, 2, 3)),
        ("#102030ff", Colour(16, 32, 48)),
        ("#10203080", None),
        ("rgba(1,2,3,0.5)", None),
        *((hostile, None) for hostile in HOSTILE),
    ],
)
def test_a31_a_colour_is_a_colour_or_nothing(value: str, colour: Colour | None) -> None:
    assert read_colour(value) == colour


def test_a31_what_lies_behind_a_dialog_is_never_solid() -> None:
    assert read_backdrop("#101828") == Colour(16, 24, 40, 0.5)
    assert read_backdrop("rgba(0,0,0,.3)") == Colour(0, 0, 0, 0.3)
    assert read_backdrop("url(x)") is None


@pytest.mark.parametrize(
    ("value", "pixels"),
    [
        ("6px", 6),
        ("1rem", 16),
        ("1.25em", 20),
        ("12pt", 16),
        ("100%", 16),
        ("0", 0),
        ("6", None),
        ("99px", None),
        ("-1px", None),
        ("1e3px", None),
        ("calc(1px)", None),
        ("6px;}", None),
        ("\u0666px", None),
        *((hostile, None) for hostile in HOSTILE),
    ],
)
def test_a31_a_length_is_one_that_a_page_can_bear(value: str, pixels: float | None) -> None:
    assert read_length(value, Range(0, 24)) == pixels


@pytest.mark.parametrize(
    ("value", "families"),
    [
        ("Georgia, serif", ('"Georgia"', "serif")),
        ("'Lucida Grande', \"Segoe UI\", sans-serif;", ('"Lucida Grande"', '"Segoe UI"', "sans-serif")),
        ("'serif'", ('"serif"',)),
        ("Arial, url(https://evil.example/f)", None),
        ('Arial"; } * { display: none', None),
        ("Arial\\, x", None),
        ("Arial,,serif", None),
        (", ".join(["Arial"] * 9), None),
        ("inherit}", None),
        *((hostile, None) for hostile in HOSTILE if hostile != "transparent" and hostile != "a" * 5000),
    ],
)
def test_a31_font_families_are_plain_names(value: str, families: tuple[str, ...] | None) -> None:
    assert read_families(value) == families


@pytest.mark.parametrize("name", [*SMART_EXAMPLE, "color_unknown"])
@pytest.mark.parametrize("value", [*(one for one in HOSTILE if one.strip() != "#fff"), None, 7, ["#fff"], {"a": 1}])
def test_a31_a_hostile_value_leaves_no_trace_and_spoils_no_other(name: str, value: object) -> None:
    others = {one: words for one, words in SMART_EXAMPLE.items() if one != name}
    plain = style_sheet(read_style(others))
    sheet = style_sheet(read_style({**others, name: value}))

    if not (name.startswith("font") and value == "transparent"):  # a family may be called so
        assert sheet == plain
    assert not re.search(r"url|expression|script|/\*|evil|\\|@import|<|var\(", sheet)
    assert re.fullmatch(r"[ -~\n]*", sheet)


def test_a31_smarts_own_example_is_followed_where_it_is_readable() -> None:
    sheet = declared(style_sheet(read_style(SMART_EXAMPLE)))

    assert sheet["light --ground"] == "#edeae3"
    assert sheet["light --ink"] == "#303030"
    assert sheet["light --alert"] == "#9e2d2d"
    assert "light --brand" not in sheet, "#69b5ce is too pale for a link"
    assert "dark --ground" not in sheet, "a dark preference is not answered by a light page"
    assert sheet["font-size"] == "81.25%"
    assert sheet["--radius"] == "0.375rem"
    assert sheet["--space"] == "1.25rem"
    assert sheet["--font-heading"].startswith('"HelveticaNeue-Light", "Helvetica"')


def test_a31_a_dark_ehr_gets_dark_pages_whatever_the_computer_prefers() -> None:
    sheet = declared(style_sheet(read_style({"color_background": "#101418", "color_text": "#eeeeee"})))

    for scheme in ("light", "dark"):
        assert sheet[f"{scheme} --ground"] == "#101418"
        assert sheet[f"{scheme} color-scheme"] == "dark"


@pytest.mark.parametrize(
    "colours",
    [
        {"color_background": "#777777"},
        {"color_background": "#ffffff", "color_text": "#cccccc"},
        {"color_text": "#ffff00"},
        {"color_highlight": "#ffff00", "color_error": "#ff8888", "color_success": "#88ff88"},
        {"color_background": "#808080", "color_text": "#7f7f7f"},
        {"color_background": "#300000", "color_text": "#ffdddd", "color_highlight": "#550000"},
        SMART_EXAMPLE,
        {},
    ],
)
def test_a31_every_page_stays_readable(colours: dict[str, Any]) -> None:
    sheet = declared(style_sheet(read_style(colours)))
    for scheme, own in OWN.items():
        page = {
            name: read_colour(sheet.get(f"{scheme} --{name.replace('_', '-')}", "")) or getattr(own, name)
            for name in ("ground", "paper", "ink", "quiet", "brand", "brand_ink", "alert", "success")
        }

        for words in ("ink", "quiet", "brand", "alert", "success"):
            assert contrast(page[words], page["ground"]) >= READABLE, (scheme, words)
            assert contrast(page[words], page["paper"]) >= READABLE, (scheme, words)
        assert contrast(page["brand_ink"], page["brand"]) >= READABLE


def test_a31_no_usable_value_makes_no_sheet() -> None:
    assert style_sheet(EhrStyle()) == ""
    assert style_sheet(read_style(dict.fromkeys(SMART_EXAMPLE, "nonsense{"))) == ""


def test_our_own_colours_are_those_of_the_style_sheet() -> None:
    css = (CHECKOUT / "static" / "app.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    for block, own in ((light, OWN["light"]), (dark, OWN["dark"])):
        stated = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))

        for name in ("ground", "paper", "ink", "quiet", "line", "brand", "brand-ink", "warn-ground", "alert", "success"):
            assert stated[name] == getattr(own, name.replace("-", "_")).css
