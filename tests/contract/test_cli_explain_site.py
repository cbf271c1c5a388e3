"""``imaging-cds explain --config``: the site's own rules decide which rules fire, and the reason says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from imaging_cds.cli import main
from imaging_cds.settings import CONFIG_VARIABLE
from tests.cds_actors import LOINC, a_bundle, a_hook, a_lung_rads, a_patient, a_study, an_order, concept, whole_prefetch

AT = "2026-11-21T09:00:00"
OFF = '[[pack]]\nid = "lung-rads-2022"\nenabled = false\n'
OWN_3 = """
[[pack]]
id = "lung-rads-2022"
[[pack.category]]
code = "3"
statement = "LDCT at 4 months."
step = { examination = "LDCT", low = 4, high = 4, unit = "mo" }
urgency = "info"
evidence = "C"
"""
CODES = "system,codes,display,modality,regions,contrast,side,purpose\nurn:oid:2.25.7,X1,Chest CT,CT,chest,,,\n"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints for a request by the rules of a site."""

    def run(body: object, *options: str, packs: str = "", code: int = 0, cds: Any = None, **rules: Any) -> str:
        (tmp_path / "packs.toml").write_text(packs)
        (tmp_path / "codes.csv").write_text(CODES)
        table = {
            "public_base_url": "https://imaging.example",
            "state": {"state_dir": str(tmp_path / "state")},
            "ehr": [],
            "cds": cds or {},
            "rules": {"packs": "packs.toml", "study_codes": "codes.csv", **rules},
        }
        (tmp_path / "app.toml").write_text(tomli_w.dumps(table))
        (tmp_path / "request.json").write_text(json.dumps(body))
        arguments = ["explain", str(tmp_path / "request.json"), "--config", str(tmp_path / "app.toml"), "--at", AT]
        assert main([*arguments, *options]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


def test_the_sites_row_fires(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(a_lung_rads("3"))), packs=OWN_3)

    assert "Rules: those of " in printed
    assert "  lung-rads-2022/3 [info] Lung-RADS 3 (LDCT 2026-10-01): LDCT due 2027-02-01" in printed


def test_a_pack_that_is_off_is_the_reason_of_a_silence(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(a_lung_rads("4B"))), packs=OFF)

    assert "Fired: no rule" in printed
    assert "no guideline is in force for it at this site" in printed
    assert ", rule no-guideline/lung-rads" in printed


def test_what_is_suppressed_names_its_rule(said: Any) -> None:
    printed = said(a_hook(whole_prefetch(a_lung_rads("3"), orders=a_bundle(an_order()))))

    assert (
        "Observation/finding: CT Chest WO contrast is already ordered (ServiceRequest/order), rule lung-rads-2022/3" in printed
    )


def a_signing(code: dict[str, Any]) -> dict[str, Any]:
    """A chest CT being signed 51 days after the one on record."""
    draft = an_order(id="new", status="draft", code=code)
    context = {"userId": "Practitioner/gp", "patientId": "p", "draftOrders": a_bundle(draft)}
    prefetch = {"patient": a_patient(), "studies": a_bundle(a_study()), "orders": a_bundle(), "conditions": a_bundle()}
    return a_hook(prefetch, hook="order-sign", context=context)


def test_the_sites_look_back_decides_what_is_a_repeat(said: Any) -> None:
    body = a_signing(concept(LOINC, "29252-4"))

    assert "already imaged on 2026-10-01" in said(body)
    assert "already imaged on 2026-10-01" not in said(body, lookback={"CT": "50 d"})
    assert "already imaged on 2026-10-01" not in said(body, lookback={"CT": "none"})


def test_o3_the_days_are_those_of_the_sites_zone(said: Any) -> None:
    body = a_signing(concept(LOINC, "29252-4"))
    body["prefetch"]["studies"] = a_bundle(a_study(started="2026-11-20T22:00:00Z"))

    assert "already imaged on 2026-11-21" in said(body, "--at", "2026-11-20T22:30:00Z", cds={"time_zone": "Asia/Tokyo"})
    assert "already imaged on 2026-11-20" in said(body, "--at", "2026-11-20T22:30:00Z")


def test_the_sites_codes_tell_what_an_order_is(said: Any) -> None:
    assert "already imaged on 2026-10-01" in said(a_signing(concept("urn:oid:2.25.7", "X1")))
    assert "already imaged on 2026-10-01" not in said(a_signing(concept("urn:oid:2.25.7", "X2")))


def test_cards_beyond_the_sites_limit_are_named(said: Any) -> None:
    findings = [a_lung_rads("3", id=f"f{number}", derivedFrom=[{"reference": f"ImagingStudy/{number}"}]) for number in range(3)]
    printed = said(a_hook(whole_prefetch(*findings)), cds={"max_cards": 2})

    assert "Fired: 2" in printed
    assert "it is less urgent than the 2 cards that one answer shows, rule lung-rads-2022/3" in printed


def test_a_hook_of_the_sites_own_name_finds_its_service(said: Any) -> None:
    body = a_hook(whole_prefetch(), hook="org.site.study-complete", context={"patientId": "p", "study": "ImagingStudy/study"})

    assert said(body, cds={"study_complete_hook": "org.site.study-complete"}).startswith("imaging-study-complete on org.site.")


def test_the_settings_may_be_named_by_the_environment(
    said: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(a_hook(whole_prefetch(a_lung_rads("3"))), packs=OWN_3)
    without = ["explain", str(tmp_path / "request.json"), "--at", AT]

    assert main(without) == 0
    assert "Rules: the product's own" in capsys.readouterr().out
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "app.toml"))
    assert main([*without, "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert explained["rules"] == f"those of {tmp_path / 'app.toml'}"
    assert explained["fired"][0]["indicator"] == "info"


def test_a_fault_in_the_sites_rules_is_told_by_file_and_line(said: Any) -> None:
    printed = said(a_hook(whole_prefetch()), packs='[[pack]]\nid = "x"\n', code=2)

    assert "line 2: " in printed
    assert "packs.toml.pack[x].id names x, which is no pack of this product" in printed
