"""An EHR's style as custom properties of our pages, kept readable: what does not reach WCAG AA falls back to our own colours.

A dark EHR gets dark pages. A light EHR colours the light pages only: whoever asked the computer for dark pages keeps them.
The viewer is dark whatever the style says.

Spec: SMART App Launch 2.2 "Styling" (A31), WCAG 2.2 §1.4.3, §1.4.4 (sizes stay relative to the reader's own).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from smart_app.style import Colour, EhrStyle, contrast

READABLE = 4.5
"""Least contrast of text (WCAG 2.2 AA)."""
_DARK_BELOW = 0.18
"""Luminance at which black and white text are equally readable."""
_WHITE, _BLACK = Colour(255, 255, 255), Colour(0, 0, 0)
_SCHEMES = {"light": "(prefers-color-scheme: light)", "dark": "(prefers-color-scheme: dark)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of a page, by the names that static/app.css gives them."""

    ground: Colour
    paper: Colour
    ink: Colour
    quiet: Colour
    line: Colour
    brand: Colour
    brand_ink: Colour
    warn_ground: Colour
    alert: Colour
    success: Colour

    @property
    def grounds(self) -> tuple[Colour, ...]:
        """What text stands on."""
        return (self.ground, self.paper, self.warn_ground)


def _of(ground: str, paper: str, ink: str, quiet: str, line: str, *more: str) -> Palette:
    colours = (ground, paper, ink, quiet, line, *more)
    names = (field.name for field in fields(Palette))
    return Palette(**{name: Colour(*bytes.fromhex(code[1:])) for name, code in zip(names, colours, strict=True)})


OWN = {
    "light": _of(
        *("#f4f6f8", "#ffffff", "#16202b", "#51606f", "#d3dae1"),
        *("#0b5cad", "#ffffff", "#fff4d6", "#a61b1b", "#146c43"),
    ),
    "dark": _of(
        *("#10161c", "#18212a", "#e8edf2", "#a3b1bf", "#33414e"),
        *("#6db3f2", "#0b1722", "#3a2f12", "#ff9b9b", "#7fd6a8"),
    ),
}
"""Our own colours, as static/app.css has them; a test compares the two."""


def style_sheet(style: EhrStyle) -> str:
    """The style sheet that goes after static/app.css. Empty where no value can be used."""
    rules = [f":root {{ {' '.join(shapes)} }}"] if (shapes := _shapes(style)) else []
    is_dark = style.background is not None and style.background.luminance < _DARK_BELOW
    for scheme, query in _SCHEMES.items():
        coloured = _coloured(style, OWN["dark" if is_dark else scheme], may_repaint=is_dark or scheme == "light")
        changed = [f"--{name}: {colour.css};" for name, colour in _changes(OWN[scheme], coloured)]
        if is_dark:
            changed.append("color-scheme: dark;")
        if changed:
            rules.append(f"@media {query} {{ :root {{ {' '.join(changed)} }} }}")
    return "\n".join(rules)


def _shapes(style: EhrStyle) -> list[str]:
    """What holds in both schemes; lengths in rem, so that they grow with the reader's own size of text."""
    found = {
        "--radius": None if style.radius is None else f"{style.radius / 16:.4g}rem",
        "--space": None if style.spacing is None else f"{style.spacing / 16:.4g}rem",
        "--backdrop": style.backdrop.css if style.backdrop else None,
        "--font-body": ", ".join(style.body_fonts) or None,
        "--font-heading": ", ".join(style.heading_fonts) or None,
        "font-size": None if style.font_size is None else f"{style.font_size / 16:.2%}",
    }
    return [f"{name}: {value};" for name, value in found.items() if value is not None]


def _coloured(style: EhrStyle, own: Palette, *, may_repaint: bool) -> Palette:
    """Our colours with those of the style that stay readable."""
    painted = _painted(style, own) if may_repaint else own
    brand = _first_readable((style.highlight, own.brand), painted)
    return replace(
        painted,
        brand=brand,
        brand_ink=max(_WHITE, _BLACK, key=lambda ink: contrast(ink, brand)) if brand != own.brand else own.brand_ink,
        alert=_first_readable((style.error, own.alert), painted),
        success=_first_readable((style.success, own.success), painted),
    )


def _painted(style: EhrStyle, own: Palette) -> Palette:
    """The palette on the EHR's ground, in its ink: both, or the one that goes with ours, or neither."""
    pairs = ((style.background, style.text), (style.background, own.ink), (None, style.text))
    for ground, ink in pairs:
        if ink is None or (ground is None and ink == own.ink):
            continue
        on_ground = own if ground is None else replace(own, ground=ground, paper=_paper(ground))
        if all(contrast(ink, one) >= READABLE for one in on_ground.grounds):
            return replace(on_ground, ink=ink, quiet=_quiet(ink, on_ground), line=on_ground.paper.mixed(ink, 0.18))
    return own


def _paper(ground: Colour) -> Colour:
    """Cards stand out of their ground: lighter, a little on a dark one."""
    return ground.mixed(_WHITE, 0.05 if ground.luminance < _DARK_BELOW else 0.6)


def _quiet(ink: Colour, on: Palette) -> Colour:
    softer = (ink.mixed(on.paper, share) for share in (0.3, 0.2, 0.1))
    return next((one for one in softer if all(contrast(one, ground) >= READABLE for ground in on.grounds)), ink)


def _first_readable(wanted: Iterable[Colour | None], on: Palette) -> Colour:
    return next((one for one in wanted if one and all(contrast(one, ground) >= READABLE for ground in on.grounds)), on.ink)


def _changes(own: Palette, coloured: Palette) -> list[tuple[str, Colour]]:
    pairs = ((field.name, getattr(own, field.name), getattr(coloured, field.name)) for field in fields(Palette))
    return [(name.replace("_", "-"), new) for name, old, new in pairs if new != old]
