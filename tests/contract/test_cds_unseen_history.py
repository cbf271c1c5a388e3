"""Gf, T11: no order is drafted where open orders or studies could not be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cds_actors import CdsActor, a_cds_service, a_hook, a_nodule, a_store, whole_prefetch

FAILED: dict[str, Any] = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}


@pytest.fixture
def cds(tmp_path: Path) -> Iterator[CdsActor]:
    store = a_store(tmp_path / "state")
    try:
        yield a_cds_service(store, tmp_path)
    finally:
        store.close()


def test_t11_an_order_is_offered_where_all_was_looked_up(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_nodule(7.0))))

    assert len(card["suggestions"]) == 1


@pytest.mark.parametrize(("key", "words"), [("orders", "open orders"), ("studies", "imaging studies")])
def test_gf_t11_nothing_is_drafted_over_what_could_not_be_looked_up(cds: CdsActor, key: str, words: str) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_nodule(7.0), **{key: FAILED})))

    assert "suggestions" not in card
    assert "selectionBehavior" not in card
    assert f"No order is drafted: {words} could not be looked up" in card["detail"]
