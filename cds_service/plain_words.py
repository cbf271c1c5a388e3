"""Words from outside as what a card may hold: one plain line, and plain text inside markdown.

Renderers of EHRs let raw HTML through and turn addresses into links, so outside text can do neither here.
Spec: CDS Hooks 2.0 R25 (summary under 140 characters, GitHub Flavored Markdown); GitHub Flavored Markdown 6.9 (autolinks).
"""

from __future__ import annotations

import re

SUMMARY_MAX = 139
"""The longest summary, in UTF-16 units: what JavaScript, Java and .NET clients count, and never less than characters."""
_MAX_FOREIGN = 400
_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")
# Changed visibly, not by escapes: some renderers look for addresses only after they have resolved those.
# Each behind the piece that it needs: most words hold none, and looking for a piece costs a tenth of the pattern.
_ADDRESSES = (
    ("://", re.compile(r":(?=//)"), ": "),
    ("www.", re.compile(r"(?i)\b(www)\."), r"\1 ."),
    ("@", re.compile(r"(?<=\S)@(?=\S)"), " @ "),
)


def utf16_length(words: str) -> int:
    """How many UTF-16 units the words take; an emoji takes two."""
    return len(words) if words.isascii() else len(words.encode("utf-16-le", "surrogatepass")) // 2


def one_line(words: str) -> str:
    """Printable characters and single spaces: no line breaks, no control, format or direction marks, no half surrogates."""
    line = " ".join(words.split())
    return line if line.isprintable() else "".join(mark for mark in line if mark.isprintable())


def one_sentence(words: str) -> str:
    """One plain line of at most ``SUMMARY_MAX``."""
    return shortened(one_line(words), SUMMARY_MAX)


def shortened(words: str, limit: int) -> str:
    """The words, or as much of them as leaves room for the ellipsis; ``limit`` in UTF-16 units."""
    if utf16_length(words) <= limit:
        return words
    kept = words[: limit - 1]
    while utf16_length(kept) > limit - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def escaped(words: str) -> str:
    """Text from outside as plain words inside markdown: no HTML, no markup, no link, one line, bounded."""
    plain = shortened(one_line(words), _MAX_FOREIGN)
    folded = plain.lower()
    for piece, trigger, instead in _ADDRESSES:
        if piece in folded:
            plain = trigger.sub(instead, plain)
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain) if _SPECIAL.search(plain) else plain
