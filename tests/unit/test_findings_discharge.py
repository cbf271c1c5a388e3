"""At discharge: which studies are of the stay, which are unread, and which follow-ups are worth a word (issue 3, T11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from imaging_findings.discharge import DischargeJudgement, DischargeMoment, judge_discharge
from imaging_findings.rules import Urgency
from imaging_findings.site_policy import product_policy
from imaging_findings.stays import Belonging
from imaging_findings.unread_imaging import Reading
from imaging_findings.visit_policy import UnreadPolicy
from tests.cds_actors import DCM, LOINC, NOW, a_lung_rads, a_nodule, a_patient, a_report, a_study, an_ai_lung_rads, concept

ENCOUNTER = {"reference": "Encounter/e"}
UID = "2.25.{}"


def an_encounter(start: str | None = "2026-11-18T20:00:00Z", end: str | None = None, **members: Any) -> dict[str, Any]:
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    base = {"resourceType": "Encounter", "id": "e", "status": "in-progress", "subject": {"reference": "Patient/p"}}
    return base | ({"period": period} if period else {}) | members


def a_film(**members: Any) -> dict[str, Any]:
    """A chest radiograph of yesterday that names no encounter and no order."""
    return a_study(
        **{"started": "2026-11-20T08:00:00Z", "modality": [{"system": DCM, "code": "DX"}], "description": "CHEST"}
        | {"series": [{"uid": UID.format(9), "modality": {"code": "DX"}, "bodySite": {"code": "816094009"}}]}
        | members
    )


def unsigned(status: str, **members: Any) -> dict[str, Any]:
    return a_report("", **{"status": status, "imagingStudy": [{"reference": "ImagingStudy/study"}]} | members)


def judged(
    studies: Sequence[Mapping[str, Any]] | None = (),
    reports: Sequence[Mapping[str, Any]] | None = (),
    *,
    encounter: Mapping[str, Any] | None = None,
    partial: frozenset[str] = frozenset(),
    policy: UnreadPolicy | None = None,
    **others: Any,
) -> DischargeJudgement:
    resources = {"patient": [a_patient()], "studies": studies, "reports": reports, "findings": [], "orders": []}
    resources |= {"conditions": [], "communications": [], "smoking": [], "stay_orders": [], "stay_reports": []}
    resources |= {"encounter": [encounter or an_encounter()]} | others
    moment = DischargeMoment(patient_id="p", encounter_id="e", now=NOW)
    return judge_discharge(resources, moment, product_policy().packs, partial=partial, policy=policy)


def reason_of(judgement: DischargeJudgement, reference: str = "ImagingStudy/study") -> str:
    return next(one.reason for one in [*judgement.readings.quiet, *judgement.quiet] if one.reference == reference)


@pytest.mark.parametrize(
    ("members", "encounter", "expected"),
    [
        ({"encounter": ENCOUNTER, "started": "2020-01-01"}, {}, Belonging.NAMED),
        ({"encounter": {"reference": "https://x.example/Encounter/e"}}, {}, Belonging.NAMED),
        ({"basedOn": [{"reference": "ServiceRequest/o"}], "started": "2020-01-01"}, {}, Belonging.ORDERED),
        ({"started": "2026-11-18T20:00:00Z"}, {}, Belonging.IN_TIME),
        ({"started": "2026-11-18"}, {}, Belonging.IN_TIME),
        ({"started": "2026-11-19T10:00:00Z"}, {"end": "2026-11-19T10:00:00Z"}, Belonging.IN_TIME),
        ({"started": "2026-11-19T23:00:00Z"}, {"end": "2026-11-19"}, Belonging.IN_TIME),
        ({}, {"start": None}, Belonging.NO_STAY_DATES),
        ({"started": "2026-10-22"}, {"start": None}, Belonging.NO_STAY_DATES),
        ({"started": "2026-11"}, {}, Belonging.NO_DATE),
        ({"started": None}, {}, Belonging.NO_DATE),
    ],
)
def test_study_belongs_by_encounter_order_or_time_and_otherwise_nobody_can_tell(
    members: dict[str, Any], encounter: dict[str, Any], expected: Belonging
) -> None:
    order = {"resourceType": "ServiceRequest", "id": "o", "status": "completed", "encounter": ENCOUNTER}
    order |= {"subject": {"reference": "Patient/p"}}
    found = judged([a_film(**members)], encounter=an_encounter(**encounter), stay_orders=[order]).readings
    (one,) = [*found.waiting, *found.unplaced]

    assert one.belonging is expected
    assert bool(found.waiting) == expected.is_of_stay
    assert found.urgency is (Urgency.WARNING if expected.is_of_stay else Urgency.INFO)


@pytest.mark.parametrize(
    ("members", "encounter", "expected"),
    [
        ({"encounter": {"reference": "Encounter/other"}}, {}, Belonging.ELSEWHERE),
        ({"started": "2026-11-18T19:59:59Z"}, {}, Belonging.EARLIER),
        ({"started": "2026-11-17"}, {}, Belonging.EARLIER),
        ({"started": "2026-11-19T10:00:01Z"}, {"end": "2026-11-19T10:00:00Z"}, Belonging.LATER),
        ({"started": "2026-10-21"}, {"start": None}, Belonging.LONG_AGO),
    ],
)
def test_study_of_another_time_or_encounter_is_not_of_the_stay(
    members: dict[str, Any], encounter: dict[str, Any], expected: Belonging
) -> None:
    judgement = judged([a_film(**members)], encounter=an_encounter(**encounter))

    assert judgement.readings.waiting == judgement.readings.unplaced == ()
    assert reason_of(judgement) == expected.value


@pytest.mark.parametrize(("started", "expected"), [("2026-11-20T08:00:00Z", [Belonging.IN_TIME]), ("2026-11-17T08:00:00Z", [])])
def test_study_of_the_whole_visit_is_placed_by_the_dates_of_its_part(started: str, expected: list[Belonging]) -> None:
    film = a_film(encounter={"reference": "Encounter/visit"}, started=started)
    encounter = an_encounter(partOf={"reference": "Encounter/visit"})

    assert [one.belonging for one in judged([film], encounter=encounter).readings.waiting] == expected


@pytest.mark.parametrize(
    "encounter",
    [an_encounter(id="other"), an_encounter(subject={"reference": "Patient/other"}), {"resourceType": "Basic", "id": "e"}],
)
def test_another_encounter_s_dates_place_nothing(encounter: dict[str, Any]) -> None:
    (one,) = judged([a_film()], encounter=encounter).readings.unplaced

    assert one.belonging is Belonging.NO_STAY_DATES


def test_encounter_without_subject_and_the_period_of_r5_are_read() -> None:
    encounter = {"resourceType": "Encounter", "id": "e", "actualPeriod": {"start": "2026-11-18"}}

    assert judged([a_film()], encounter=encounter).readings.waiting[0].belonging is Belonging.IN_TIME


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "appended", "modified"])
def test_signed_report_ends_the_matter(status: str) -> None:
    judgement = judged([a_film()], [unsigned(status)])

    assert judgement.readings.waiting == ()
    assert reason_of(judgement) == f"it has a signed report ({status})"


@pytest.mark.parametrize("status", ["registered", "partial", "preliminary"])
def test_unsigned_report_is_preliminary_and_information(status: str) -> None:
    readings = judged([a_film()], [unsigned(status)]).readings

    assert [(one.reading, one.report and one.report.status) for one in readings.waiting] == [(Reading.PRELIMINARY, status)]
    assert readings.urgency is Urgency.INFO


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_withdrawn_report_counts_as_none(status: str) -> None:
    assert judged([a_film()], [unsigned(status)]).readings.waiting[0].reading is Reading.UNREAD


def test_report_that_only_a_device_has_made_is_nobodys_reading() -> None:
    report = unsigned("preliminary", performer=[{"reference": "Device/ai"}], resultsInterpreter=[])

    assert judged([a_film()], [report]).readings.waiting[0].reading is Reading.UNREAD


@pytest.mark.parametrize(
    ("reports", "partial", "why"),
    [
        (None, frozenset(), "reports could not be looked up"),
        ([], frozenset({"reports"}), "only a part of the reports came"),
        ([unsigned("preliminary")], frozenset({"reports"}), "only a part of the reports came"),
        ([unsigned("unknown")], frozenset(), "the status of DiagnosticReport/report is unknown"),
        ([unsigned("odd")], frozenset(), "the status of DiagnosticReport/report is odd"),
    ],
)
def test_t11_what_could_not_be_looked_up_is_never_unread(
    reports: list[dict[str, Any]] | None, partial: frozenset[str], why: str
) -> None:
    readings = judged([a_film()], reports, partial=partial).readings

    assert readings.waiting == readings.unplaced == ()
    assert [one.why for one in readings.not_checked] == [why]


def test_signed_report_counts_even_when_only_a_part_of_the_reports_came() -> None:
    assert judged([a_film()], [unsigned("final")], partial=frozenset({"reports"})).readings.not_checked == ()


ACCESSION = {"type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN"), "system": "urn:s", "value": "A1"}
ORDER = {"reference": "ServiceRequest/o"}


@pytest.mark.parametrize(
    ("study", "report", "read"),
    [
        ({}, {"imagingStudy": [{"reference": "ImagingStudy/study"}]}, True),
        ({}, {"study": [{"reference": "https://x.example/ImagingStudy/study/_history/2"}]}, True),
        ({}, {"imagingStudy": [{"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:2.25.1001"}}]}, True),
        ({"basedOn": [ORDER]}, {"basedOn": [ORDER]}, True),
        ({"identifier": [ACCESSION]}, {"identifier": [ACCESSION]}, True),
        ({"basedOn": [{"identifier": ACCESSION}]}, {"basedOn": [{"identifier": ACCESSION}]}, True),
        ({"identifier": [ACCESSION]}, {"identifier": [ACCESSION | {"system": None}]}, True),
        ({"identifier": [ACCESSION]}, {"identifier": [ACCESSION | {"system": "urn:other"}]}, False),
        ({"identifier": [ACCESSION]}, {"identifier": [ACCESSION | {"value": "A2"}]}, False),
        # A report that names its studies is about those, whatever order they share.
        ({"basedOn": [ORDER]}, {"basedOn": [ORDER], "imagingStudy": [{"reference": "ImagingStudy/first"}]}, False),
        ({}, {"result": [{"reference": "Observation/finding"}]}, True),
        ({}, {}, False),
    ],
)
def test_report_names_a_study_by_reference_uid_result_order_or_accession(
    study: dict[str, Any], report: dict[str, Any], read: bool
) -> None:
    uid = {"system": "urn:dicom:uid", "value": "urn:oid:2.25.1001"}
    film = a_film(**study | {"identifier": [uid, *study.get("identifier", [])]})
    naming = {"imagingStudy": [], "result": []} | report
    judgement = judged([film], [a_report("", **naming)], findings=[a_nodule()])

    assert (judgement.readings.waiting == ()) is read


def test_report_of_the_encounter_counts_whatever_its_category() -> None:
    assert judged([a_film()], [], stay_reports=[unsigned("final")]).readings.waiting == ()


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"status": "registered", "started": "2026-11-22T08:00:00Z"}, "it is registered for a day to come"),
        ({"status": "cancelled"}, "its status is cancelled"),
        ({"status": "entered-in-error"}, "its status is entered-in-error"),
        ({"modality": [{"code": "SR"}, {"code": "KO"}], "series": []}, "it holds no images of its own"),
        ({"modality": [{"code": "PR"}], "series": []}, "it holds no images of its own"),
        ({"modality": [{"code": "XA"}], "series": []}, "examinations of this modality are not reported here"),
        ({"modality": [{"code": "XA"}, {"code": "PR"}], "series": []}, "examinations of this modality are not reported here"),
        (
            {"modality": [{"code": "RF"}], "series": [], "description": "INTRA-OPERATIVE FLUORO HIP"},
            "its description says intra-operative",
        ),
        ({"modality": [{"code": "ES"}], "series": []}, "it is no examination that radiology is known to report here"),
        ({"modality": [], "series": [], "description": None}, "it is no examination that radiology is known to report here"),
        ({"modality": [{"code": "US"}], "series": [], "description": "POCUS heart"}, "its description says pocus"),
        ({"description": "CT GUIDED BIOPSY OF THE LUNG"}, "its images guided an intervention"),
    ],
)
def test_what_nobody_will_report_is_not_unread(members: dict[str, Any], why: str) -> None:
    judgement = judged([a_film(**members)])

    assert judgement.readings.waiting == ()
    assert reason_of(judgement) == why


def test_which_examinations_are_reported_is_the_site_s_policy() -> None:
    film = a_film(modality=[{"code": "XA"}], series=[], description="CORONARY ANGIOGRAM")
    policy = UnreadPolicy(unreported_modalities=frozenset({"RF"}))

    assert [one.reading for one in judged([film], policy=policy).readings.waiting] == [Reading.UNREAD]


@pytest.mark.parametrize(
    ("members", "reading"),
    [
        ({"status": "registered"}, Reading.REGISTERED),
        ({"status": "registered", "started": None, "encounter": {"reference": "Encounter/e"}}, Reading.REGISTERED),
        ({"modality": [{"code": "RF"}], "series": [], "description": "BARIUM SWALLOW"}, Reading.UNREAD),
    ],
)
def test_what_is_not_available_yet_and_diagnostic_fluoroscopy_wait(members: dict[str, Any], reading: Reading) -> None:
    """A radiologist's review, items 31b and 45."""
    readings = judged([a_film(**members)]).readings

    assert [one.reading for one in readings.waiting] == [reading]
    assert readings.urgency is (Urgency.WARNING if reading is Reading.UNREAD else Urgency.INFO)


