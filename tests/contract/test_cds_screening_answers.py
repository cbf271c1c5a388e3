"""L3, L4A, Gf: whether an order for screening answers a follow-up is one judgement on every hook (decision 0005)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from fhir_imaging.store.engine import Store
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import SitePolicy
from tests.cds_actors import (
    LOINC,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_store,
    a_study,
    an_order,
    concept,
)
from tests.order_cases import a_draft

SCREENING, DIAGNOSTIC = "79086-5", "29252-4"
FULFILS, DOES_NOT = "fulfils the follow-up", "a screening examination does not fulfil the follow-up"
LEFT_OPEN = "does not answer it (a screening examination)"
# What is due, and a day in its window, by category: the study is of 2026-10-01.
DAYS = {"1": "2027-10-01", "2": "2027-10-01", "3": "2027-04-01", "4A": "2027-01-01", "nodule": "2027-05-01"}
HOOKS = {"imaging-discharge", "imaging-order-select", "imaging-order-sign", "imaging-appointment", "imaging-findings"}

OF_THE_CHART = {"imaging-discharge", "imaging-findings"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def site() -> str | None:
    """The site's own rows; none where a test says nothing of them."""
    return None


@pytest.fixture
def cds(store: Store, tmp_path: Path, site: str | None) -> CdsActor:
    policy = SitePolicy(packs=parse_site_packs(site, "site.toml")) if site else None
    return a_cds_service(store, tmp_path, policy=policy)


def cards(cds: CdsActor, service: str, finding: str, code: str) -> list[dict[str, Any]]:
    """The service's cards where the finding's follow-up is ordered (drafted, booked) by that code for the right day."""
    day = DAYS[finding]
    found = a_nodule() if finding == "nodule" else a_lung_rads(finding)
    order = an_order(code=concept(LOINC, code), occurrenceDateTime=day, reasonReference=[])
    sent = dict.fromkeys(query.key for query in SERVICES[service].queries)
    sent |= {"patient": a_patient(), "findings": a_bundle(found), "studies": a_bundle(a_study())}
    context: dict[str, Any] = {"userId": "Practitioner/gp", "patientId": "p"}
    if service in OF_THE_CHART:
        sent |= {"orders": a_bundle(order)}
        context |= {"encounterId": "e"} if service == "imaging-discharge" else {}
    elif service == "imaging-appointment":
        booked = {"resourceType": "Appointment", "id": "a", "status": "proposed", "start": f"{day}T09:00:00Z"}
        context["appointments"] = a_bundle(booked | {"serviceType": [concept(LOINC, code)]})
    else:
        context["draftOrders"] = a_bundle(a_draft(code, occurrenceDateTime=day))
        context |= {"selections": ["ServiceRequest/new"]} if service.endswith("select") else {}
    answer = cds.call(a_hook(sent, hook=SERVICES[service].hook, context=context), service)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return list(answer.get_json()["cards"])


def verdict(cds: CdsActor, service: str, finding: str, code: str) -> bool:
    """Whether the hook takes the examination for the follow-up. Each says so in its own way, and "no" in the same words."""
    told = cards(cds, service, finding, code)
    words = "\n".join(f"{card['summary']}\n{card['detail']}" for card in told)
    refused = LEFT_OPEN if service in OF_THE_CHART else DOES_NOT
    if refused in words:
        assert "a screening examination" in words
        assert [card["indicator"] for card in told] == ["warning" if service in OF_THE_CHART else "info"]
        return False
    # Taken for it: the order services say so, the others have nothing to say.
    assert (FULFILS in words) if "order" in service else told == []
    return True


OWN_ROW = """
[[pack]]
id = "lung-rads-2022"
[[pack.category]]
code = "3"
statement = "LDCT at 6 months."
step = { examination = "LDCT", low = 6, high = 6, unit = "mo" }
order = { system = "http://loinc.org", code = "79086-5" }
screening_answers = true
urgency = "warning"
evidence = "S"
"""


@pytest.fixture(params=sorted(HOOKS))
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("finding", "code", "site", "answers"),
    [
        ("1", SCREENING, None, True),
        ("2", SCREENING, None, True),
        ("3", SCREENING, None, False),
        ("4A", SCREENING, None, False),
        ("nodule", SCREENING, None, False),
        ("3", DIAGNOSTIC, None, True),
        ("4A", DIAGNOSTIC, None, True),
        ("nodule", DIAGNOSTIC, None, True),
        ("3", SCREENING, OWN_ROW, True),
    ],
)
def test_gf_every_hook_says_the_same_of_a_screening_code(
    cds: CdsActor, service: str, finding: str, code: str, answers: bool
) -> None:
    assert verdict(cds, service, finding, code) is answers


@pytest.mark.parametrize("service", ["imaging-order-select", "imaging-order-sign"])
@pytest.mark.parametrize("category", ["3", "4A"])
def test_l3_l4a_the_order_is_offered_the_code_that_the_row_asks_for(cds: CdsActor, service: str, category: str) -> None:
    (card,) = cards(cds, service, category, SCREENING)

    (suggestion,) = card["suggestions"]
    assert suggestion["actions"][0]["resource"]["code"]["coding"][0]["code"] == DIAGNOSTIC
    assert "low dose" in suggestion["actions"][0]["resource"]["code"]["text"].lower()
