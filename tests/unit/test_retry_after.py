"""``Retry-After`` in every form that servers write it in (SMART Imaging Access C7, M13; RFC 9110 §10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from fhir_imaging.clients.fhir import retry_after_s

NOON = "Sat, 21 Nov 2026 12:00:00 GMT"


def answer(**headers: str) -> requests.Response:
    response = requests.Response()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("0", 0),
        ("1.2", 2),
        ("0.05", 1),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:59:00 GMT", 0),
        ("Saturday, 21-Nov-26 12:01:00 GMT", 60),
        ("Sat Nov 21 12:00:05 2026", 5),
        ("9" * 6, 86400),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86400),
        ("soon", None),
        ("Sat, 21 Nov 99999999999999 12:00:00 GMT", None),
        ("Sat, 21 Nov 2026 12:00:00 +99999999999999999999", None),
        ("-5", None),
        ("٣", None),
        ("1e3", None),
        ("", None),
    ],
)
def test_c7_each_form_is_read(stated: str, seconds: int | None) -> None:
    assert retry_after_s(answer(Retry_After=stated, Date=NOON)) == seconds


def test_c7_absent_is_absent() -> None:
    assert retry_after_s(answer()) is None


@pytest.mark.parametrize("date", ["", "noon", "Sat, 21 Nov 99999999999999 12:00:00 GMT"])
def test_c7_without_the_servers_clock_our_own_counts(date: str) -> None:
    stated = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    seconds = retry_after_s(answer(Retry_After=stated, Date=date))

    assert seconds is not None
    assert 95 <= seconds <= 101
