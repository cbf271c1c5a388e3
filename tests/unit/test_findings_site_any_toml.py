"""Whatever stands in a site's files: they are read, or refused with file and line; nothing else ever happens."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imaging_findings.packs import TABLE_FILES
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.study_table import SiteTableError, read_site_studies
from imaging_findings.toml_tables import PackError
from tests.examples import examples

SITE = """# A site's packs
[[pack]]
id = "lung-rads-2022"
clinical_owner = "Dr N. N."
[pack.growth]
above_mm = 2.0
[[pack.category]]
code = "3"
statement = "LDCT at 6 months."
step = { examination = "LDCT", low = 6, high = 6, unit = "mo" }
urgency = "info"
evidence = "C"
[[pack.trigger]]
id = "own"
attenuation = "solid"
diameter = { from = 6.0, below = 8.0 }
category = "3"
evidence = "C"

[[pack]]
id = "fleischner-2017"
rounding_of_half = "up"
[pack.exclusions]
age_below = 30
cancer_snomed = ["93880001"]
[pack.order]
system = "http://loinc.org"
code = "24627-2"

[[pack]]
id = "bosniak-2019"
[[pack.row]]
id = "IIF"
category = ["IIF"]
statement = "MR at 6 months."
steps = [{ examination = "MR of the kidney", low = 6, high = 6, unit = "mo" }]
urgency = "info"
evidence = "S"

[actionable]
critical_below_hours = 48
[[actionable.finding]]
id = "pe"
title = "PE"
system = "http://snomed.info/sct"
code = "59282003"
category = "2"
evidence = "S"
"""
CSV = "system,codes,display,modality,regions,contrast,side,purpose\nurn:oid:2.25.1,A B,CT chest,CT,chest,with,,\n"
KEYS = sorted(set(re.findall(r"^\[*([a-z_.]+)", SITE, re.MULTILINE)) | {"steps", "numbers", "words", "kind", "enabled", "x y"})
WORDS = [*sorted(set(re.findall(r'"([^"]+)"', SITE))), "", "-", "aaa-svs-2018", "pi-rads-2-1", TABLE_FILES[0]]
scalars = (
    st.sampled_from(WORDS)
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.dates()
    | st.text(max_size=5).filter(lambda text: text.isprintable())
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)
packs = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
files = st.fixed_dictionaries({}, optional={"pack": st.lists(packs, max_size=3) | values, "actionable": values, "x": values})


def faults_of(toml: str) -> list[str]:
    """What a site's TOML is refused for; any other exception is the test's failure."""
    try:
        parse_site_packs(toml, "site.toml")
    except PackError as exc:
        return exc.problems or ["nothing is said"]
    return []


def read(toml: str) -> None:
    """Parses; a refusal must say where."""
    assert [one for one in faults_of(toml) if not re.match(r"line [1-9]\d*: site\.toml", one)] == []


@given(files)
@settings(max_examples=examples(150), deadline=None)
def test_any_content_is_read_or_refused_by_file_and_line(content: dict[str, Any]) -> None:
    read(tomli_w.dumps(content))


@given(st.text(alphabet=string.printable + "é\u2028", max_size=60))
@settings(max_examples=examples(100), deadline=None)
@example("a = " + "[" * 5000)
@example("a = " + "9" * 5000)
@example('a = """\n[[pack]]\n')
@example('"""')
@example("pack = [1]\n")
@example("a = 2026-99-99\n")
def test_any_text_is_read_or_refused_by_file_and_line(toml: str) -> None:
    read(toml)


@given(st.data())
@settings(max_examples=examples(150), deadline=None)
def test_a_good_file_with_any_line_changed_is_read_or_refused_by_file_and_line(data: st.DataObject) -> None:
    lines = SITE.splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key, equals, value = lines[at].partition("=")
        other = data.draw(
            st.sampled_from([*lines, "", "[[pack]]", f"{key}= 1", f"{key}= true", f"{key}= [{value}]", key + equals])
        )
        lines[at] = other
    read("\n".join(lines))


def test_the_good_file_is_good() -> None:
    parse_site_packs(SITE, "site.toml")
    assert len(read_site_studies(CSV, "codes.csv")) == 2


@given(st.text(alphabet=string.printable + "é\u2028\x00", max_size=80), st.integers(0, len(CSV)))
@settings(max_examples=examples(150), deadline=None)
@example('"' * 3, 70)
@example("x" * 200_000, 70)
def test_any_table_of_codes_is_read_or_refused_by_file_and_line(inserted: str, at: int) -> None:
    for content in (inserted, CSV[:at] + inserted + CSV[at:]):
        assert [one for one in faults_of_codes(content) if not re.match(r"codes\.csv, line [1-9]\d*: ", one)] == []


def faults_of_codes(content: str) -> tuple[str, ...]:
    """What a site's CSV is refused for; any other exception is the test's failure."""
    try:
        read_site_studies(content, "codes.csv")
    except SiteTableError as exc:
        return exc.problems or ("nothing is said",)
    return ()


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ('# é\u2028\n[[pack]]\nid = "x"\n', 3),
        ("a = '''\n[[pack]]\n'''\n[[pack]]\nid = \"x\"\n", 5),
        ('[[pack]]\r\nid = "x"\r\n', 2),
        ('x = 1\n[[pack]]\nid = "bi-rads-5"\n', 1),
    ],
    ids=["other line ends", "a string of several lines", "carriage returns", "top level"],
)
def test_the_line_is_the_one_that_an_editor_shows(toml: str, line: int) -> None:
    with pytest.raises(PackError) as refused:
        parse_site_packs(toml, "site.toml")

    assert any(problem.startswith(f"line {line}: ") for problem in refused.value.problems), refused.value.problems
