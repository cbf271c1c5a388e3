"""One study out of DICOM JSON: its accession number, requests, series and counts (7.2, X14, X15, X18, M1-M7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.archived_study import ArchivedInstance
from fhir_imaging.concept import Concept
from fhir_imaging.uids import sop_uid
from pacs_sync.coding_schemes import SYSTEMS
from pacs_sync.settings import SyncSettings, TargetSettings
from pacs_sync.study_facts import SeriesRecord, SiteRules, studies_in, study_facts
from tests.facts_actors import SITE, UID, coded, dataset, item, number, only


def test_what_has_one_value_is_not_read_of_several() -> None:
    found = only(dataset(x00080020=["20260315", "20250315"], x00080050=["A1", "A2"], x00201209="1"))

    assert (found.started, found.accession) == (None, "A1\\A2")
    assert studies_in([dataset(x0020000D=[UID, "1.2.4"])], SITE) == ()


def test_m7_two_studies_stay_two() -> None:
    studies = studies_in([dataset(x00100020="7"), dataset(x0020000D="1.2.4", x00100020="8")], SITE)

    assert [(one.uid, [who.number for who in one.patients]) for one in studies] == [("1.2.3", ["7"]), ("1.2.4", ["8"])]


def test_x18_the_issuer_of_the_accession_number_is_its_local_or_universal_entity() -> None:
    local = only(dataset(x00080050="ACC-1", x00080051=[item(x00400031="RIS", x00400032="1.9")]))
    universal = only(dataset(x00080050="ACC-1", x00080051=[item(x00400032="1.9")]))

    assert (local.accession, local.accession_issuer) == ("ACC-1", "RIS")
    assert (universal.accession_issuer, only(dataset(x00080050="ACC-1")).accession_issuer) == ("1.9", None)


def test_x18_the_requests_number_counts_where_the_study_has_none_and_all_agree() -> None:
    request, other = item(x00080050="ACC-1", x00080051=[item(x00400031="RIS")]), item(x00080050="ACC-2")

    one, two = only(dataset(x00400275=[request, request])), only(dataset(x00400275=[request, other]))

    assert (one.accession, one.accession_issuer) == ("ACC-1", "RIS")
    assert (two.accession, two.accession_issuer) == (None, None)


def test_m5_what_was_done_outweighs_what_was_asked_for() -> None:
    done, asked = coded("29252-4", "LN", "CT chest WO"), coded("24627-2", "LN", "CT chest")
    request = item(x00321064=[coded("CT-7", "99HOSP", "Chest of ours")])

    both = only(dataset(x00081032=[done], x00321064=[asked], x00400275=[request]))
    requested = only(dataset(x00321064=[asked], x00400275=[request]))
    inside = only(dataset(x00400275=[request]))

    assert [one.code for one in both.procedures] == ["29252-4"]
    assert requested.procedures == (Concept("CT chest", SYSTEMS["LN"], "24627-2"),)
    assert inside.procedures == (Concept("Chest of ours"),)


def test_m5_a_reason_may_be_inside_the_requests_and_is_told_once() -> None:
    cough = coded("27925004", "SCT", "Nodule")
    request = item(x0040100A=[cough], x00401002="nodule")

    study = only(dataset(x00400275=[request], x00401002="Follow-up"), dataset(x0040100A=[cough], x00080018=f"{UID}.1.2"))

    assert study.reasons == (Concept("Nodule", SYSTEMS["SCT"], "27925004"), Concept("Follow-up"))


def test_x15_modalities_come_from_the_series() -> None:
    told = [dataset(x00080060="SR"), dataset(x00080060="CT", x0020000E=f"{UID}.2", x00080018=f"{UID}.2.1")]

    assert only(*told).modalities == ("CT", "SR")


def test_m6_an_instance_that_comes_twice_counts_once_in_the_whole_study() -> None:
    again = dataset(x0020000E=f"{UID}.2", x0020000D=UID)
    study = only(
        dataset(), dataset(), again, dataset(x00080018=f"{UID}.1.2"), site=SiteRules(archive="main", with_instances=True)
    )

    assert [(one.uid, one.instance_count, len(one.instances)) for one in study.series] == [
        (f"{UID}.1", 2, 2),
        (f"{UID}.2", 0, 0),
    ]
    assert (study.number_of_series, study.number_of_instances) == (2, 2)


def test_instances_are_listed_on_request_only_and_in_order() -> None:
    told = [dataset(x00080018=f"{UID}.1.{n}", x00200013=20 - n) for n in (1, 2, 3)]

    assert only(*told).series[0].instances == ()
    listed = only(*told, site=SiteRules(archive="main", with_instances=True)).series[0].instances
    assert [one.number for one in listed] == [17, 18, 19]


@pytest.mark.parametrize(("stated", "read"), [("3", 3), ("-3", None), (str(2**31), None), ("0", 0)])
def test_a_number_that_fhir_has_not_is_left_out(stated: str, read: int | None) -> None:
    assert only(dataset(x00200011=stated)).series[0].number == read


def test_a_study_without_series_uids_has_no_series_and_no_uid_is_no_study() -> None:
    assert only(dataset(x0020000E=None)).series == ()
    assert studies_in([dataset(x0020000D=None), dataset(x0020000D="not.a.uid")], SITE) == ()
    assert study_facts([], [], SITE) is None


def test_a_series_is_told_by_its_match_and_an_instance_that_stands_for_it() -> None:
    match = dataset(x0020000E=f"{UID}.1", x00080060="MG", x00201209=2, x00180015="BREAST")
    whole = dataset(x00200062="L", x00080021="20260315", x00080031="1120", x00080201="+0100", x00100020="7")

    study = study_facts([dataset()], [SeriesRecord(match=match, details=[whole])], SITE)

    assert study is not None
    (series,) = study.series
    assert (series.instance_count, series.started, series.laterality) == (2, "2026-03-15T11:20:00+01:00", None)
    assert series.body_site is not None
    assert study.patients == (number("7"),)
    one_image = match | {"00201209": {"Value": [1]}}
    alone = study_facts([dataset()], [SeriesRecord(match=one_image, details=[whole])], SITE)
    assert alone is not None
    assert alone.series[0].laterality is not None, "the one image is the whole series"


def test_the_time_of_a_start_may_come_from_an_instance_that_knows_the_zone() -> None:
    """X13: Orthanc does not return (0008,0201)."""
    match = dataset(x00080020="20260315", x00080030="1120")
    zoned, other_day = match | dataset(x00080201="+0100"), dataset(x00080020="20260316", x00080030="1120", x00080201="+0100")

    found = [study_facts([match], [SeriesRecord(match=dataset(), details=[one])], SITE) for one in (zoned, other_day)]

    assert [one and one.started for one in found] == ["2026-03-15T11:20:00+01:00", "2026-03-15"]


@pytest.mark.parametrize(
    ("offsets", "begun"),
    [
        ((None,), "2026-03-15T11:20:00+01:00"),
        (("+0000",), "2026-03-15T11:20:00+00:00"),
        (("+0000", "+0000"), "2026-03-15T11:20:00+00:00"),
        (("+0000", "+0100"), "2026-03-15T11:20:00+01:00"),
        (("+0000", "-0500"), "2026-03-15"),
        (("nonsense",), "2026-03-15T11:20:00+01:00"),
    ],
)
def test_x13_a_files_offset_outweighs_the_sites_zone_where_the_index_states_none(
    offsets: tuple[str | None, ...], begun: str
) -> None:
    berlin = SiteRules(archive="main", zone=ZoneInfo("Europe/Berlin"))
    match = dataset(x00080020="20260315", x00080030="1120")
    files = [dataset(x00080020="20260315", x00080030="112000", x00080201=one) for one in offsets]
    other_time = dataset(x00080020="20260315", x00080030="1220", x00080201="+0900")

    found = study_facts([match], [SeriesRecord(match=dataset(), details=[other_time, *files])], berlin)

    assert found is not None
    assert found.started == begun


def test_a_study_under_several_patients_in_the_index_shows_them_all() -> None:
    study = study_facts([dataset(x00100020="7"), dataset(x00100020="8")], [], SITE)

    assert study is not None
    assert study.patients == (number("7"), number("8"))


def test_a_records_instances_are_listed_on_request_each_once() -> None:
    instance = ArchivedInstance(uid=sop_uid(f"{UID}.1.1"), sop_class="1.2.840")
    record = SeriesRecord(match=dataset(), instances=(instance, instance))

    listed = study_facts([dataset()], [record], SiteRules(archive="main", with_instances=True))
    plain = study_facts([dataset()], [record], SITE)

    assert [one and one.series[0].instances for one in (listed, plain)] == [(instance,), ()]


def test_m4_a_body_site_of_one_side_has_not_the_other() -> None:
    left_breast = coded("80248007", "SCT", "Left breast structure")
    right, left = (only(dataset(x00082218=[left_breast], x00200060=side)).series[0] for side in "RL")

    assert right.laterality is None
    assert left.laterality is not None


def test_x16_the_same_study_comes_of_any_order() -> None:
    """Where its parts contradict each other it must not change from look to look."""
    one, other = (
        SeriesRecord(
            match=dataset(
                x0020000E=f"{UID}.{number}", x00080050=f"A{number}", x00080020=f"2026030{number}", x00081030=f"CT {number}"
            ),
            details=[dataset(x00080018=f"{UID}.{number}.{each}", x00180015=f"part {each}") for each in (1, 2)],
        )
        for number in (1, 2)
    )
    turned = [replace(record, details=record.details[::-1]) for record in (other, one)]
    bare = [dataset(x0020000E=None)]

    assert study_facts(bare, [one, other], SITE) == study_facts(bare, turned, SITE)


def test_a_record_of_another_study_is_left_out() -> None:
    study = study_facts([dataset()], [SeriesRecord(match=dataset(x0020000D="1.2.4", x00100020="8"))], SITE)

    assert study is not None
    assert (study.series, study.patients) == ((), ())


def test_rules_of_a_site_come_from_its_settings() -> None:
    target = TargetSettings(fhir_base="http://localhost/fhir")
    settings = SyncSettings(name="s", pacs="main", target=target, time_zone="Europe/Berlin", coding_schemes={"99H": "urn:h"})
    told = dataset(x00080020="20260315", x00080030="1120", x00081032=[coded("7", "99H", "Chest")])

    study = only(told, site=SiteRules.of(settings))

    assert (study.archives, study.started) == (("main",), "2026-03-15T11:20:00+01:00")
    assert study.procedures == (Concept("Chest", "urn:h", "7"),)


TAGS = st.sampled_from(
    [
        *("00100020", "00100021", "00100024", "00101002", "00080050", "00080051", "00080090", "00081032", "0040100A"),
        *("00401002", "00400275", "00180015", "00082218", "00200060", "00200062", "52009229", "00209071", "00080020"),
        *("00080030", "00080060", "00200011", "00080104", "00080102"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TAGS | st.sampled_from(["Value", "Alphabetic"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(TAGS, st.fixed_dictionaries({"Value": JSON}) | JSON, max_size=6))
def test_no_data_set_of_whatever_shape_stops_the_reading(odd: dict[str, Any]) -> None:
    (study,) = studies_in([odd | dataset()], SITE)

    assert study.uid == UID
    assert study_facts([odd | dataset()], [SeriesRecord(match=odd | dataset(), details=[odd | dataset()])], SITE) is not None
