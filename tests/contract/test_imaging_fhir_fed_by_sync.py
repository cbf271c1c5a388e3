"""The imaging FHIR endpoint out of a FHIR server that ``pacs_sync`` itself feeds: what comes through, and what never does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy
from flask import Response, request

from fhir_imaging.settings import Ownership, SubjectBy
from tests.contract.fed_actors import lacks_something
from tests.contract.fed_by_sync_actors import ACCESSIONS, CODES, FedBySync, Written, fed_by_sync, uid_of
from tests.contract.imaging_fhir_actors import CT_A, CT_B, DX_A, MR_A, MRN, ImagingFhir, an_imaging_fhir, tagged, uids_of
from tests.imaging_profiles import SMART_IMAGING_STUDY, broken

REFERENCE, LOCAL, NUMBER = SubjectBy.REFERENCE, SubjectBy.LOCAL_REFERENCE, SubjectBy.IDENTIFIER


def rich(world: ImagingFhir) -> None:
    """A study of which the files say more than an archive's index."""
    world.main.holds(
        CT_A,
        count=3,
        **{"x00080020": "20261001", "x00080030": "101112.5", "x00080201": "+0100", "x00080050": "ACC-1"},
        x00080090={"Alphabetic": "Synthetic^Referrer"},
        x00081032=tagged(x00080100="P-4", x00080102="99NORTH", x00080104="CT of the chest"),
    )
    world.main.index[CT_A][1][0][0].update(tagged(x00180015="CHEST", x00200060="L", x0008103E="Thin"))


def studies_of(world: ImagingFhir) -> dict[str, dict[str, Any]]:
    """Each of the patient's studies, read alone, by UID; without what is each server's own."""
    token = world.north.token()
    read = {uid: world.ask(f"/ImagingStudy/{uid}", token).json() for uid in world.listed(token)}
    assert all(one["subject"] == {"reference": f"{world.north.fhir_base}/Patient/pat-a"} for one in read.values())
    return {
        uid: {name: said for name, said in one.items() if name not in ("meta", "subject")}
        for uid, one in read.items()
        if ImagingStudy.model_validate(one) is not None and broken(one, SMART_IMAGING_STUDY) == []
    }


@pytest.mark.parametrize("written", Written)
@pytest.mark.parametrize("ids", ["server", "study-uid"])
def test_F3_it_tells_what_the_archives_tell_and_what_their_files_know_besides(
    tmp_path: Path, written: Written, ids: str
) -> None:
    with an_imaging_fhir(tmp_path / "live") as world:
        rich(world)
        live = studies_of(world)
    with fed_by_sync(tmp_path, written) as fed:
        rich(fed.world)
        target = {"fhir_base": fed.fhir_base, "ids": ids}
        fed.syncs[:] = [fed.table(one, target=target, with_instances=True) for one in ("main", "second")]
        fed.bring()
        told = studies_of(fed.world)

        assert list(told) == list(live) == [CT_A, MR_A, DX_A]
        assert (told[CT_A].pop("referrer"), told[CT_A].pop("procedureCode")) == (
            {"display": "Referrer Synthetic"},
            [{"coding": [{"system": CODES, "code": "P-4", "display": "CT of the chest"}]}],
        )
        assert told[CT_A]["identifier"][1].pop("system") == ACCESSIONS
        (of_files,), (of_index,) = told[CT_A]["series"], live[CT_A]["series"]
        assert of_files.pop("laterality")["code"]
        assert of_index["bodySite"] == of_files["bodySite"]
        assert of_index["bodySite"]["code"]
        # One study in two archives is written once, by the first synchronisation, which knows one place of it.
        assert (told[MR_A].pop("endpoint"), live[MR_A].pop("endpoint")) == (
            [{"reference": "Endpoint/main"}],
            [{"reference": "Endpoint/main"}, {"reference": "Endpoint/second"}],
        )
        assert told == live


def test_F4_endpoints_become_the_gateways_whatever_that_server_calls_them(tmp_path: Path) -> None:
    with fed_by_sync(tmp_path, Written.OTHER_IDS) as fed:
        fed.syncs.append(fed.table("second", endpoint_address=fed.world.second.root))  # the archive's own address will do
        fed.bring()
        answer = fed.world.search(include="ImagingStudy:endpoint")
        included = {
            one["resource"]["id"]: one["resource"]["address"]
            for one in answer.json()["entry"]
            if one["search"]["mode"] == "include"
        }

        assert included == {name: f"{fed.world.url}/imaging/north/dicom-web/{name}" for name in ("main", "second")}
        assert {one["id"] for one in fed.records.search("Endpoint", {})}.isdisjoint(included)
        assert fed.world.ask("/Endpoint/main", fed.world.north.token()).json()["address"] == included["main"]


