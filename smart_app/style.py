"""How an EHR wants its apps to look, read out of what it sent: plain values or nothing, never a piece of CSS.

Spec: SMART App Launch 2.2 "Styling" (A31, experimental).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")

_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})", re.ASCII | re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?:,\s*([01]|0?\.\d{1,3})\s*)?\)", re.ASCII)
_LENGTH = re.compile(r"(\d{1,3}(?:\.\d{1,3})?|\.\d{1,3})(px|rem|em|pt|%)?", re.ASCII)
_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9 -]{0,39}", re.ASCII)
_GENERIC = frozenset({"serif", "sans-serif", "monospace", "system-ui", "ui-serif", "ui-sans-serif", "ui-rounded"})
_MAX_FAMILIES = 8
_MAX_WORDS = 400
_PX = {"px": 1.0, "rem": 16.0, "em": 16.0, "pt": 4 / 3, "%": 0.16, "": 1.0}


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour of the sRGB space, each part 0 to 255; ``alpha`` 0 (clear) to 1."""

    red: int
    green: int
    blue: int
    alpha: float = 1.0

    @property
    def css(self) -> str:
        """As a style sheet writes it."""
        solid = f"#{self.red:02x}{self.green:02x}{self.blue:02x}"
        return solid if self.alpha == 1 else f"{solid}{round(self.alpha * 255):02x}"

    @property
    def luminance(self) -> float:
        """Relative luminance (WCAG 2.2), 0 for black and 1 for white."""
        parts = (self.red / 255, self.green / 255, self.blue / 255)
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def mixed(self, other: Colour, share: float) -> Colour:
        """This colour with a ``share`` of the other, both taken as solid."""
        parts = ((self.red, other.red), (self.green, other.green), (self.blue, other.blue))
        return Colour(*(round(mine + (theirs - mine) * share) for mine, theirs in parts))


@dataclass(frozen=True, slots=True)
class Range:
    """The sizes that a page can bear, in pixels of a screen at 100 %."""

    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EhrStyle:
    """The usable values of one EHR's style, lengths in pixels; None where a value is absent or cannot be used."""

    background: Colour | None = None
    text: Colour | None = None
    highlight: Colour | None = None
    error: Colour | None = None
    success: Colour | None = None
    backdrop: Colour | None = None
    radius: float | None = None
    font_size: float | None = None
    spacing: float | None = None
    body_fonts: tuple[str, ...] = ()
    heading_fonts: tuple[str, ...] = ()


def read_style(document: Mapping[str, Any]) -> EhrStyle:
    """The style in a JSON object. Each value stands for itself: one that cannot be used leaves the others."""

    def of(name: str, read: Callable[[str], Value | None]) -> Value | None:
        value = document.get(name)
        return read(value.strip()) if isinstance(value, str) and len(value) <= _MAX_WORDS else None

    return EhrStyle(
        background=of("color_background", read_colour),
        text=of("color_text", read_colour),
        highlight=of("color_highlight", read_colour),
        error=of("color_error", read_colour),
        success=of("color_success", read_colour),
        backdrop=of("color_modal_backdrop", read_backdrop),
        radius=of("dim_border_radius", lambda value: read_length(value, Range(0, 24))),
        font_size=of("dim_font_size", lambda value: read_length(value, Range(12, 24))),
        spacing=of("dim_spacing_size", lambda value: read_length(value, Range(4, 32))),
        body_fonts=of("font_family_body", read_families) or (),
        heading_fonts=of("font_family_heading", read_families) or (),
    )


def read_colour(value: str) -> Colour | None:
    """A solid colour: ``#rgb``, ``#rrggbb``, ``rgb(…)``."""
    colour = _colour(value)
    return colour if colour is not None and colour.alpha == 1 else None


def read_backdrop(value: str) -> Colour | None:
    """The colour behind a dialog, which may be clear in part; a solid one is made half clear."""
    colour = _colour(value)
    if colour is None or colour.alpha < 1:
        return colour
    return Colour(colour.red, colour.green, colour.blue, 0.5)


def read_length(value: str, bearable: Range) -> float | None:
    """A length in pixels; None where it is none or a page could not bear it."""
    match = _LENGTH.fullmatch(value)
    if match is None or (match[2] is None and float(match[1]) != 0):
        return None
    pixels = float(match[1]) * _PX[match[2] or ""]
    return pixels if bearable.least <= pixels <= bearable.most else None


def read_families(value: str) -> tuple[str, ...] | None:
    """Font families by plain names, as ready for a style sheet; None where one of them is anything else."""
    names = [name.strip() for name in value.rstrip("; ").split(",")]
    families = tuple(_family(name) for name in names)
    return tuple(filter(None, families)) if all(families) and len(families) <= _MAX_FAMILIES else None


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two solid colours (WCAG 2.2), from 1 to 21."""
    lighter, darker = sorted((one.luminance, other.luminance), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _colour(value: str) -> Colour | None:
    if _HEX.fullmatch(value):
        digits = value[1:] if len(value) > 4 else "".join(digit * 2 for digit in value[1:])
        red, green, blue, *alpha = bytes.fromhex(digits)
        return Colour(red, green, blue, alpha[0] / 255 if alpha else 1.0)
    match = _RGB.fullmatch(value)
    if match is None or any(int(match[part]) > 255 for part in (1, 2, 3)):
        return None
    return Colour(int(match[1]), int(match[2]), int(match[3]), float(match[4]) if match[4] else 1.0)


def _family(name: str) -> str | None:
    """One name, quoted unless it is a generic one."""
    quoted = len(name) > 2 and name[0] == name[-1] and name[0] in "'\""
    plain = name[1:-1] if quoted else name
    if not _FAMILY.fullmatch(plain):
        return None
    return plain if plain in _GENERIC and not quoted else f'"{plain}"'
