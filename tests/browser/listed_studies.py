"""The rows of a study list as its server writes them (templates/smart/study_row.html), for studies made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

SESSION = "/s/one"
_KINDS = (
    ("CT", "ct", "chest", "CT chest"),
    ("MR", "mr", "head", "MRI brain"),
    ("DX", "xr", "chest", "Chest X-ray"),
    ("US", "us", "abdomen", "Ultrasound abdomen"),
    ("CT", "ct", "chest abdomen pelvis", "CT chest, abdomen and pelvis"),
    ("DX", "xr", "knee", "X-ray knee"),
    ("MG", "mg", "breast", "Mammography"),
    ("MR", "mr", "lumbar-spine", "MRI lumbar spine"),
)
_ROW = """<li class="study" id="study-{uid}" data-uid="{uid}" data-started="{day}" data-year="{year}" data-region="{region}"
  data-modalities="{modality}" data-families="{family}" data-search="{search}" data-thumbnail="{picture}" data-open="{opens}">
  <div class="thumbnail" aria-hidden="true"><span class="glyph">{modality}</span></div>
  <div class="when"><span class="date">{shown}</span><span class="quiet">09:30 UTC</span></div>
  <div class="modality">{modality}</div>
  <div class="what">
    <h3 class="title"><a href="{opens}">{title}</a></h3>
    <p class="details">2 series · 118 images · Accession A1</p>
    <div class="findings">{findings}</div>
    <div class="reports">{report}</div>
  </div>
  <div class="images"><a class="button" href="{opens}" aria-label="Open images: {title}, {shown}">Open images</a></div>
</li>
"""
_REPORT = """<article class="report"><p class="report-head"><strong>Final report</strong></p>
<p class="conclusion">No change.</p>
<details class="report-text"><summary>Whole report</summary><div class="text">Findings: none new.</div></details></article>
"""
_NO_REPORT = '<p class="quiet no-report">No report linked</p>'


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedStudy:
    """One row of the list."""

    number: int
    day: date | None
    modality: str = "CT"
    family: str = "ct"
    region: str = "chest"
    title: str = "CT chest"
    tone: str | None = None
    has_report: bool = True
    picture_base: str | None = None

    @property
    def uid(self) -> str:
        """Its Study Instance UID."""
        return f"2.25.{9000 + self.number}"

    @property
    def year(self) -> str:
        """The year that it is listed under."""
        return str(self.day.year) if self.day else "Undated"

    @property
    def findings(self) -> str:
        """What stands in the slot of findings."""
        return (
            f'<p class="finding {self.tone}"><strong>Lung nodule {self.number}</strong> follow-up due</p>' if self.tone else ""
        )

    @property
    def html(self) -> str:
        """The row as the server writes it."""
        shown = f"{self.day:%-d %b %Y}" if self.day else "Date not recorded"
        return _ROW.format(
            uid=self.uid,
            day=self.day or "",
            year=self.year,
            region=self.region,
            modality=self.modality,
            family=self.family,
            search=f"{shown} {self.title} número {self.number}".lower(),
            picture=f"{self.picture_base}/studies/{self.uid}/series/1/thumbnail" if self.picture_base else "",
            opens=f"{SESSION}/viewer/{self.uid}",
            shown=shown,
            title=self.title,
            findings=self.findings,
            report=_REPORT if self.has_report else _NO_REPORT,
        )


def many_studies(count: int, *, newest: date = date(2026, 3, 1), every_days: int = 9, **more: Any) -> list[ListedStudy]:
    """A long record of all kinds, newest first; some with findings, some without report."""
    return [
        ListedStudy(
            number=number,
            day=newest - timedelta(days=every_days * number),
            modality=_KINDS[number % len(_KINDS)][0],
            family=_KINDS[number % len(_KINDS)][1],
            region=_KINDS[number % len(_KINDS)][2],
            title=_KINDS[number % len(_KINDS)][3],
            tone=("warning" if number % 3 else "critical") if number % 16 == 0 else None,
            has_report=number % 5 != 0,
            **more,
        )
        for number in range(count)
    ]


FEW = (
    ListedStudy(number=1, day=date(2026, 2, 10), tone="critical"),
    ListedStudy(
        number=2, day=date(2025, 11, 3), modality="MR", family="mr", region="head", title="MRI brain", has_report=False
    ),
    ListedStudy(number=3, day=date(2021, 6, 1), title="CT chest, abdomen and pelvis", region="chest abdomen pelvis"),
    ListedStudy(number=4, day=None, modality="US", family="us", region="other", title="Échographie"),
)
"""A short record: two years and a gap, a study without a report and one without a date."""


def rows_line(studies: Sequence[ListedStudy], found: int, total: int | None) -> dict[str, Any]:
    """A line with rows."""
    return {"kind": "rows", "html": "".join(study.html for study in studies), "found": found, "total": total}
