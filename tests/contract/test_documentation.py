"""The documents say what is: settings, conformance, links; and the repository names no machine and no registry."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from imaging_cds.settings_table import as_markdown, describe
from tests import conformance
from tests.citations import CLINICAL, HOOKS, INVARIANTS

CHECKOUT = Path(__file__).parent.parent.parent
README = (CHECKOUT / "README.md").read_text()
CONFORMANCE = (CHECKOUT / "docs" / "conformance.md").read_text()
DOCUMENTS = sorted(path for path in (CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")))
SETTINGS_BEGIN, SETTINGS_END = "<!-- settings: generated -->", "<!-- settings: end -->"

# Every id of the requirement references, by the heading under which it stands.
IDS = {
    "CDS Hooks 2.0": list(HOOKS),
    "CDS Hooks 2.0: HL7's invariants": list(INVARIANTS),
    "Clinical rules": list(CLINICAL),
    "SMART App Launch 2.2: the app": [f"A{number}" for number in range(1, 45)],
    "SMART App Launch 2.2: the sandbox EHR": [f"S{number}" for number in range(1, 12)],
    "SMART Imaging Access 0.1.0 (Argonaut draft)": [
        f"{letter}{number}"
        for letter, last in (("D", 5), ("A", 4), ("C", 10), ("F", 13), ("W", 7), ("P", 9))
        for number in range(1, last + 1)
    ],
}
STAGES = ("cards", "app", "imaging server", "sync", "operations")

# A path of one machine, or a package registry's address. Where a machine is set up by its own package manager's defaults,
# neither is ever needed. This module has to name them.
FOREIGN = re.compile(
    rb"pypi\.org|registry\.npmjs|npmjs\.(?:org|com)/|files\.pythonhosted|(?<![\w.\-~}])/(?:root|work|tmp|home)(?:/|\b(?=[\"'\s]))"
)
MAY_NAME_THEM = {Path(__file__).relative_to(CHECKOUT).as_posix()}


def test_the_readme_holds_the_settings_as_they_are() -> None:
    """STYLE 11. When this fails: put the output of ``imaging-cds config --describe`` between the two comments."""
    stated = README.partition(SETTINGS_BEGIN)[2].partition(SETTINGS_END)[0]

    assert stated.strip() == as_markdown(describe()).strip()


@pytest.mark.parametrize("heading", IDS)
def test_every_requirement_stands_once_in_its_table(heading: str) -> None:
    ids = Counter(row[0] for row in rows(heading))

    assert list(ids) == IDS[heading]
    assert set(ids.values()) == {1}


def test_the_conformance_page_is_what_its_source_and_the_tests_say() -> None:
    """When this fails: run ``make conformance`` and commit what it writes."""
    introduction, sections = conformance.read()

    assert list(conformance.faults(sections)) == []
    assert conformance.page(introduction, sections) == CONFORMANCE


def test_no_row_claims_to_be_done_without_a_test_that_cites_its_id() -> None:
    _, sections = conformance.read()
    cited = [section for section in sections if section.citations]

    assert [section.heading for section in cited] == list(IDS)[:4]
    for section in cited:
        assert [row.requirement for row in section.rows if row.kind == "implemented" and not row.tests] == []


def test_every_row_says_how_far_it_is_and_which_tests_show_it() -> None:
    for heading in headings():
        for name, _asked, state, shown in rows(heading):
            kind, _, reason = state.partition(": ")
            files = files_named_in(shown)
            assert kind in ("implemented", "partly", "not yet", "left out"), (heading, name)
            assert bool(reason) == (kind != "implemented"), (heading, name)
            assert files or kind in ("not yet", "left out"), (heading, name)
            if kind == "not yet":
                assert reason.startswith(STAGES), (heading, name)


def test_every_test_file_that_is_named_exists() -> None:
    named = {file for heading in headings() for row in rows(heading) for file in files_named_in(row[3])}

    assert len(named) > 30
    assert [file for file in sorted(named) if not (CHECKOUT / "tests" / file).is_file()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    local = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("content", "is_foreign"),
    [
        (b"cd /root/project", True),
        (b"path = '/tmp'", True),
        (b'"/home/somebody/x"', True),
        (b"file:///work/x.whl", True),
        (b"--index-url https://pypi.org/simple", True),
        (b"https://site.example/work/list", False),
        (b"homework/tmp.py", False),
        (b'f"{chart}/work/order"', False),
        (b"~/work/", False),
    ],
)
def test_what_names_a_machine_or_a_registry_is_recognised(content: bytes, is_foreign: bool) -> None:
    assert bool(FOREIGN.search(content)) is is_foreign


def test_no_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True, timeout=30)
    found = [
        f"{name}: {hit.group().decode()}"
        for name in listed.stdout.split("\0")
        if name and name not in MAY_NAME_THEM and (CHECKOUT / name).is_file()
        for hit in FOREIGN.finditer((CHECKOUT / name).read_bytes())
    ]

    assert found == []


def headings() -> list[str]:
    """The headings of the conformance tables."""
    return re.findall(r"^## (.+)$", CONFORMANCE, re.MULTILINE)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below one heading, without its head."""
    section = CONFORMANCE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert all(len(row) == 4 for row in cells), heading
    return cells


def files_named_in(cell: str) -> list[str]:
    """The test files that a cell names, below ``tests/``."""
    return re.findall(r"`([\w/]+\.py)`", cell)
