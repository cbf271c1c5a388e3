"""N1, N6: end-stage renal disease is neither dialysis nor an eGFR (docs/rules.md says why)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_bundle, a_cds_service, a_condition, a_store
from tests.order_actors import an_egfr
from tests.order_cases import a_chart, a_draft, cards_of, signing

ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
CT_WITH = "24628-0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


@pytest.mark.parametrize(
    ("codes", "egfr", "expected"),
    [
        (["N18.6"], 12, [("warning", "iodinated contrast with eGFR 12")]),
        (["N18.6"], None, [("info", "no eGFR found in the last 90 days")]),
        (["N18.5"], None, [("info", "no eGFR found in the last 90 days")]),
        (["N18.6", "Z99.2"], 12, []),
        (["N18.6", "Z99.2"], None, []),
    ],
    ids=["n1-low-egfr", "n6-no-egfr", "n6-stage-5", "on-dialysis-low", "on-dialysis-unknown"],
)
def test_n1_n6_end_stage_renal_disease_alone_is_no_dialysis_and_no_egfr(
    cds: CdsActor, codes: list[str], egfr: float | None, expected: list[tuple[str, str]]
) -> None:
    conditions = a_bundle(*(a_condition(ICD_10_CM, code, id=code) for code in codes))
    labs = a_bundle(*([an_egfr(egfr, effectiveDateTime="2026-11-16")] if egfr else []))

    cards = cards_of(cds, signing(a_draft(CT_WITH), chart=a_chart(conditions=conditions, labs=labs)))

    assert [card["indicator"] for card in cards] == [indicator for indicator, _ in expected]
    assert all(words in card["summary"] for card, (_, words) in zip(cards, expected, strict=True))
