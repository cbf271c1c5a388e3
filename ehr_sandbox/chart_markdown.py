"""Card details: GitHub Flavored Markdown drawn without any of the raw HTML that GFM would let through.

Spec: CDS Hooks 2.0, Card Attributes, `detail` (R25). Images are not drawn either: an EHR fetches nothing for a card.
"""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_HEADINGS_BELOW_CARD_TITLE = {"h1": "h4", "h2": "h4", "h3": "h5", "h4": "h5", "h5": "h6", "h6": "h6"}


def draw_markdown(detail: str) -> Markup:
    """HTML that is safe to place in the chart: tags in the source come out as text, unsafe link targets as text too."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    tokens = parser.parse(detail)
    _adapt(tokens)
    written = parser.renderer.render(tokens, parser.options, {})
    return Markup(written)  # nosec B704 # noqa: S704 - escaped by the renderer, html=False


def _adapt(tokens: Sequence[Token]) -> None:
    for token in tokens:
        token.tag = _HEADINGS_BELOW_CARD_TITLE.get(token.tag, token.tag)
        if token.type == "link_open":
            token.attrSet("target", "_blank")
            token.attrSet("rel", "noopener noreferrer")
        _adapt(token.children or ())
