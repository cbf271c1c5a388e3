"""``make conformance``: writes docs/conformance.md from docs/conformance.toml and from what the tests cite.

Where a section finds its tests by citation, a row cannot claim to be done unless a test names its id.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cds_service.definitions import HOOK_VERSIONS
from cds_service.evaluate import SERVICES
from tests.citations import citations
from tests.conftest import CHECKOUT

SOURCE = CHECKOUT / "docs" / "conformance.toml"
PAGE = CHECKOUT / "docs" / "conformance.md"
STATES = ("implemented", "partly", "not yet", "left out")
NEED_A_TEST = ("implemented", "partly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One requirement. ``tests`` are files below ``tests/``, each once."""

    requirement: str
    asks: str
    state: str
    tests: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The state without its reason."""
        return self.state.partition(": ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table. ``citations`` names the reference whose ids the tests cite; None = its rows name their tests."""

    heading: str
    text: str
    citations: str | None
    rows: tuple[Row, ...]


def read(source: Path = SOURCE) -> tuple[str, tuple[Section, ...]]:
    """The introduction and the sections."""
    document = tomllib.loads(source.read_text())
    return str(document["introduction"]), tuple(_section(one) for one in document["section"])


def _section(stated: Mapping[str, object]) -> Section:
    reference = stated.get("citations")
    cited = citations(str(reference)) if reference else {}
    rows = stated["rows"]
    assert isinstance(rows, list)
    return Section(
        heading=str(stated["heading"]),
        text=str(stated.get("text", "")),
        citations=str(reference) if reference else None,
        rows=tuple(_row(row, cited) for row in rows),
    )


def _row(stated: Sequence[object], cited: Mapping[str, Sequence[str]]) -> Row:
    requirement, asks, state, *named = stated
    nodes = cited.get(str(requirement), ())
    files = named[0] if named else [node.partition("::")[0] for node in nodes]
    assert isinstance(files, list)
    return Row(requirement=str(requirement), asks=str(asks), state=str(state), tests=tuple(dict.fromkeys(map(str, files))))


def faults(sections: Sequence[Section]) -> Iterator[str]:
    """What cannot be written: states that do not exist or say no reason, and claims without a test."""
    for section in sections:
        for row in section.rows:
            place = f"{section.heading}, {row.requirement}"
            if row.kind not in STATES:
                yield f"{place}: there is no state {row.kind!r}"
            elif (row.kind == "implemented") is (": " in row.state):
                yield f"{place}: a reason belongs to every state but implemented"
            if row.kind in NEED_A_TEST and not row.tests:
                yield f"{place}: no test " + ("cites it" if section.citations else "is named")


def page(introduction: str, sections: Sequence[Section]) -> str:
    """The document."""
    return "\n".join([introduction.strip(), *(line for section in sections for line in _lines(section)), ""])


def _lines(section: Section) -> Iterator[str]:
    yield from ("", f"## {section.heading}", "")
    if section.text:
        yield from (section.text.strip().replace("{services}", _services()), "")
    yield from ("| id | asks for | state | shown by |", "|---|---|---|---|")
    for row in section.rows:
        # What is not claimed needs no proof, even where a test happens to name it.
        tests = row.tests if row.kind != "not yet" else ()
        cells = (row.requirement, row.asks, row.state, ", ".join(f"`{test}`" for test in tests))
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _services() -> str:
    """The services that discovery lists, by id, each with its hook."""
    own = {service.hook for service in SERVICES.values()} - set(HOOK_VERSIONS)
    lines = [f"- `{one.service_id}` on `{one.hook}`: {one.title}" for one in SERVICES.values()]
    return "\n".join(lines) + (
        "\n\nNo published hook library has " + " and ".join(f"`{one}`" for one in sorted(own)) + "." if own else ""
    )


def main() -> int:
    """Writes the page; exit status 1 with the reasons where it would claim what no test shows."""
    introduction, sections = read()
    wrong = list(faults(sections))
    if wrong:
        print(*wrong, sep="\n")
        return 1
    PAGE.write_text(page(introduction, sections))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
