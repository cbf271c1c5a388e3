"""Search parameters of the imaging FHIR endpoint: dates by their precision, tokens by their systems, links by their end."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.fernet import Fernet

from fhir_imaging.errors import InvalidRequest
from fhir_imaging.settings import EhrSettings, PacsSettings
from fhir_imaging.store.keys import Sealer
from imaging_server.fhir_dates import parse_condition, stated_datetime, stated_instant
from imaging_server.fhir_paging import NextPage, PageLinks
from imaging_server.fhir_search import Token, named_patients, offered_pairs, parse_study_search, split
from imaging_server.settings import ImagingServerSettings, check_settings

PATIENT = ("patient", "1")
INSTANT = 1681704000_500
"""2023-04-17T04:00:00.500Z."""


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ("2023", True),
        ("2023-04", True),
        ("2023-04-17", True),
        ("2023-04-18", False),
        ("2023-04-17T04:00Z", True),
        ("2023-04-17T04:00:00Z", True),
        ("eq2023-04-17T06:00:00+02:00", True),
        ("2023-04-17T06:00:00 02:00", True),
        ("2023-04-17T04:00:00.5Z", True),
        ("2023-04-17T04:00:00.501Z", False),
        ("gt2023-04-17T04:00:00Z", False),
        ("gt2023-04-17T03:59:59Z", True),
        ("gt2023-04-17T04:00:00.499Z", True),
        ("gt2023-04-17T04:00:00.500Z", False),
        ("ge2023-04-17T04:00:00.500Z", True),
        ("ge2023-04-17T04:00:00Z", True),
        ("gt2023-04-16", True),
        ("gt2023-04-17", False),
        ("ge2023-04-17", True),
        ("lt2023-04-17", False),
        ("le2023-04-17", True),
        ("lt2023-04-18", True),
        ("lt2023-04-17T04:00:00.500Z", False),
        ("le2023-04-17T04:00:00.500Z", True),
        ("sa2023-04-16", True),
        ("sa2023-04-17", False),
        ("eb2023-04-18", True),
        ("eb2023-04-17", False),
        ("gt2022-12-31", True),
        ("lt2023-12", True),
        *((f"{prefix}9999{rest}", True) for prefix in ("le", "lt", "eb") for rest in ("", "-12", "-12-31", "-12-31T23:59:59Z")),
        ("ge9999-12-31", False),
        ("9999-12-31T23:59:59.9Z", False),
    ],
)
def test_F1_last_update_is_compared_at_the_precision_that_is_asked(value: str, holds: bool) -> None:
    assert parse_condition("_lastUpdated", value).holds_for(stated_instant(INSTANT)) is holds


@pytest.mark.parametrize(
    ("started", "value", "holds"),
    [
        ("2026-10-01", "2026-10-01", True),
        ("2026-10-01", "2026-10", True),
        ("2026-10-01", "ge2026-10-01", True),
        ("2026-10-01", "gt2026-10-01", False),
        ("2026-10-01", "lt2026-10-01", False),
        # Without a zone the day may have begun 14 hours before and ended 12 hours after the same day in UTC.
        ("2026-10-01", "gt2026-10-02T11:59:59Z", False),
        ("2026-10-01", "gt2026-10-02T10:00:00Z", True),
        ("2026-10-01", "sa2026-10-01T00:00:00Z", False),
        ("2026-10-01", "eq2026-10-01T12:00:00Z", False),
        # A date that is asked for means the calendar that the study was made by.
        ("2026-10-01T23:30:00-05:00", "2026-10-01", True),
        ("2026-10-01T23:30:00-05:00", "2026-10-02", False),
        ("2026-10-01T23:30:00-05:00", "2026-10-02T04:30:00Z", True),
        ("2026-10-01T23:30:00.25-05:00", "2026-10-02T04:30:00.25Z", True),
        ("0001-01-01", "le2026", True),
        ("9999-12-31", "ge2026", True),
        ("9999-12-31", "le9999-12-31", True),
        ("9999-12-31", "9999", True),
        ("9999-12-31", "gt9999-12-31", False),
        ("2024-02-29", "2024-02", True),
        ("2024-12-31", "2024", True),
        ("2025-01-01", "2024", False),
    ],
)
def test_started_is_compared_by_the_calendar_or_by_the_moment(started: str, value: str, holds: bool) -> None:
    assert parse_condition("started", value).holds_for(stated_datetime(started)) is holds


@pytest.mark.parametrize(
    "value",
    [
        *("", "yesterday", "2023-13", "2023-02-30", "2023-04-17T04:00:00", "2023-04-17T25:00Z", "ne2023", "ap2023", "20230417"),
        *("2023-04-17T04:00:00+25:00", "0000", "0001-01-01T00:00:00+01:00", "2023-04-17\n", "२०२३", "gt"),
    ],
)
def test_what_is_no_date_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_condition("_lastUpdated", value)

    assert "_lastUpdated" in refused.value.detail


def test_tokens_are_split_at_unescaped_marks() -> None:
    assert split(r"a\,b,c", ",") == ["a,b", "c"]
    assert split(r"a\\,b", ",") == ["a\\", "b"]
    search = parse_study_search([PATIENT, ("identifier", r"s|a\|b,|c,d,e|")])

    assert search.identifiers == ((Token("s", "a|b"), Token("", "c"), Token(None, "d"), Token("e", "")),)


def test_a_search_by_uid_names_its_studies_and_any_other_identifier_does_not() -> None:
    def named(*pairs: tuple[str, str]) -> frozenset[str] | None:
        return parse_study_search([PATIENT, *pairs]).named_studies

    assert named() is None
    assert named(("identifier", "ACC")) is None
    assert named(("identifier", "urn:oid:1.2,ACC")) is None
    assert named(("identifier", "urn:oid:1.2,urn:dicom:uid|1.3"), ("_id", "1.3,1.4")) == {"1.3"}


def test_M6_every_way_to_name_a_patient_is_seen() -> None:
    base = "https://ehr.example/fhir/"
    pairs = [
        ("patient", "Patient/1"),
        ("subject", f"{base}Patient/2"),
        ("patient:Patient", "3"),
        ("patient", "4,5,"),
        ("x", "6"),
    ]

    assert named_patients(pairs, base) == ("1", "2", "3", "4", "5", ""), "an empty one names nobody, and is refused as such"
    assert named_patients([("patient", "https://other.example/fhir/Patient/1")], base) == (
        "https://other.example/fhir/Patient/1",
    )


@pytest.mark.parametrize(
    ("pair", "word"),
    [
        (("identifier", ""), "identifier"),
        (("identifier", "|"), "identifier"),
        (("modality", "a|b|c"), "modality"),
        (("modality", ","), "modality"),
        (("_id", ""), "_id"),
        (("_id", ",".join("1" for _ in range(101))), "_id"),
        (("_count", "x"), "_count"),
        (("_count", "٣"), "_count"),
        (("_sort", "started,-started"), "_sort"),
        (("_include", "*"), "_include"),
        (("_total", "maybe"), "_total"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(pair: tuple[str, str], word: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_study_search([PATIENT, pair])

    assert word in refused.value.detail


@pytest.mark.parametrize("name", ["_sort", "_count", "_total"])
def test_controls_are_given_once(name: str) -> None:
    value = {"_sort": "started", "_count": "1", "_total": "none"}[name]
    with pytest.raises(InvalidRequest, match="once only"):
        parse_study_search([PATIENT, (name, value), (name, value)])


def test_an_unreadable_name_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        offered_pairs([("<script>", "1")], lenient=False)

    assert "script" not in refused.value.detail
    assert offered_pairs([("<script>", "1"), PATIENT], lenient=True) == (PATIENT,)


def test_a_page_is_never_longer_than_what_the_archives_are_asked_for() -> None:
    assert parse_study_search([PATIENT, ("_count", "999999999")]).count == 100


PAGE = NextPage(ehr="north", token="fingerprint", pairs=(PATIENT,), after=("2026", "1.2.3"))


def test_M8_a_link_is_opened_by_any_worker_of_this_installation_until_it_ends() -> None:
    key, now = Fernet.generate_key(), [1000.0]
    sealed = PageLinks(Sealer(key), lifetime_s=600, clock=lambda: now[0]).seal(PAGE)
    other_worker = PageLinks(Sealer(key), lifetime_s=600, clock=lambda: now[0])

    assert other_worker.open(sealed, ehr="north") == PAGE
    now[0] = 1600.0
    with pytest.raises(InvalidRequest):
        other_worker.open(sealed, ehr="north")


def test_links_of_other_installations_ehrs_and_kinds_are_none() -> None:
    sealer = Sealer(Fernet.generate_key())
    links = PageLinks(sealer)
    session = sealer.seal(b'{"kind":"session"}').decode()
    listed = sealer.seal(b"[1]").decode()
    foreign = PageLinks(Sealer(Fernet.generate_key())).seal(PAGE)

    for value, ehr in ((links.seal(PAGE), "south"), (session, "north"), (listed, "north"), (foreign, "north"), ("", "north")):
        with pytest.raises(InvalidRequest):
            links.open(value, ehr=ehr)


def noise(number: int) -> str:
    """Letters that cannot be compressed much, the same in every run."""
    return sha256(str(number).encode()).hexdigest()


def test_a_link_of_a_search_for_a_hundred_studies_can_still_be_followed() -> None:
    links = PageLinks(Sealer(Fernet.generate_key()))
    uids = [f"2.25.{int(noise(number)[:32], 16)}" for number in range(100)]
    page = replace(PAGE, pairs=(PATIENT, ("identifier", ",".join(f"urn:dicom:uid|urn:oid:{uid}" for uid in uids))))

    assert links.open(links.seal(page), ehr="north") == page


def test_a_search_too_long_for_a_link_is_refused_and_not_cut_off() -> None:
    value = "".join(noise(number) for number in range(250))

    with pytest.raises(InvalidRequest, match="_count"):
        PageLinks(Sealer(Fernet.generate_key())).seal(replace(PAGE, pairs=(PATIENT, ("identifier", value))))


def test_an_ehr_whose_studies_are_asked_of_this_server_itself_is_a_mistake_in_the_settings() -> None:
    """The IG warns of circular callbacks."""
    base = "https://imaging.example"
    ehr = EhrSettings(name="north", fhir_base="https://ehr.example/fhir", imaging_base=f"{base}/imaging/north/fhir")
    pacs = PacsSettings(name="main", dicomweb_root="https://pacs.example/dicom-web")

    with pytest.raises(Exception, match="asks this imaging server itself"):
        check_settings(ImagingServerSettings(public_base_url=base), (ehr,), (pacs,))
