"""What an archive's index says of a study, read tolerantly, and its copies joined (SMART Imaging Access F3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy

from fhir_imaging.archived_study import (
    MAX_NUMBER,
    ArchivedInstance,
    ArchivedSeries,
    ArchivedStudy,
    InstanceAvailability,
    merged,
)
from fhir_imaging.fhir_mapping.imaging_study import StudyContext, imaging_study
from fhir_imaging.study_reading import archived_instance, archived_series, archived_study, state_of
from fhir_imaging.uids import series_uid, sop_uid, study_uid

UID = "1.2.3"


def dataset(**changes: object) -> dict[str, object]:
    stated = {"x0020000D": UID, "x0020000E": "1.2.3.1", "x00080018": "1.2.3.1.1", **changes}
    return {tag[1:]: {"Value": value if isinstance(value, list) else [value]} for tag, value in stated.items()}


def a_study(**changes: object) -> ArchivedStudy:
    study = archived_study(dataset(**changes), "main")
    assert study is not None
    return study


def a_series(number: int, **changes: object) -> ArchivedSeries:
    plain = ArchivedSeries(uid=series_uid(f"{UID}.{number}"), archives=("main",), number=number, modality="CT")
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("day", "time", "zone", "started"),
    [
        ("20261001", "101112", "+0100", "2026-10-01T10:11:12+01:00"),
        ("20261001", "101112.120000", "-0330", "2026-10-01T10:11:12.12-03:30"),
        ("20261001", "1011", "+1400", "2026-10-01T10:11:00+14:00"),
        ("20261001", "101112", "", "2026-10-01"),
        ("20261001", "101112", "-0000", "2026-10-01"),
        ("20261001", "101112", "+1430", "2026-10-01"),
        ("20261001", "101112", "Europe/Berlin", "2026-10-01"),
        ("20261001", "10", "+0100", "2026-10-01T10:00:00+01:00"),
        ("20261001", "101160", "+0100", "2026-10-01"),
        ("20261001", "", "+0100", "2026-10-01"),
        ("20260230", "101112", "+0100", None),
        ("2026.10.01", "10:11:12", "+0100", "2026-10-01T10:11:12+01:00"),
        ("00000101", "", "", None),
    ],
)
def test_a_start_has_its_time_only_with_a_stated_zone(day: str, time: str, zone: str, started: str | None) -> None:
    assert a_study(x00080020=day, x00080030=time, x00080201=zone).started == started


@pytest.mark.parametrize(
    ("stated", "number"),
    [
        ("7", 7),
        (7, 7),
        (7.0, 7),
        (" 7 ", 7),
        ("+7", 7),
        ("-1", None),
        (-1, None),
        ("7.5", None),
        (True, None),
        (2**31, None),
        ("", None),
    ],
)
def test_counts_are_read_as_number_or_text_and_never_negative(stated: object, number: int | None) -> None:
    assert a_study(x00201206=stated).series_count == number


@pytest.mark.parametrize(
    ("stated", "modalities"),
    [(["SR", "CT"], ("CT", "SR")), (["CT\\SR\\CT"], ("CT", "SR")), (["ct", 7, "", "C  T"], ()), (["PT", "CT"], ("CT", "PT"))],
)
def test_modalities_come_with_acquisitions_first(stated: list[object], modalities: tuple[str, ...]) -> None:
    assert a_study(x00080061=stated).modalities == modalities


def test_the_series_outweigh_the_index() -> None:
    study = replace(a_study(x00080061=["CT"], x00201206=1, x00201208=1), series=(a_series(1, modality="MR"), a_series(2)))

    assert (study.modalities, study.number_of_series, study.number_of_instances) == (("CT", "MR"), 2, 1)
    assert replace(study, series=(a_series(1, instance_count=3), a_series(2, instance_count=4))).number_of_instances == 7


def test_copies_join_to_the_most_that_is_known() -> None:
    instance = ArchivedInstance(uid=sop_uid("1.2.3.1.1"), sop_class="1.2.840", number=1)
    first = replace(a_study(x00080020="20261001", x00201208=3), series=(a_series(2), a_series(1, instances=(instance,))))
    stated = a_study(x00080020="20261001", x00080030="1011", x00080201="+0100", x00080050="ACC", x00201208=5)
    other = replace(stated, archives=("second",), series=(replace(a_series(1, instance_count=9), archives=("second",)),))

    study = merged([first, other])

    assert (study.archives, study.accession, study.instance_count) == (("main", "second"), "ACC", 5)
    assert study.started == "2026-10-01T10:11:00+01:00"
    assert [(one.number, one.archives, one.instance_count, len(one.instances)) for one in study.series] == [
        (1, ("main", "second"), 9, 1),
        (2, ("main",), None, 0),
    ]


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        ("OFFLINE", "ONLINE", "ONLINE"),
        ("UNAVAILABLE", "NEARLINE", "NEARLINE"),
        ("OFFLINE", "OFFLINE", "OFFLINE"),
        ("OFFLINE", "", None),
        ("ONLINE", "", "ONLINE"),
    ],
)
def test_of_two_copies_the_one_that_is_had_sooner_counts(one: str, other: str, joined: str | None) -> None:
    copies = [a_study(x00080056=one), a_study(x00080056=other)]

    assert merged(copies).availability == merged(copies[::-1]).availability == joined


def test_a_sum_of_instances_that_fhir_has_no_number_for_is_not_said() -> None:
    """Found by ``test_synced_study_releases``: two series that no modality makes."""
    series = tuple(a_series(number, instance_count=MAX_NUMBER - 1 + number) for number in (0, 1))
    odd = replace(a_study(), series=series, instance_count=None)

    assert odd.number_of_instances is None
    assert replace(odd, instance_count=7).number_of_instances == 7
    assert replace(odd, series=series[:1]).number_of_instances == MAX_NUMBER - 1


@pytest.mark.parametrize("stated", ["", "SOMEWHERE", 7, None])
def test_an_availability_that_dicom_does_not_know_is_unknown(stated: object) -> None:
    assert a_study(x00080056=stated).availability is None
    assert a_study(x00080056=" offline").availability is None, "a CS is in capitals"
    assert a_study(x00080056="OFFLINE ").availability is InstanceAvailability.OFFLINE


def test_our_own_fhir_says_it_too() -> None:
    context = StudyContext(subject="http://ehr.example/fhir/Patient/1")
    (said,) = imaging_study(a_study(x00080056="OFFLINE"), context)["extension"]

    assert said["valueCode"] == "OFFLINE"
    assert "extension" not in imaging_study(a_study(x00080056="ONLINE"), context)


@pytest.mark.parametrize("uid", ["", "abc", "1" * 65, "1.2.*"])
def test_what_names_no_uid_is_nothing(uid: str) -> None:
    assert archived_study(dataset(x0020000D=uid), "main") is None
    assert archived_series(dataset(x0020000E="x" + uid), "main") is None
    assert archived_instance(dataset(x00080016="x" + uid)) is None
    assert archived_instance(dataset()) is None


def test_a_state_changes_with_what_is_described_and_not_with_the_order() -> None:
    one = dataset(x00080061=["CT", "SR"], x00201208=3)

    assert state_of(one) == state_of(dataset(x00080061=["SR", "CT"], x00201208=3))
    assert len({state_of(one), state_of(dataset(x00201208=4)), state_of(dataset(x00100020="MRN-B"))}) == 3
    assert state_of(dataset(x00080056="OFFLINE")) != state_of(dataset())


def test_a_bare_study_is_valid_r4_with_the_modality_that_dicom_calls_other() -> None:
    """F3: modality 1..*."""
    study = replace(
        a_study(x00081030="CT\x00 of\x1bthe \u2028chest"), series=(replace(a_series(1, modality=None), number=None),)
    )

    made = imaging_study(study, StudyContext(subject="http://ehr.example/fhir/Patient/1"))

    assert ImagingStudy.model_validate(made).id == UID
    assert made["description"] == "CT  of the  chest"
    assert ([one["code"] for one in made["modality"]], made["series"][0]["modality"]["code"]) == (["OT"], "OT")
    assert "started" not in made
    assert "number" not in made["series"][0]


def test_only_the_uid_identifier_has_the_dicom_system() -> None:
    made = imaging_study(a_study(x00080050="ACC"), StudyContext(subject="http://ehr.example/fhir/Patient/1"))

    assert [one.get("system") for one in made["identifier"]] == ["urn:dicom:uid", None]
    assert study_uid(made["identifier"][0]["value"].removeprefix("urn:oid:")) == UID