@pytest.mark.parametrize("ownership", Ownership)
@pytest.mark.parametrize(
    ("written", "subjects", "is_found"),
    [
        (Written.EHRS_OWN, (REFERENCE,), True),
        (Written.EHRS_OWN, (LOCAL,), True),
        (Written.EHRS_OWN, (NUMBER,), True),
        (Written.SAME_IDS, (REFERENCE,), False),
        (Written.SAME_IDS, (LOCAL,), True),
        (Written.SAME_IDS, (NUMBER,), True),
        (Written.OTHER_IDS, (REFERENCE,), False),
        (Written.OTHER_IDS, (LOCAL,), False),
        (Written.OTHER_IDS, (NUMBER,), True),
        (Written.OTHER_IDS, (REFERENCE, NUMBER), True),
        (Written.OTHER_IDS, (LOCAL, NUMBER), False),
    ],
)
def test_F2_which_ways_of_naming_the_patient_find_what_pacs_sync_writes(
    tmp_path: Path, ownership: Ownership, written: Written, subjects: tuple[SubjectBy, ...], is_found: bool
) -> None:
    """docs/connecting.md has this table. The wrong way finds nothing, says so, and shows nobody else's study."""
    with fed_by_sync(tmp_path, written, ownership, subjects) as fed:
        fed.syncs.append(fed.table("second"))
        fed.bring()
        if ownership is Ownership.FHIR and written is Written.EHRS_OWN:
            fed.world.north.studies.clear()  # the EHR itself says whose studies they are, by what was written
        (stored,) = [one["subject"] for one in fed.records.search("ImagingStudy", {}) if uid_of(one) == CT_B]
        answer = fed.world.search()

        assert stored == {"reference": "Patient/pat-a" if written is Written.OTHER_IDS else "Patient/pat-b"} | {
            "identifier": {"system": MRN, "value": "MRN-B"}
        }
        assert uids_of(answer) == ([CT_A, MR_A, DX_A] if is_found else [])
        assert lacks_something(answer.json()) is not is_found
        assert CT_B not in answer.body.decode()


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[FedBySync]:
    """Brought over once. The EHR goes on saying that three studies are patient A's, whatever becomes of them in the archive.

    The imaging server knows no numbers, so that nothing but what was written stands between a study and the wrong patient.
    """
    with fed_by_sync(tmp_path, Written.SAME_IDS, Ownership.FHIR, (LOCAL,)) as fed:
        fed.syncs.append(fed.table("second"))
        fed.bring()
        assert fed.world.listed() == [CT_A, MR_A, DX_A]
        yield fed


def test_a_study_that_the_archive_deleted_vanishes_and_comes_back_with_it(fed: FedBySync) -> None:
    kept = fed.world.main.index.pop(CT_A)
    fed.compare()

    assert (fed.statuses()[CT_A], gone(fed)) == ("entered-in-error", [MR_A, DX_A])

    fed.world.main.index[CT_A] = kept
    fed.compare()
    assert (fed.statuses()[CT_A], fed.world.listed()) == ("available", [CT_A, MR_A, DX_A])


def test_F7_a_study_that_moved_to_another_patient_moves(fed: FedBySync) -> None:
    """Whom it is shown to then, the EHR has to say: until it does, to nobody."""
    of_b = fed.world.north.token("pat-b")
    move(fed, CT_A, "MRN-B")
    fed.bring()

    assert gone(fed) == [MR_A, DX_A]
    assert fed.world.listed(of_b, patient="pat-b") == [CT_B]
    fed.world.north.studies[CT_A] = "pat-b"
    assert fed.world.listed(of_b, patient="pat-b") == [CT_A, CT_B]
    assert fed.world.listed() == [MR_A, DX_A]


@pytest.mark.parametrize(("number", "why"), [("MRN-UNKNOWN", "no-patient"), (None, "no-number")])
def test_F7_a_study_whose_patient_nobody_knows_any_more_stands_in_no_chart(
    fed: FedBySync, number: str | None, why: str
) -> None:
    move(fed, CT_A, number)
    fed.bring()

    assert (fed.statuses()[CT_A], gone(fed)) == ("entered-in-error", [MR_A, DX_A])
    assert fed.held()[CT_A] == why


def test_F7_a_study_of_two_persons_stands_in_no_chart(fed: FedBySync) -> None:
    fed.world.main.adds_series(CT_A, 3, "CT", 1)
    fed.world.main.index[CT_A][1][-1][0].update(tagged(x00100020="MRN-B", x00100021="NORTH"))
    fed.world.main.index[CT_A][0].update(tagged(x00201206=3, x00201208=5))
    fed.bring()

    # The gateway sees it in the archive too.
    assert (fed.statuses()[CT_A], gone(fed, read=403)) == ("entered-in-error", [MR_A, DX_A])
    assert fed.held()[CT_A] == "mixed"


