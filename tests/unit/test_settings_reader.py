"""Settings are read whole: every fault is listed at once, secrets come from the environment (STYLE 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from imaging_cds.settings_reader import build, overlay


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    name: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    port: int
    inner: tuple[Inner, ...] = ()
    origins: tuple[str, ...] = ()
    colour: Colour = Colour.RED
    directory: Path | None = None
    is_open: bool = False
    by_name: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.port < 0:
            raise ValueError("port must not be negative")


def read(table: dict[str, object]) -> tuple[Outer | None, list[str]]:
    problems: list[str] = []
    return build(Outer, table, "", problems), problems


def test_a_whole_table_becomes_a_dataclass() -> None:
    settings, problems = read(
        {
            "port": 1,
            "inner": [{"name": "a"}],
            "origins": ["x"],
            "colour": "red",
            "directory": "d",
            "is_open": True,
            "by_name": {"a": "b"},
        }
    )

    assert problems == []
    assert settings == Outer(
        port=1, inner=(Inner(name="a"),), origins=("x",), directory=Path("d"), is_open=True, by_name={"a": "b"}
    )


def test_every_fault_is_listed_at_once() -> None:
    settings, problems = read(
        {"inner": [{"nme": "a"}], "origins": 5, "colour": "blue", "is_open": "perhaps", "by_name": [], "portt": 1}
    )

    assert settings is None
    assert problems == [
        "portt: there is no such setting.",
        "port: must be given.",
        "inner[0].nme: there is no such setting.",
        "inner[0].name: must be given.",
        "origins: must be a list.",
        "colour: must be one of red.",
        "is_open: must be true or false.",
        "by_name: must be a table.",
    ]


@pytest.mark.parametrize(("value", "said"), [("x", "port: must be a number."), (-1, ": port must not be negative")])
def test_wrong_numbers_are_named(value: object, said: str) -> None:
    assert read({"port": value}) == (None, [said])


def test_the_environment_goes_over_the_file_and_finds_list_entries_by_name() -> None:
    table = {"port": 1, "inner": [{"name": "a-b"}]}
    environment = {
        "IMAGING_CDS__PORT": "2",
        "IMAGING_CDS__INNER__A_B__SECRET": "s",
        "IMAGING_CDS__ORIGINS": "x, y",
        "OTHER": "z",
    }

    settings, problems = read(overlay(table, environment))

    assert problems == []
    assert settings == Outer(port=2, inner=(Inner(name="a-b", secret="s"),), origins=("x", "y"))
    assert table == {"port": 1, "inner": [{"name": "a-b"}]}