def test_unread_stands_before_preliminary_and_the_latest_first() -> None:
    def film(name: str, day: int) -> dict[str, Any]:
        uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{UID.format(day)}"}
        return a_film(id=name, started=f"2026-11-{day}T08:00:00Z", identifier=[uid])

    report = unsigned("preliminary", imagingStudy=[{"reference": "ImagingStudy/begun"}])
    readings = judged([film("old", 19), film("begun", 21), film("new", 20)], [report]).readings

    assert [one.study.prior.reference.partition("/")[2] for one in readings.waiting] == ["new", "old", "begun"]


def test_another_patient_s_study_and_report_count_for_nothing() -> None:
    stranger = {"subject": {"reference": "Patient/other"}}

    assert judged([a_film(**stranger)]).readings.waiting == ()
    assert judged([a_film()], [unsigned("final", **stranger)]).readings.waiting[0].reading is Reading.UNREAD


SCREENING = {"procedureCode": [concept(LOINC, "79086-5")], "started": "2026-11-20T08:00:00Z"}


@pytest.mark.parametrize(("category", "told"), [("1", True), ("2", True), ("3", True), ("4A", True), ("4B", True)])
def test_every_open_step_of_the_stay_is_told(category: str, told: bool) -> None:
    judgement = judged([a_study(**SCREENING)], findings=[a_lung_rads(category)])

    assert [one.of_stay for one in judgement.follow_ups] == [True] * told


