"""The generated description of the settings (STYLE 11): names, kinds, defaults and meanings come from the dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from imaging_cds.cli import main
from imaging_cds.settings import ApplicationSettings, from_table
from imaging_cds.settings_table import DescribedSetting, as_markdown, attribute_docstrings, describe


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """One of several. More about it."""

    secret: str | None = field(default=None, repr=False)
    """What ``nobody`` sees; None = open. More about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """All of them."""

    port: int
    """Port a|b."""
    colours: tuple[Colour, ...] = (Colour.RED,)
    ratio: float = 0.0
    directory: Path | None = None
    is_open: bool = True
    title: str = ""
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inner: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    own: Inner = field(default_factory=Inner)


def test_kinds_and_defaults_are_said_in_words() -> None:
    rows = [(one.name, one.kind, one.default) for one in describe(Outer)[0].settings]

    assert rows == [
        ("port", "whole number", "must be given"),
        ("colours", "list of `red` or `blue`", "`red`"),
        ("ratio", "number", "`0.0`"),
        ("directory", "path", "not set"),
        ("is_open", "true or false", "true"),
        ("title", "text", "none"),
        ("allowed", "table of list of text", "none"),
    ]


def test_a_section_is_headed_as_the_file_writes_it_and_names_its_settings_in_full() -> None:
    sections = describe(Outer)
    meaning = "What `nobody` sees; not set = open."

    assert [(one.header, one.meaning) for one in sections] == [
        ("", "All of them."),
        ("[[inner]]", "One of several."),
        ("[by_name.{ehr}]", "One of several."),
        ("[own]", "One of several."),
    ]
    assert sections[1].settings == (
        DescribedSetting(name="inner.secret", kind="text, secret", default="not set", meaning=meaning),
    )
    assert [section.settings[0].name for section in sections[2:]] == ["by_name.{ehr}.secret", "own.secret"]


def test_a_bar_in_a_meaning_does_not_split_its_cell() -> None:
    assert "| `port` | whole number | must be given | Port a\\|b. |" in as_markdown(describe(Outer))


def test_what_the_table_says_is_handed_down_is_handed_down() -> None:
    top = {"public_base_url": "https://imaging.example", "viewer_dir": "viewer"}
    settings = from_table({**top, "state": {"state_dir": "state"}, "ehr": []})

    handed_down = {
        one.name: one.default.removeprefix("the top-level ").strip("`")
        for section in describe()
        for one in section.settings
        if one.default.startswith("the top-level")
    }
    assert sorted(handed_down) == [
        "cds.public_base_url",
        "imaging_server.public_base_url",
        "smart_app.public_base_url",
        "smart_app.viewer_dir",
    ]
    for name, source in handed_down.items():
        section, setting = name.split(".")
        assert str(getattr(getattr(settings, section), setting)) == top[source]


def test_every_field_of_every_settings_dataclass_is_in_the_table() -> None:
    described = {(one.name.rsplit(".", 1)[-1]) for section in describe() for one in section.settings}
    declared = {name for kind in settings_dataclasses(ApplicationSettings) for name in leaves(kind)}

    assert described == declared
    assert len([one for section in describe() for one in section.settings]) == sum(
        len(leaves(kind)) for kind in settings_dataclasses(ApplicationSettings)
    )


def test_every_setting_is_explained_beside_its_declaration() -> None:
    unexplained = [one.name for section in describe() for one in section.settings if not one.meaning]

    assert unexplained == [], "each needs a docstring below its attribute"


def test_docstrings_belong_to_the_attribute_above_them() -> None:
    assert attribute_docstrings(Outer) == {"port": "Port a|b."}


def test_the_command_prints_the_table_without_any_settings_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--describe"]) == 0

    assert capsys.readouterr().out == as_markdown(describe())


def settings_dataclasses(kind: type) -> list[type]:
    """The dataclass and all that its annotations name, found without the code under test."""
    found = [kind]
    for hint in get_type_hints(kind).values():
        for inner in (hint, *get_args(hint)):
            if isinstance(inner, type) and is_dataclass(inner):
                found += settings_dataclasses(inner)
    return found


def leaves(kind: Any) -> list[str]:
    """Names of the settings that are no tables themselves."""
    hints = get_type_hints(kind)
    return [
        one.name
        for one in fields(kind)
        if not any(isinstance(inner, type) and is_dataclass(inner) for inner in (hints[one.name], *get_args(hints[one.name])))
    ]
