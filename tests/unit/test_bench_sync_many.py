"""The benchmark of a long back-fill: its hospital tells each study once, and its readings become a slope."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.benchmarks.sync_hospital import NEWEST, STUDIES_A_DAY, ManyStudies, oldest
from tests.benchmarks.sync_many import Brought, Reading
from tests.contract.sync_kill_servers import Request


def searched(archive: ManyStudies, **query: str) -> list[str]:
    answer = archive(Request("GET", "/dicom-web/studies", list(query.items()), {}, b""))
    return [one["0020000D"]["Value"][0] for one in answer.content]


@pytest.mark.parametrize("number", [1, STUDIES_A_DAY, STUDIES_A_DAY + 1, 487])
def test_every_study_is_found_once_by_its_day(number: int) -> None:
    archive = ManyStudies(number=number, report="{}")
    days = [oldest(number) + timedelta(days=one) for one in range((NEWEST - oldest(number)).days + 1)]

    found = [uid for day in days for uid in searched(archive, StudyDate=f"{day:%Y%m%d}-{day:%Y%m%d}")]

    assert sorted(found) == sorted(f"2.25.{index}.600" for index in range(number))


def test_pages_of_several_days_go_on_where_the_one_before_ended() -> None:
    archive = ManyStudies(number=200, report="{}")
    days = f"{oldest(200):%Y%m%d}-{NEWEST:%Y%m%d}"

    pages = [searched(archive, StudyDate=days, offset=str(offset), limit="60") for offset in (0, 60, 120, 180, 240)]

    assert [len(one) for one in pages] == [60, 60, 60, 20, 0]
    assert len({uid for one in pages for uid in one}) == 200


def test_memory_that_grows_with_the_studies_shows_as_a_slope() -> None:
    grows = [Reading(at_s=one / 10, studies=one * 10, mb=500.0 if one < 100 else 100 + one / 100) for one in range(1001)]

    brought = Brought(readings=tuple(grows), counts={"ImagingStudy": 10_000}, elapsed_s=100.0, cpu_s=80.0)

    assert brought.mb_per_thousand == pytest.approx(1.0), "what is before the first tenth does not count"
    assert brought.mb_at(0.5) == pytest.approx(105.0)
    assert brought.told == "101 MB at a tenth, 105 MB at half, 110 MB at the end, +1024 kB each further 1,000"
