"""The text of a report as it was attached: plain text as it is, HTML reduced to its words, all else left to be opened apart.

Nothing of an attachment reaches a page as markup. Spec: FHIR R4/R5 DiagnosticReport.presentedForm, Attachment.
"""

from __future__ import annotations

import base64
import binascii
import re
from html.parser import HTMLParser

LONGEST_TEXT = 40_000
"""Characters of one report that a list shows; a longer one says that it was cut."""

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_GROUPS = ("address", "article", "blockquote", "div", "footer", "form", "header", "p", "pre", "section")
_LISTS = ("dd", "dl", "dt", "li", "ol", "ul")
_BLOCKS = frozenset((*_HEADINGS, *_GROUPS, *_LISTS, "br", "caption", "hr", "table", "tr"))
_CELLS = frozenset(("td", "th"))
# Not "head": its end tag may be left out, and what of it holds words that nobody is shown is here by itself.
_SILENT = frozenset(("script", "style", "template", "noscript", "iframe", "object", "svg", "title"))
_SPACES = re.compile(r"[^\S\n]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What no reader can see, what turns the order of what they see, and halves of characters."""
_OPENS_NOTHING = re.compile(r"<(?!!--)(?=[^<>]*(?:<|\Z))")
"""An angle bracket that another one follows, or the end, before any closes it."""
_GAPS = re.compile(r"\n{3,}")


class _Words(HTMLParser):
    """The words between the tags, a line for each block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BLOCKS:
            self._add("\n• " if tag == "li" else "\n")
        elif tag in _CELLS:
            self._add("  ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self._add("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag in _BLOCKS:
            self._add("\n")

    def handle_data(self, data: str) -> None:
        self._add(_SPACES.sub(" ", data.replace("\n", " ")))

    def _add(self, piece: str) -> None:
        if not self._silent:
            self.pieces.append(piece)


def words_of_html(html: str) -> str:
    """The words of an HTML document or fragment, without any markup; lines where its blocks were."""
    parser = _Words()
    parser.feed(_closed(html))
    parser.close()
    lines = (line.strip() for line in "".join(parser.pieces).split("\n"))
    return _GAPS.sub("\n\n", "\n".join(lines)).strip()


def _closed(html: str) -> str:
    """The same with each bracket that opens nothing written as a character, and marked sections as comments.

    For each such bracket the parser looks for the end to the end of the document: a hundred kilobytes took it minutes. Of
    marked sections it knows a few and gives up at any other; browsers pass over all of them.
    """
    after_comments = html.rfind("-->") + 1
    never_ending = html[after_comments:].replace("<!--", "&lt;!--")
    return _OPENS_NOTHING.sub("&lt;", html[:after_comments] + never_ending).replace("<![", "<! [")


def is_text(content_type: str | None) -> bool:
    """Whether an attachment says that it is text; what says otherwise need not be decoded to know."""
    return _media_type(content_type)[0] in ("text/plain", "text/html", "application/xhtml+xml")


def text_of_attachment(content_type: str | None, data: bytes) -> str | None:
    """The words of an attachment that is text; None for one that is not, or that is no text after all."""
    if not is_text(content_type):
        return None
    media_type, charset = _media_type(content_type)
    try:
        written = data.decode(charset)
    except (LookupError, ValueError):
        # Older systems send what they call nothing, or UTF-8, in the code page of Windows.
        written = data.decode("windows-1252", errors="replace")
    words = written.replace("\r\n", "\n").strip() if media_type == "text/plain" else words_of_html(written)
    return _CONTROLS.sub("", words) or None


def attached_bytes(encoded: str | None) -> bytes | None:
    """The bytes of ``Attachment.data``; None where there are none or they are no base64."""
    if not encoded:
        return None
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _media_type(content_type: str | None) -> tuple[str, str]:
    parts = [part.strip() for part in (content_type or "").lower().split(";")]
    charsets = (part.partition("=")[2].strip("\"' ") for part in parts[1:] if part.startswith("charset="))
    return parts[0], next(charsets, "utf-8") or "utf-8"
