"""Whatever stands and whatever is known: nothing of others is touched, nobody is guessed, and nothing of ours stands twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.fhir_versions import Status
from pacs_sync.patients import Unknown
from pacs_sync.plan import Gathered, Hold, Nothing, Withdraw, Write, decide
from pacs_sync.ports import Held, HoldReason, Subject, WrittenStudy
from pacs_sync.standing import Mark, has_other_maker, is_withdrawn, subject_id
from tests.sync_actors import MRN, a_study

MARK = Mark("demo")
PATIENTS = ("a", "b")
SOURCES = (MARK.source, f"{MARK.source}#x", None, "#x", "https://ris.example", "urn:imaging-cds:sync:other")
STATES = (*(one.value for one in Status), "inactive", "unknown")


@st.composite
def standing(draw: st.DrawFn) -> tuple[WrittenStudy, ...]:
    def content() -> dict[str, Any]:
        made: dict[str, Any] = {"status": draw(st.sampled_from(STATES))}
        patient, source = draw(st.sampled_from([*PATIENTS, None])), draw(st.sampled_from(SOURCES))
        if patient:
            made["subject"] = {"reference": f"Patient/{patient}"}
        if source:
            made["meta"] = {"source": source}
        return made

    ids = draw(st.lists(st.integers(1, 2000).map(str), unique=True, max_size=4))
    return tuple(WrittenStudy(id=one, version="1", content=content()) for one in ids)


WHOSE = st.one_of(
    st.sampled_from(PATIENTS).map(lambda one: Subject(patient_id=one, system=MRN, number="1")),
    st.tuples(st.sampled_from(list(HoldReason)), st.frozensets(st.sampled_from(PATIENTS))).map(
        lambda drawn: Unknown(held=Held(reason=drawn[0]), candidates=drawn[1])
    ),
)


@given(standing(), WHOSE, st.booleans(), st.booleans(), st.sampled_from([None, "1", "7"]))
def test_X14_X16_every_verdict_is_safe(
    there: tuple[WrittenStudy, ...], whose: Subject | Unknown, is_there: bool, is_complete: bool, given_id: str | None
) -> None:
    gathered = Gathered(
        archived=a_study() if is_there else None,
        is_complete=is_complete,
        whose=whose if is_there else None,
        standing=there,
        mark=MARK,
        given_id=given_id,
    )
    ours = {one.id for one in there if MARK.is_on(one.content)}
    seen = {one.id for one in there if one.id in ours and not is_withdrawn(one.content)}

    verdict = decide(gathered)

    match verdict:
        case Write():
            assert is_there
            assert verdict.subject == whose
            replaced = verdict.replaces
            assert replaced is None or replaced.id in ours or not has_other_maker(replaced.content, MARK)
            copies = {one.id for one in verdict.copies}
            assert copies | ({replaced.id} & seen if replaced else set()) == seen
            assert verdict.status is Status.AVAILABLE or not is_complete
            others = [one for one in there if one.id not in ours and not is_withdrawn(one.content)]
            assert all(subject_id(one.content) == verdict.subject.patient_id for one in others)
        case Withdraw():
            assert not is_there
            assert {one.id for one in verdict.standing} == seen
        case Hold():
            taken_back = {one.id for one in verdict.withdraw}
            assert taken_back <= seen
            may_be = whose.candidates if isinstance(whose, Unknown) else {whose.patient_id}
            assert all(subject_id(one.content) in may_be for one in there if one.id in seen - taken_back)
        case Nothing():
            assert not is_there
            assert not seen
    assert decide(gathered) == verdict
