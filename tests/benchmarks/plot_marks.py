"""The few marks of SVG that the picture is made of, with every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def number(value: float) -> str:
    """Short, and the same on every machine."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "") -> str:
    """One line of text; ``anchor`` is where in it ``x`` is: its start, ``middle`` or ``end``."""
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{number(x)}" y="{number(y)}"{more}>{escape(said)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" class="{kind}"/>'


def rectangle(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}" class="{kind}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> list[str]:
    """A line through the points, and a dot on each."""
    through = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    dots = [f'<circle cx="{number(x)}" cy="{number(y)}" r="3" class="dot-{kind}"/>' for x, y in points]
    return [f'<polyline points="{through}" class="{kind}"/>', *dots]
