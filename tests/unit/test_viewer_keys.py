"""The help of the viewer's keys names every key that the viewer hears, and no other."""

from __future__ import annotations

import re

from tests.conftest import CHECKOUT

HELP = CHECKOUT / "templates" / "smart" / "panel_keys.html"
BINDINGS = CHECKOUT / "static" / "viewer" / "hotkeys.js"
NAMES = {"↑": "up", "↓": "down", "←": "left", "→": "right", "−": "-"}
OF_THE_PAGE = {"f6"}
"""Heard by the page around the viewer and handed on by static/viewer/keys.js."""


def keys_of_the_help() -> set[str]:
    """What stands in ``<kbd>``; of "1 to 5" also the keys between."""
    words = re.sub(r"\{%.*?%\}", "", HELP.read_text())
    first, last = map(int, re.findall(r"<kbd>(\d)</kbd> to <kbd>(\d)</kbd>", words)[0])
    shown = {NAMES.get(key, key.lower().replace(" ", "")) for key in re.findall(r"<kbd>([^<]+)</kbd>", words)}
    return shown | {str(number) for number in range(first, last + 1)}


def keys_of_the_viewer() -> set[str]:
    """The first word of each binding, and one digit for each CT window."""
    script = BINDINGS.read_text()
    [windows] = re.findall(r"CT_WINDOWS = \[([^\]]*)\]", script)
    return set(re.findall(r'^ +\["([^"]+)", "\w+"', script, re.MULTILINE)) | {
        str(position) for position, _ in enumerate(windows.split(","), start=1)
    }


def test_the_help_and_the_viewer_have_the_same_keys() -> None:
    bound = keys_of_the_viewer()

    assert len(bound) == 27
    assert keys_of_the_help() == bound | OF_THE_PAGE
