"""R40: the page for people shows the rules in force at this site: packs, choices left open, order checks, windows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from html import unescape
from pathlib import Path

import pytest
from flask import Flask

from cds_service.documented_rules import documented_rules
from cds_service.views import create_blueprint
from fhir_imaging.store.engine import Store
from imaging_cds.site_rules import site_policy
from imaging_findings.order_advice import Reason
from imaging_findings.order_sources import BOOKINGS, DISCHARGE, NO_OWNER, SOURCES
from imaging_findings.release import PatientResults
from imaging_findings.rule_settings import RuleSettings
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import SitePolicy, product_policy
from imaging_findings.study_table import read_site_studies
from tests.cds_actors import a_cds_service, a_store
from tests.conftest import CHECKOUT

SITE = """
[[pack]]
id = "aaa-svs-2018"
clinical_owner = "Dr Synthetic Owner"

[[pack]]
id = "lung-rads-2022"
enabled = false

[[pack]]
id = "pi-rads-2-1"
enabled = false
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def site() -> SitePolicy:
    settings = RuleSettings(lookback={"CT": "30 d", "US": "none"}, egfr_window_inpatient_days=7, diabetes_is_a_kidney_risk=True)
    codes = "system,codes,display,modality,regions,contrast,side,purpose\nurn:oid:2.25.1,A B,CT,CT,chest,,,\n"
    return SitePolicy(
        packs=parse_site_packs(SITE, "site.toml"), orders=settings.orders, studies=read_site_studies(codes, "codes.csv")
    )


def page(store: Store, directory: Path, policy: SitePolicy) -> dict[str, str]:
    """The page's words by section id."""
    app = Flask("pages", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    app.register_blueprint(create_blueprint(a_cds_service(store, directory, policy=policy).services))
    shown = app.test_client().get("/cds-documentation").get_data(as_text=True)
    found = re.findall(r'<section class="card" id="([\w-]+)">(.*?)</section>', shown, re.DOTALL)
    return {name: " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split()) for name, text in found}


def test_a_site_that_has_not_chosen_is_told_to(store: Store, tmp_path: Path) -> None:
    rules = page(store, tmp_path, product_policy())["rules"]

    before, chosen, after = rules.partition("Not in force: the site must choose (abdominal aorta)")
    assert chosen
    assert "aaa-acr-2013" not in before
    assert "aaa-svs-2018" not in before
    assert "aaa-acr-2013" in after
    assert "aaa-svs-2018" in after
    assert "Switched off" not in rules


def test_the_sites_choice_owner_and_switches_are_shown(store: Store, tmp_path: Path, site: SitePolicy) -> None:
    rules = page(store, tmp_path, site)["rules"]

    in_force, off, names = rules.partition("Switched off by this site")
    assert off
    assert "the site must choose" not in rules
    assert "( aaa-svs-2018 )" in in_force
    assert "Dr Synthetic Owner" in in_force
    for pack_id in ("lung-rads-2022", "pi-rads-2-1", "aaa-acr-2013"):
        assert pack_id not in in_force
        assert pack_id in names


def test_every_order_rule_stands_with_its_source_and_owner(store: Store, tmp_path: Path) -> None:
    shown = page(store, tmp_path, product_policy())["order-rules"]

    for source in (*SOURCES.values(), DISCHARGE, BOOKINGS):
        assert f"{source.citation}; rule set version {source.version}" in shown
        assert source.clinical_owner in shown
        assert all(question in shown for question in source.open_questions)
    about = [words for one in documented_rules(product_policy()).local_rules for words in one.about]
    assert len(about) == len(set(about)) == len(SOURCES) + 2
    assert all(words in shown for words in about)
    # A follow-up's rules are the packs' own; an order that was not checked has no rule.
    assert set(Reason) - set(SOURCES) == {Reason.FOLLOW_UP, Reason.NOT_CHECKED}


def test_the_site_names_who_answers_for_the_rules_that_are_in_no_pack(store: Store, tmp_path: Path) -> None:
    policy = replace(product_policy(), rules_owner="Dr Synthetic Owner")

    shown = page(store, tmp_path, policy)["order-rules"]

    assert shown.count("Clinical owner Dr Synthetic Owner") == len(documented_rules(policy).local_rules)
    assert NO_OWNER not in shown


def test_the_windows_in_force_are_the_sites(store: Store, tmp_path: Path, site: SitePolicy) -> None:
    product, own = (page(store, tmp_path / name, policy)["order-rules"] for name, policy in folders(tmp_path, site))

    assert "Look-back, CT 90 days" in product
    assert "Look-back, XA never called a repeat" in product
    assert "eGFR of an inpatient not older than 30 days" in product
    assert "Look-back, CT 30 days" in own
    assert "Look-back, US never called a repeat" in own
    assert "Look-back, MG 11 months" in own
    assert "eGFR of an inpatient not older than 7 days" in own
    assert "Diabetes as a kidney risk yes" in own
    assert "and 2 of the site's own" in own


def folders(directory: Path, site: SitePolicy) -> list[tuple[str, SitePolicy]]:
    for name in ("product", "own"):
        (directory / name).mkdir()
    return [("product", product_policy()), ("own", site)]


def test_every_window_is_shown() -> None:
    """A new setting of the rules must be told here too."""
    changed = RuleSettings(
        clinical_owner="Dr Synthetic Owner",
        lookback={"CT": "1006 d"},
        egfr_window_inpatient_days=1001,
        egfr_window_outpatient_days=1002,
        diabetes_is_a_kidney_risk=True,
        pregnancy_youngest_years=101,
        pregnancy_oldest_years=102,
        pregnancy_status_window_days=1003,
        pregnancy_longest_days=1004,
        follow_up_early_days=1005,
        unreported_modalities=("IO",),
        unreported_words=("by nobody",),
        reports_interventions=True,
        unplaced_look_back_days=1007,
        late_booking_tolerance_days=1011,
        late_booking_warning_days=1008,
        overdue_booking_days=1009,
        referral_warning_days=1012,
        patient_results=PatientResults.RELEASED,
        release_after_hours=1010,
    )
    told = [dict(documented_rules(site_policy(one)).windows) for one in (RuleSettings(), changed)]
    differ = [name for name, value in told[0].items() if told[1][name] != value]

    # These stand elsewhere on the page, or share a line with another setting.
    elsewhere = {"packs", "study_codes", "clinical_owner", "patient_image_links"}
    shared = {"pregnancy_oldest_years", "release_after_hours", "unreported_words"}
    assert len(differ) == len({one.name for one in fields(RuleSettings)} - elsewhere - shared)
    for number in (
        "1001",
        "1002",
        "1003",
        "1004",
        "1005",
        "1006",
        "1007",
        "1008",
        "1009",
        "1010",
        "1011",
        "1012",
        "101",
        "102",
    ):
        assert number in " ".join(told[1].values())
