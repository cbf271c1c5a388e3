"""Table packs: a faulty one is refused with every fault in words, so that no rule is in force by half."""

from __future__ import annotations

from importlib import resources

import pytest

from imaging_findings.table_packs import parse_table_pack
from imaging_findings.toml_tables import PackError

BI_RADS = (resources.files("imaging_findings") / "packs" / "bi_rads_5.toml").read_text(encoding="utf-8")


def test_the_bundled_pack_is_read() -> None:
    pack = parse_table_pack(BI_RADS, "bi_rads_5.toml")

    assert (pack.info.pack_id, pack.reads) == ("bi-rads-5", "bi-rads")
    assert [row.row_id for row in pack.rows] == ["0", "1-2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('family = "MG"', 'family = "mammography"', "names mammography, which is no modality family"),
        (
            'steps = [{ examination = "mammography", low = 12, high = 12, unit = "mo" }]\n',
            "",
            "speaks when due, but has no step",
        ),
        ('speaks = "when-due"', 'speaks = "loudly"', "speaks must be one of"),
        ('answered_by = "intervention"', 'answered_by = "tissue"', "answered_by must be one of"),
        (
            'urgency = "info"\nspeaks',
            'urgency = "info"\nanswered_by = "none"\nspeaks',
            "answered by none, but asks for imaging in a step",
        ),
        ('organ = ["breast", "mamm", "brust", "sein"]\n', "", "has a row that a biopsy answers, but names no organ"),
        ('id = "5"\n', 'id = "4"\n', "has 4 twice"),
        ('urgency = "info"\nevidence', 'urgency = "critical"\nevidence', "urgency must be one of info, warning"),
        ('category = ["5"]\n', 'category = ["5"]\nnumbers = { size = { from = 1.0 } }\n', "size"),
    ],
    ids=[
        "family",
        "due without a step",
        "speaks",
        "answered by",
        "imaging that is not",
        "no organ",
        "row twice",
        "critical",
        "unknown input",
    ],
)
def test_a_faulty_table_pack_is_refused(old: str, new: str, fault: str) -> None:
    assert old in BI_RADS

    with pytest.raises(PackError, match=fault):
        parse_table_pack(BI_RADS.replace(old, new, 1), "bad.toml")


def test_a_pack_without_rows_is_refused() -> None:
    head = BI_RADS.partition("[[row]]")[0]

    with pytest.raises(PackError, match="has no row"):
        parse_table_pack(head, "bad.toml")