@pytest.mark.parametrize(("category", "told"), [("1", False), ("2", False), ("3", True), ("4A", True), ("4B", True)])
def test_routine_follow_ups_of_other_visits_are_left_out(category: str, told: bool) -> None:
    judgement = judged([a_study(**SCREENING | {"started": "2026-10-01"})], findings=[a_lung_rads(category)])

    assert [one.of_stay for one in judgement.follow_ups] == [False] * told
    if not told:
        assert reason_of(judgement, "Observation/finding") == "not of this stay, and no more than routine"


@pytest.mark.parametrize(("started", "told"), [("2026-11-20", True), ("2026-10-01", False)])
def test_unsigned_ai_result_only_of_this_stay(started: str, told: bool) -> None:
    judgement = judged([a_study(**SCREENING | {"started": started})], findings=[an_ai_lung_rads("4A")])

    assert bool(judgement.follow_ups) is told


def test_what_asks_for_nothing_is_left_out_even_of_this_stay() -> None:
    judgement = judged([a_study(started="2026-11-20")], findings=[a_nodule(4.0, risk="low")])

    assert judgement.follow_ups == ()
    assert reason_of(judgement, "Observation/finding") == "nothing is asked for"


def test_those_of_the_stay_come_first_among_equally_urgent_ones() -> None:
    old = a_study(id="old", started="2026-10-01", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.7"}])
    breast = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
    value = {"coding": [{"system": "https://imaging-cds.example/fhir/CodeSystem/bi-rads", "code": "4", "version": "5"}]}
    other = a_nodule(7.0) | {"id": "breast", "code": concept(breast, "bi-rads"), "valueCodeableConcept": value}
    other |= {"derivedFrom": [{"reference": "ImagingStudy/mg"}], "component": [], "method": {}}
    mammogram = a_study(id="mg", started="2026-11-20", modality=[{"code": "MG"}], series=[])
    mammogram |= {"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.8"}]}
    nodule = a_nodule(7.0, derivedFrom=[{"reference": "ImagingStudy/old"}], effectiveDateTime="2026-10-01")
    judgement = judged([old, mammogram], findings=[nodule, other])

    assert [one.guidance.finding.reference for one in judgement.follow_ups] == ["Observation/breast", "Observation/finding"]