def test_F7_in_the_ehrs_own_record_studies_move_and_vanish_by_themselves(tmp_path: Path) -> None:
    """The EHR says whose they are by what the synchronisation wrote there."""
    with fed_by_sync(tmp_path, Written.EHRS_OWN, Ownership.FHIR) as fed:
        fed.syncs.append(fed.table("second"))
        fed.bring()
        of_b = fed.world.north.token("pat-b")
        assert (fed.world.listed(), fed.world.listed(of_b, patient="pat-b")) == ([CT_A, MR_A, DX_A], [CT_B])

        move(fed, CT_A, "MRN-B")
        fed.bring()
        assert (fed.world.listed(), fed.world.listed(of_b, patient="pat-b")) == ([MR_A, DX_A], [CT_A, CT_B])

        del fed.world.main.index[CT_A]
        fed.compare()
        assert (fed.world.listed(), fed.world.listed(of_b, patient="pat-b")) == ([MR_A, DX_A], [CT_B])
        assert fed.world.ask(f"/ImagingStudy/{CT_A}", of_b).status == 403


def test_a_study_is_told_when_it_is_complete(tmp_path: Path) -> None:
    with fed_by_sync(tmp_path, Written.OTHER_IDS) as fed:
        fed.syncs[:] = [fed.table(one, pace={"stable_s": 3600.0, "gone_s": 0.0, "workers": 1}) for one in ("main", "second")]
        fed.bring()

        assert set(fed.statuses().values()) == {"registered"}
        assert lacks_something(fed.world.search().json())
        assert fed.world.listed() == []


def test_a_study_in_two_archives_is_held_by_whoever_came_second_until_the_first_loses_it(fed: FedBySync) -> None:
    assert fed.held() == {MR_A: "several-studies"}
    assert fed.statuses() == dict.fromkeys([CT_A, MR_A, DX_A, CT_B], "available")

    del fed.world.main.index[MR_A]
    fed.compare()
    study = fed.world.ask(f"/ImagingStudy/{MR_A}", fed.world.north.token()).json()
    assert (fed.held(), study["endpoint"]) == ({}, [{"reference": "Endpoint/second"}])


@pytest.mark.parametrize("with_instances", [True, False])
def test_instances_are_told_where_the_synchronisation_writes_them(tmp_path: Path, with_instances: bool) -> None:
    with fed_by_sync(tmp_path, Written.EHRS_OWN) as fed:
        fed.syncs[:] = [fed.table(with_instances=with_instances)]
        fed.bring()
        study = fed.world.ask(f"/ImagingStudy/{CT_A}", fed.world.north.token()).json()

        assert [len(one.get("instance", [])) for one in study["series"]] == ([3, 1] if with_instances else [0, 0])
        assert ("tag" in study["meta"]) is not with_instances
        assert broken(study, SMART_IMAGING_STUDY) == []


def test_it_is_read_to_the_end_however_short_that_servers_pages_are(fed: FedBySync) -> None:
    def one_at_a_time() -> None:
        request.query_string = request.query_string.replace(b"_count=100", b"_count=1")

    fed.world.fed.asked.clear()
    fed.world.fed.instead = one_at_a_time

    assert fed.world.search(count=1).json()["total"] == 3
    assert len(fed.world.fed.asked) >= 3


def test_F2_a_server_that_cannot_search_references_by_identifier_is_asked_through_its_patients(tmp_path: Path) -> None:
    """As HAPI is (tests/interop/test_imaging_fhir_fed_hapi.py); here the sandbox pretends to know the other way only."""

    def knows_chains_only() -> Response | None:
        if b"patient%3Aidentifier" in request.query_string:
            return Response(status=400)
        request.query_string = request.query_string.replace(b"subject%3APatient.identifier", b"patient%3Aidentifier")
        return None

    subjects = (SubjectBy.PATIENT_IDENTIFIER,)
    with fed_by_sync(tmp_path, Written.OTHER_IDS, Ownership.FHIR, subjects) as fed:
        fed.syncs.append(fed.table("second"))
        fed.bring()
        fed.world.fed.instead = knows_chains_only

        assert fed.world.listed() == [CT_A, MR_A, DX_A]
        assert fed.world.listed(fed.world.north.token("pat-b"), patient="pat-b") == [CT_B]


def test_last_update_is_when_the_synchronisation_wrote(fed: FedBySync) -> None:
    def updated() -> str:
        return str(fed.world.ask(f"/ImagingStudy/{CT_A}", fed.world.north.token()).json()["meta"]["lastUpdated"])

    before = updated()
    fed.bring()
    assert updated() == before
    fed.world.main.index[CT_A][0].update(tagged(x00081030="Another description"))
    fed.bring()
    assert updated() > before


def move(fed: FedBySync, uid: str, number: str | None) -> None:
    """As a PACS does when a study is corrected: the same study under another number."""
    study, _ = fed.world.main.index[uid]
    study.update(tagged(x00100020=number) if number else {"00100020": {"vr": "LO"}})


def gone(fed: FedBySync, read: int = 404) -> list[str]:
    """What patient A is shown; the EHR's word for the others is not enough, and the list says that it lacks something."""
    answer = fed.world.search()
    assert lacks_something(answer.json())
    assert fed.world.ask(f"/ImagingStudy/{CT_A}", fed.world.north.token()).status == read
    return uids_of(answer)
