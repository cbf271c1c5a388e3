"""Feedback that comes again later, from the same client or after the clock has moved on (R34)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, NOW, a_cds_service, a_hook, a_lung_rads, a_store, whole_prefetch

PATH = "/cds-services/imaging-findings/feedback"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def test_r34_a_report_that_comes_again_a_minute_later_counts_once(store: Store, tmp_path: Path) -> None:
    """A client batches what it has not seen answered, so the same entry comes with the next batch, to the address of R8."""
    cds = a_cds_service(store, tmp_path)
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    entry = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-11-21T09:00:30Z"}
    assert cds.post(PATH, {"feedback": [entry]}).status_code == 200

    at = NOW + timedelta(minutes=1)
    later = a_cds_service(store, tmp_path, now=at)
    token = later.ehr.jwt_for(f"{APP}{PATH}", **{name: later.ehr.claims(PATH, at)[name] for name in ("iat", "exp")})
    answer = later.post(PATH, {"feedback": [entry, entry | {"outcomeTimestamp": "2026-11-21T09:00:55Z"}]}, token=token)

    assert answer.status_code == 200
    with store.read() as connection:
        rows = connection.execute(text("SELECT outcome_at, received_at FROM cds_card_feedback ORDER BY outcome_at")).all()
    noon = int(NOW.timestamp())
    assert [(row.outcome_at - noon, row.received_at - noon) for row in rows] == [(30, 0), (55, 60)]


def test_r34_a_batch_may_hold_five_hundred_entries_and_no_more(store: Store, tmp_path: Path) -> None:
    cds = a_cds_service(store, tmp_path)
    entries = [
        {"card": f"card-{number}", "outcome": "overridden", "outcomeTimestamp": "2026-11-21T09:00:30Z"} for number in range(501)
    ]

    assert cds.post(PATH, {"feedback": entries}).status_code == 400
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM cds_card_feedback")).scalar_one() == 0
    assert cds.post(PATH, {"feedback": entries[:500]}).status_code == 200