@pytest.mark.parametrize(("about", "told"), [("ImagingStudy/study", True), ("Observation/pe", True), ("Observation/x", False)])
def test_actionable_finding_with_a_documented_communication_is_left_out(about: str, told: bool) -> None:
    embolism = a_nodule() | {"id": "pe", "code": concept("http://snomed.info/sct", "59282003"), "component": []}
    embolism |= {"issued": "2026-11-21T06:00:00Z", "method": {}}
    call = {"resourceType": "Communication", "id": "c", "status": "completed", "subject": {"reference": "Patient/p"}}
    call |= {"about": [{"reference": about}], "sent": "2026-11-21T06:10:00Z"}
    judgement = judged([a_study(started="2026-11-20")], findings=[embolism], communications=[call])

    assert (judgement.follow_ups == ()) is told


@pytest.mark.parametrize(("key", "words"), [("studies", "imaging studies"), ("findings", "coded imaging findings")])
def test_t11_a_check_without_its_data_is_called_incomplete(key: str, words: str) -> None:
    assert judged(**{key: None}).missing == (words,)
    assert judged(partial=frozenset({key})).missing == (f"{words} (only a part came)",)


def test_encounter_orders_and_reports_that_did_not_come_are_no_gap_of_their_own() -> None:
    judgement = judged([a_film()], encounter=None, stay_orders=None, stay_reports=None)

    assert judgement.missing == ()
    assert len(judgement.readings.waiting) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_two_resources_of_one_study_are_one_study_and_a_report_of_either_is_its_report(reverse: bool) -> None:
    both = [a_film(encounter=ENCOUNTER), a_film(id="archive", status="registered", started=None)]
    both = both[::-1] if reverse else both

    assert [one.study.prior.reference for one in judged(both).readings.waiting] == ["ImagingStudy/study"]
    assert judged(both, [unsigned("final", imagingStudy=[{"reference": "ImagingStudy/archive"}])]).readings.waiting == ()


def test_follow_up_of_a_study_that_another_resource_places_is_of_the_stay() -> None:
    both = [a_study(started=None), a_study(id="archive", encounter=ENCOUNTER)]

    assert [one.of_stay for one in judged(both, findings=[a_lung_rads("3")]).follow_ups] == [True]


def test_what_would_have_helped_is_named_beside() -> None:
    judgement = judged([a_film()], stay_orders=None, partial=frozenset({"stay_reports"}))

    assert judgement.beside == ("orders of the encounter", "reports of the encounter (only a part came)")
