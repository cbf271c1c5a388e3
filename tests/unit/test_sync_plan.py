"""What is to happen with a study, for each thing that archive and FHIR may say of it.

Spec: clinical rules X14, X16, X24, §7.2, §9.
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_imaging.fhir_versions import Status
from pacs_sync.patients import Unknown
from pacs_sync.plan import Gathered, Hold, Nothing, Withdraw, Write, decide, ours_first, withdrawn_status
from pacs_sync.ports import Held, HoldReason, Subject, WrittenStudy
from pacs_sync.standing import Mark
from tests.sync_actors import MRN, STUDY, a_study

MARK = Mark("demo")
ALMA = Subject(patient_id="a", system=MRN, number="1")


def stands(
    study_id: str = "1", status: str = "available", *, patient: str = "a", source: str | None = MARK.source
) -> WrittenStudy:
    content: dict[str, Any] = {"status": status, "subject": {"reference": f"Patient/{patient}"}}
    if source:
        content["meta"] = {"source": source}
    return WrittenStudy(id=study_id, version="1", content=content)


def gathered(*standing: WrittenStudy, **more: Any) -> Gathered:
    stated = {"archived": a_study(), "is_complete": True, "whose": ALMA, "mark": MARK, **more}
    return Gathered(standing=standing, **stated)


def nobody(*candidates: str) -> Unknown:
    return Unknown(held=Held(reason=HoldReason.NO_PATIENT), candidates=frozenset(candidates))


@pytest.mark.parametrize(
    ("standing", "is_complete", "status"),
    [
        ((), True, Status.AVAILABLE),
        ((), False, Status.REGISTERED),
        ((stands(status="registered"),), False, Status.REGISTERED),
        ((stands(status="registered"),), True, Status.AVAILABLE),
        ((stands(status="available"),), False, Status.AVAILABLE),
        ((stands(status="entered-in-error"),), False, Status.REGISTERED),
        ((stands(status="entered-in-error"),), True, Status.AVAILABLE),
        ((stands(status="inactive"),), True, Status.AVAILABLE),
    ],
)
def test_X24_the_status_by_what_stands_and_whether_more_is_to_come(
    standing: tuple[WrittenStudy, ...], is_complete: bool, status: Status
) -> None:
    verdict = decide(gathered(*standing, is_complete=is_complete))

    replaces = standing[0] if standing else None
    assert verdict == Write(status=status, subject=ALMA, replaces=replaces)


def test_the_subject_follows_the_archive() -> None:
    there = stands(patient="b")

    assert decide(gathered(there)) == Write(status=Status.AVAILABLE, subject=ALMA, replaces=there)


def test_of_several_of_ours_the_oldest_is_kept_and_the_others_are_withdrawn() -> None:
    old, copy, older_but_withdrawn = stands("999"), stands("1000"), stands("1", "entered-in-error")

    verdict = decide(gathered(copy, older_but_withdrawn, old))

    assert verdict == Write(status=Status.AVAILABLE, subject=ALMA, replaces=old, copies=(copy,))
    assert ours_first((copy, older_but_withdrawn, old), MARK) == (old, copy)


def test_what_the_archive_has_no_more_is_withdrawn_once() -> None:
    there = stands()

    assert decide(gathered(there, stands("2", "entered-in-error"), archived=None, whose=None)) == Withdraw(standing=(there,))
    assert decide(gathered(stands("2", "entered-in-error"), archived=None, whose=None)) == Nothing()
    assert decide(gathered(stands(source="https://ris.example"), archived=None, whose=None)) == Nothing()


def test_what_was_only_announced_is_cancelled() -> None:
    assert withdrawn_status(stands(status="registered")) is Status.CANCELLED
    assert withdrawn_status(stands()) is Status.ENTERED_IN_ERROR


def test_a_study_of_nobody_is_held_and_taken_out_of_the_chart_that_it_stood_in() -> None:
    there = stands()

    assert decide(gathered(there, whose=nobody())) == Hold(held=nobody().held, withdraw=(there,))
    assert decide(gathered(whose=nobody())) == Hold(held=nobody().held)


def test_it_stays_in_the_chart_of_one_of_those_whose_it_may_be() -> None:
    there = stands(patient="a")

    assert decide(gathered(there, whose=nobody("a", "b"))) == Hold(held=nobody().held)
    assert decide(gathered(there, whose=nobody("b", "c"))) == Hold(held=nobody().held, withdraw=(there,))


def test_what_has_no_maker_is_taken_over_if_it_is_of_the_same_patient() -> None:
    theirs = stands(source=None)
    with_request_id = stands(source="#Yc1")

    assert decide(gathered(theirs)) == Write(status=Status.AVAILABLE, subject=ALMA, replaces=theirs)
    assert decide(gathered(with_request_id)) == Write(status=Status.AVAILABLE, subject=ALMA, replaces=with_request_id)


@pytest.mark.parametrize(
    "others",
    [
        (stands(source="https://ris.example"),),
        (stands(source="urn:imaging-cds:sync:other"),),
        (stands(source=None, patient="b"),),
        (stands("1", source=None), stands("2", source=None)),
    ],
)
def test_what_others_made_or_of_another_patient_is_left_to_people(others: tuple[WrittenStudy, ...]) -> None:
    verdict = decide(gathered(*others))

    assert isinstance(verdict, Hold)
    assert (verdict.held.reason, verdict.withdraw) == (HoldReason.SEVERAL_STUDIES, ())


def test_beside_anothers_of_the_same_patient_ours_goes_on_and_of_another_patient_it_waits() -> None:
    ours, in_wrong_chart = stands("1"), stands("1", patient="b")

    assert isinstance(decide(gathered(ours, stands("2", source="https://ris.example"))), Write)
    of_another = stands("2", source="https://ris.example", patient="b")
    assert decide(gathered(ours, of_another)).__class__ is Hold
    verdict = decide(gathered(in_wrong_chart, of_another))
    assert isinstance(verdict, Hold)
    assert verdict.withdraw == (in_wrong_chart,)


def test_what_others_withdrew_is_in_nobodys_way_unless_it_has_the_id_that_we_give() -> None:
    theirs = stands(STUDY, "entered-in-error", source="https://ris.example", patient="b")

    assert decide(gathered(theirs)) == Write(status=Status.AVAILABLE, subject=ALMA, replaces=None)
    assert isinstance(decide(gathered(theirs, given_id=STUDY)), Hold)
