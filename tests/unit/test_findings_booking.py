"""Proposed appointments against open follow-ups: each boundary of the window, the examination, odd shapes (R23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from imaging_findings.appointments import AppointmentSource, ProposedAppointment, read_appointments
from imaging_findings.booking import BookingJudgement, BookingMoment, Verdict, judge_bookings
from imaging_findings.rules import Urgency
from imaging_findings.site_policy import product_policy
from imaging_findings.study_table import read_site_studies
from imaging_findings.visit_policy import BookingPolicy
from tests.cds_actors import LOINC, NOW, a_bundle, a_lung_rads, a_nodule, a_patient, a_study, an_observation, an_order, concept

CHEST_CT = concept(LOINC, "29252-4")
CHEST_CT_WITH_CONTRAST = concept(LOINC, "24628-0")
CHEST_FILM = concept(LOINC, "24648-8")
SCREENING = concept(LOINC, "79086-5")
# Seen on 2026-10-01; today is 2026-11-21. 7 mm solid, high risk: CT at 6 to 12 months.
EARLIEST, LATEST = date(2027, 4, 1), date(2027, 10, 1)


def an_appointment(day: str | None = "2027-05-01", code: Mapping[str, Any] | None = CHEST_CT, **members: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"resourceType": "Appointment", "id": "a", "status": "proposed"}
    base |= {"participant": [{"actor": {"reference": "Patient/p"}, "status": "needs-action"}]}
    base |= {"start": f"{day}T09:00:00+01:00"} if day else {}
    return base | ({"serviceType": [code]} if code else {}) | members


def an_order_of(code: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    return an_order(**{"id": "o", "code": code} | members)


def judged(
    *appointments: Mapping[str, Any],
    findings: Sequence[Mapping[str, Any]] | None = None,
    orders: Sequence[Mapping[str, Any]] = (),
    studies: Sequence[Mapping[str, Any]] | None = None,
    stated: object = None,
    partial: frozenset[str] = frozenset(),
    booking: BookingPolicy | None = None,
    **others: Any,
) -> BookingJudgement:
    resources: dict[str, Any] = {"patient": [a_patient()], "reports": [], "conditions": [], "smoking": [], "orders": orders}
    resources |= {"findings": [a_nodule()] if findings is None else findings}
    resources |= {"studies": [a_study()] if studies is None else studies} | others
    sent = a_bundle(*appointments) if stated is None else stated
    moment = BookingMoment(patient_id="p", appointments=sent, now=NOW)
    policy = replace(product_policy(), bookings=booking or BookingPolicy())
    return judge_bookings(resources, moment, policy, partial=partial)


def told(judgement: BookingJudgement) -> list[tuple[Verdict, Urgency]]:
    return [(one.verdict, one.urgency) for one in judgement.advice]


# The last day of the window is the last day in time.
TO_THE_DAY = BookingPolicy(late_tolerance_days=0)
EARLY, LATE_INFO = [(Verdict.EARLY, Urgency.INFO)], [(Verdict.LATE, Urgency.INFO)]
LATE_WARNING = [(Verdict.LATE, Urgency.WARNING)]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-11-22", EARLY),
        ("2027-03-17", EARLY),
        ("2027-03-18", []),
        ("2027-03-31", []),
        ("2027-04-01", []),
        ("2027-10-01", []),
        ("2027-10-02", LATE_INFO),
        ("2027-10-15", LATE_INFO),
        ("2027-10-16", LATE_WARNING),
        ("2028-10-01", LATE_WARNING),
    ],
)
def test_day_is_compared_with_the_window_and_its_tolerances(day: str, expected: list[Any]) -> None:
    judgement = judged(an_appointment(day), booking=TO_THE_DAY)

    assert told(judgement) == expected
    if not expected:
        assert [(one.reason, one.by) for one in judgement.quiet] == [("it is in time", "Observation/finding")]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({"start": "2027-03-01", "end": "2027-03-17"}, EARLY),
        ({"start": "2027-03-01", "end": "2027-03-18"}, []),
        ({"end": "2027-03-17"}, EARLY),
        ({"start": "2026-12-01"}, []),
        ({"start": "2027-10-01", "end": "2028-01-01"}, []),
        ({"start": "2027-10-02", "end": "2028-01-01"}, LATE_INFO),
        ({"start": "2027-10-16"}, LATE_WARNING),
    ],
)
def test_requested_period_counts_where_no_start_is_given(period: dict[str, str], expected: list[Any]) -> None:
    assert told(judged(an_appointment(None, requestedPeriod=[period]), booking=TO_THE_DAY)) == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-11-22", []),
        ("2026-12-21", []),
        ("2026-12-22", LATE_WARNING),
    ],
)
def test_overdue_follow_up_is_in_time_when_it_is_booked_soon(day: str, expected: list[Any]) -> None:
    finding, study = a_nodule(effectiveDateTime="2025-10-01"), a_study(started="2025-10-01")

    assert told(judged(an_appointment(day), findings=[finding], studies=[study])) == expected


@pytest.mark.parametrize(
    ("latest", "day", "expected"), [("2025-11-21", "2026-11-22", LATE_INFO), ("2025-11-20", "2026-11-22", [])]
)
def test_overdue_begins_on_the_day_after_the_window(latest: str, day: str, expected: list[Any]) -> None:
    finding, study = a_nodule(effectiveDateTime=latest), a_study(started=latest)

    assert told(judged(an_appointment(day), findings=[finding], studies=[study], booking=TO_THE_DAY)) == expected


# A radiologist's review, item 42: three days after a single due day is no news.
@pytest.mark.parametrize(
    ("day", "expected"),
    [("2027-01-01", []), ("2027-01-04", []), ("2027-01-15", []), ("2027-01-16", LATE_WARNING)],
)
def test_a_booking_within_the_tolerance_after_the_window_is_in_time(day: str, expected: list[Any]) -> None:
    judgement = judged(an_appointment(day), findings=[a_lung_rads("4A")])

    assert told(judgement) == expected
    assert [one.is_in_time for one in judgement.quiet] == ([] if expected else [True])


def test_a_tolerance_below_the_warning_s_leaves_room_for_information() -> None:
    policy = BookingPolicy(late_tolerance_days=3, late_warning_days=14)

    assert told(judged(an_appointment("2027-01-04"), findings=[a_lung_rads("4A")], booking=policy)) == []
    assert told(judged(an_appointment("2027-01-05"), findings=[a_lung_rads("4A")], booking=policy)) == LATE_INFO


def test_a_tolerance_longer_than_that_of_what_is_overdue_counts_for_both() -> None:
    finding, study = a_nodule(effectiveDateTime="2025-11-20"), a_study(started="2025-11-20")
    policy = BookingPolicy(late_tolerance_days=60)

    assert told(judged(an_appointment("2027-01-19"), findings=[finding], studies=[study], booking=policy)) == []
    assert told(judged(an_appointment("2027-01-20"), findings=[finding], studies=[study], booking=policy)) == LATE_WARNING


def test_tolerances_are_the_site_s() -> None:
    assert (
        told(judged(an_appointment("2027-10-02"), booking=BookingPolicy(late_tolerance_days=0, late_warning_days=0)))
        == LATE_WARNING
    )


def test_an_appointment_without_a_date_is_compared_with_no_window() -> None:
    judgement = judged(an_appointment(None))

    assert told(judgement) == []
    assert [one.reason for one in judgement.quiet] == ["it names no date"]


def test_a_step_that_is_only_offered_is_never_a_warning() -> None:
    finding = a_nodule(4.0)  # high risk, below 6 mm: optional CT at 12 months
    named = {"reasonReference": [{"reference": "Observation/finding"}]}

    assert told(judged(an_appointment("2028-10-01", **named), findings=[finding])) == LATE_INFO


@pytest.mark.parametrize(
    ("code", "named", "expected"),
    [
        (CHEST_CT, False, []),
        (SCREENING, False, EARLY),
        (CHEST_CT, True, EARLY),
    ],
)
def test_routine_follow_up_is_compared_with_a_screening_or_where_it_is_named(
    code: dict[str, Any], named: bool, expected: list[Any]
) -> None:
    reason = {"reasonReference": [{"reference": "Observation/finding"}]} if named else {}
    judgement = judged(an_appointment("2027-02-01", code, **reason), findings=[a_lung_rads("2")])

    assert told(judgement) == expected
    if not expected:
        assert [one.reason for one in judgement.quiet] == ["the follow-up is routine and not what it is for"]


WRONG = [(Verdict.WRONG_EXAMINATION, Urgency.INFO)]


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2027-03-17", []), ("2027-03-18", WRONG), ("2027-10-01", WRONG), ("2028-01-01", WRONG), (None, [])],
)
def test_film_of_the_same_region_does_not_replace_the_ct_near_its_window(day: str | None, expected: list[Any]) -> None:
    assert told(judged(an_appointment(day, CHEST_FILM))) == expected


def test_undated_film_counts_for_the_next_thirty_days() -> None:
    finding, study = a_nodule(effectiveDateTime="2026-06-01"), a_study(started="2026-06-01")

    assert told(judged(an_appointment(None, CHEST_FILM), findings=[finding], studies=[study])) == WRONG


def test_film_that_names_the_finding_is_a_warning_whenever_it_is() -> None:
    order = an_order_of(CHEST_FILM, reasonReference=[{"reference": "Observation/finding"}])
    appointment = an_appointment("2026-12-01", None, basedOn=[{"reference": "ServiceRequest/o"}])

    (advice,) = judged(appointment, orders=[order]).advice

    assert (advice.verdict, advice.urgency, advice.is_named) == (Verdict.WRONG_EXAMINATION, Urgency.WARNING, True)
    assert advice.appointment.orders == {"ServiceRequest/o"}


@pytest.mark.parametrize(
    "code",
    [
        concept(LOINC, "36813-4"),  # CT abdomen and pelvis
        concept(LOINC, "26175-0"),  # screening mammogram
        {"text": "PET/CT chest"},
        {"text": "CT guided biopsy lung"},
        concept("http://snomed.info/sct", "394579002"),
        {"text": "Cardiology clinic"},
    ],
)
def test_other_regions_pet_biopsies_and_clinics_are_not_the_wrong_examination(code: dict[str, Any]) -> None:
    assert told(judged(an_appointment("2027-05-01", code))) == []


# Above 8 mm the guideline warns, and offers CT at 3 months as one of three ways.
@pytest.mark.parametrize(("code", "expected"), [(CHEST_FILM, []), (CHEST_CT, LATE_INFO)])
def test_follow_up_that_is_only_offered_is_replaced_by_nothing_and_late_without_a_warning(
    code: dict[str, Any], expected: list[Any]
) -> None:
    assert told(judged(an_appointment("2028-10-01", code), findings=[a_nodule(9.0)])) == expected


@pytest.mark.parametrize(("words", "expected"), [("US guided drainage chest", []), ("US chest", WRONG)])
def test_intervention_is_no_examination_that_was_mistaken(words: str, expected: list[Any]) -> None:
    named = {"reasonReference": [{"reference": "Observation/finding"}]}

    assert told(judged(an_appointment("2027-05-01", {"text": words}, **named))) == expected


@pytest.mark.parametrize(
    ("code", "expected"), [(CHEST_CT_WITH_CONTRAST, [(Verdict.OTHER_CONTRAST, Urgency.INFO)]), (CHEST_CT, [])]
)
def test_contrast_is_told_where_the_follow_up_asks_for_none(code: dict[str, Any], expected: list[Any]) -> None:
    assert told(judged(an_appointment("2027-05-01", code))) == expected


def test_order_behind_the_appointment_does_not_answer_the_follow_up_before_it_is_done() -> None:
    order = an_order_of(CHEST_CT)
    appointment = an_appointment("2028-01-01", None, basedOn=[{"reference": "ServiceRequest/o"}])

    assert told(judged(appointment, orders=[order])) == LATE_WARNING


def test_follow_up_that_is_ordered_separately_is_left_to_that_order() -> None:
    own, other = an_order_of(CHEST_CT, id="own", authoredOn="2026-09-01"), an_order_of(CHEST_CT)
    appointment = an_appointment("2026-12-01", None, basedOn=[{"reference": "ServiceRequest/own"}])
    judgement = judged(appointment, orders=[own, other])

    assert told(judgement) == []
    assert [one.reason for one in judgement.quiet] == ["the follow-up is ordered separately"]
    assert told(judged(an_appointment("2027-05-01", CHEST_FILM), orders=[other])) == []


def test_order_before_the_coded_service_and_both_before_words() -> None:
    order = an_order_of(CHEST_FILM)
    based = {"basedOn": [{"reference": "ServiceRequest/o"}]}

    assert told(judged(an_appointment("2027-05-01", CHEST_CT, **based), orders=[order])) == WRONG
    assert told(judged(an_appointment("2027-05-01", CHEST_CT, description="XR chest"))) == []


def test_words_are_never_more_than_information() -> None:
    late = judged(an_appointment("2028-10-01", {"text": "CT chest without contrast"}))
    named = {"reasonReference": [{"reference": "Observation/finding"}]}
    wrong = judged(an_appointment("2027-05-01", {"text": "XR chest"}, **named))

    assert told(late) == LATE_INFO
    assert told(wrong) == WRONG


@pytest.mark.parametrize(
    "words", ["Discuss CT chest results", "Consultation after chest CT", "Review CT thorax", "Chest clinic"]
)
def test_talking_about_images_is_no_examination(words: str) -> None:
    judgement = judged(an_appointment("2028-10-01", None, description=words))

    assert told(judgement) == []
    assert [one.reason for one in judgement.quiet] == ["it names no known imaging examination"]


def test_one_of_several_appointments_in_time_settles_the_follow_up() -> None:
    others = [an_appointment("2026-12-01", id="early"), an_appointment("2028-12-01", id="late")]
    judgement = judged(an_appointment("2027-05-01"), *others)

    assert told(judgement) == []
    assert {one.reason for one in judgement.quiet} == {"it is in time", "another of the appointments answers the follow-up"}


def test_each_follow_up_is_told_once_the_loudest_first() -> None:
    judgement = judged(an_appointment("2026-12-01", id="early"), an_appointment("2028-12-01", id="late"))

    assert [(one.verdict, one.appointment.key) for one in judgement.advice] == [(Verdict.LATE, "Appointment/late")]


@pytest.mark.parametrize("status", ["cancelled", "noshow", "entered-in-error", "fulfilled"])
def test_appointments_that_will_not_take_place_are_left_out(status: str) -> None:
    judgement = judged(an_appointment("2028-12-01", status=status))

    assert told(judgement) == []
    assert [one.reason for one in judgement.quiet] == [f"its status is {status}"]


@pytest.mark.parametrize(
    ("members", "own"),
    [
        ({"participant": [{"actor": {"reference": "Patient/other"}}]}, False),
        ({"participant": [], "subject": {"reference": "Patient/other"}}, False),
        ({"participant": [{"actor": {"reference": "https://x.example/fhir/Patient/p"}}]}, False),
        ({"participant": [{"actor": {"reference": "Practitioner/r"}}]}, True),
        ({"participant": []}, True),
        ({"participant": None}, True),
    ],
)
def test_another_patient_s_appointment_is_left_out(members: dict[str, Any], own: bool) -> None:
    judgement = judged(an_appointment("2028-12-01", **members))

    assert (told(judgement) != []) is own


def test_done_already_asks_for_nothing_and_unsigned_ai_results_ask_for_nothing() -> None:
    later = a_study(id="later", started="2026-11-01", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.5"}])
    unsigned = a_nodule(status="preliminary", device={"display": "AI"})

    assert told(judged(an_appointment("2028-12-01"), studies=[a_study(), later])) == []
    assert told(judged(an_appointment("2028-12-01"), findings=[unsigned])) == []


def test_reader_s_own_coded_interval_is_the_window() -> None:
    coded = {"code": concept("http://dicom.nema.org/resources/ontology/DCM", "111055")}
    coded |= {"valueQuantity": {"value": 3, "system": "http://unitsofmeasure.org", "code": "mo"}}
    finding = a_nodule()
    finding["component"] = [*finding["component"], coded]

    assert told(judged(an_appointment("2027-01-01"), findings=[finding])) == []
    assert told(judged(an_appointment("2027-02-01"), findings=[finding])) == LATE_WARNING


def test_tables_answer_by_their_own_examinations() -> None:
    system = "https://imaging-cds.example/fhir/CodeSystem/{}"
    finding = an_observation(code=concept(system.format("imaging-assessment"), "bi-rads"))
    finding |= {"valueCodeableConcept": concept(system.format("bi-rads"), "3", "5")}
    mammogram = a_study(modality=[{"code": "MG"}], series=[], procedureCode=[concept(LOINC, "26346-7")])
    again = concept(LOINC, "26346-7")

    assert told(judged(an_appointment("2027-04-01", again), findings=[finding], studies=[mammogram])) == []
    assert told(judged(an_appointment("2026-12-01", again), findings=[finding], studies=[mammogram])) == EARLY


def a_sided(category: str, side: str | None, day: str = "2026-10-01") -> dict[str, Any]:
    system = "https://imaging-cds.example/fhir/CodeSystem/{}"
    found = an_observation(code=concept(system.format("imaging-assessment"), "bi-rads"), effectiveDateTime=day)
    found |= {"valueCodeableConcept": concept(system.format("bi-rads"), category, "5")}
    return found | ({"bodySite": concept("http://snomed.info/sct", side)} if side else {})


MAMMOGRAM = a_study(modality=[{"code": "MG"}], series=[], procedureCode=[concept(LOINC, "26346-7")])
LEFT, RIGHT = "7771000", "24028007"
MAMMOGRAM_OF_THE_LEFT, MAMMOGRAM_OF_THE_RIGHT = concept(LOINC, "26347-5"), concept(LOINC, "26348-3")
OTHER_SIDE = [(Verdict.OTHER_SIDE, Urgency.INFO)]


# A radiologist's review, item 8c; rule Gf.
@pytest.mark.parametrize(
    ("side", "code", "expected"),
    [
        (LEFT, MAMMOGRAM_OF_THE_RIGHT, OTHER_SIDE),
        (RIGHT, MAMMOGRAM_OF_THE_LEFT, OTHER_SIDE),
        (LEFT, MAMMOGRAM_OF_THE_LEFT, []),
        (LEFT, concept(LOINC, "26346-7"), []),
        (None, MAMMOGRAM_OF_THE_RIGHT, []),
        (LEFT, {"text": "US breast right"}, OTHER_SIDE),
        (LEFT, {"text": "US breast left"}, []),
    ],
)
def test_gf_the_opposite_side_answers_no_follow_up(side: str | None, code: dict[str, Any], expected: list[Any]) -> None:
    judgement = judged(an_appointment("2027-04-01", code), findings=[a_sided("3", side)], studies=[MAMMOGRAM])

    assert told(judgement) == expected
    assert [one.reason for one in judgement.quiet] == ([] if expected else ["it is in time"])


def test_gf_an_order_that_names_the_finding_and_the_opposite_side_is_a_warning() -> None:
    order = an_order_of(MAMMOGRAM_OF_THE_RIGHT, reasonReference=[{"reference": "Observation/finding"}])
    appointment = an_appointment("2027-04-01", None, basedOn=[{"reference": "ServiceRequest/o"}])
    judgement = judged(appointment, findings=[a_sided("3", LEFT)], studies=[MAMMOGRAM], orders=[order])

    assert told(judgement) == [(Verdict.OTHER_SIDE, Urgency.WARNING)]


SCREENING_MAMMOGRAM = concept(LOINC, "26175-0")
SCREENED, SCREENED_WARNING = [(Verdict.SCREENING, Urgency.INFO)], [(Verdict.SCREENING, Urgency.WARNING)]


# A radiologist's review, items 28b and 29b.
@pytest.mark.parametrize(
    ("category", "code", "expected"),
    [
        ("4", SCREENING_MAMMOGRAM, SCREENED_WARNING),
        ("5", SCREENING_MAMMOGRAM, SCREENED_WARNING),
        ("0", SCREENING_MAMMOGRAM, SCREENED_WARNING),
        ("4", {"text": "Screening mammogram"}, SCREENED),
        ("4", concept(LOINC, "26346-7"), []),
        ("4", SCREENING, []),
        ("3", SCREENING_MAMMOGRAM, SCREENED),
        ("3", concept(LOINC, "26346-7"), []),
        ("3", {"text": "US breast"}, []),
        ("6", SCREENING_MAMMOGRAM, []),
    ],
)
def test_screening_is_never_in_time_for_a_suspicious_breast_finding(
    category: str, code: dict[str, Any], expected: list[Any]
) -> None:
    judgement = judged(an_appointment("2027-04-01", code), findings=[a_sided(category, LEFT)], studies=[MAMMOGRAM])

    assert told(judgement) == expected


@pytest.mark.parametrize(
    ("category", "day", "code", "expected"),
    [
        ("4B", "2027-10-01", SCREENING, SCREENED_WARNING),
        ("4X", "2027-10-01", SCREENING, SCREENED_WARNING),
        ("4B", "2026-12-01", CHEST_CT, []),
        ("4A", "2027-01-01", SCREENING, SCREENED),
        ("4A", "2027-01-01", CHEST_CT, []),
        ("3", "2027-04-01", SCREENING, SCREENED),
        ("3", "2027-10-01", SCREENING, LATE_WARNING),
        ("2", "2027-10-01", SCREENING, []),
        ("0", "2026-12-01", SCREENING, []),
    ],
)
def test_screening_is_never_in_time_for_a_suspicious_lung_finding(
    category: str, day: str, code: dict[str, Any], expected: list[Any]
) -> None:
    assert told(judged(an_appointment(day, code), findings=[a_lung_rads(category)])) == expected


def test_screening_is_never_in_time_for_an_incidental_nodule() -> None:
    assert told(judged(an_appointment("2027-05-01", SCREENING))) == SCREENED


@pytest.mark.parametrize(
    "stated",
    [
        {"entry": [{"resource": an_appointment("2028-12-01")}]},
        {"resourceType": "Bundle", "entry": [{"resource": an_appointment("2028-12-01")}, None, 3, {"resource": []}]},
        [an_appointment("2028-12-01")],
        an_appointment("2028-12-01"),
        a_bundle(an_appointment("2028-12-01", None, serviceType=CHEST_CT)),
        a_bundle(an_appointment("2028-12-01", None, type=CHEST_CT)),
        a_bundle(an_appointment("2028-12-01", None, serviceType=[{"concept": CHEST_CT}])),
        a_bundle(an_appointment("2028-12-01", None, serviceCategory=[CHEST_CT], id=None)),
        a_bundle(an_appointment(None, end="2028-12-01T10:00:00Z")),
        a_bundle(an_appointment(None, requestedPeriod={"start": "2028-12-01"})),
        a_bundle(an_appointment("2028-12-01", {"coding": [{}], "text": None}, description="CT chest")),
    ],
)
def test_r23_odd_shapes_are_read(stated: object) -> None:
    (advice,) = judged(stated=stated).advice

    assert advice.verdict is Verdict.LATE


@pytest.mark.parametrize("stated", [{}, [], [None], {"entry": None}, {"entry": [{}]}, {"resourceType": "Patient"}])
def test_r23_a_bundle_without_appointments_says_nothing(stated: object) -> None:
    judgement = judged(stated=stated)

    assert (judgement.advice, judgement.missing) == ((), ())


URN = "urn:uuid:9f3c2d1e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("members", "entry"),
    [
        ({"basedOn": [{"reference": "#o"}], "contained": [an_order_of(CHEST_FILM)]}, {}),
        ({"basedOn": [{"reference": "ServiceRequest/o"}]}, {"resource": an_order_of(CHEST_FILM)}),
        ({"basedOn": [{"reference": URN}]}, {"fullUrl": URN, "resource": an_order_of(CHEST_FILM, id=None)}),
        ({"supportingInformation": [{"reference": "ServiceRequest/o"}]}, {"resource": an_order_of(CHEST_FILM)}),
    ],
)
def test_order_is_found_contained_in_the_bundle_or_as_support(members: dict[str, Any], entry: dict[str, Any]) -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": an_appointment("2027-05-01", None, **members)}, entry]}

    assert told(judged(stated=bundle)) == WRONG


def test_r5_reasons_and_order_reasons_name_the_finding() -> None:
    reason = {"reason": [{"reference": {"reference": "Observation/finding"}}]}
    found, _ = read_appointments(a_bundle(an_appointment(**reason)), AppointmentSource(patient_id="p"))

    assert [one.cites for one in found] == [{"Observation/finding"}]


def test_what_is_missing_is_named_only_where_an_imaging_appointment_is_booked() -> None:
    assert judged(an_appointment(), findings=[], partial=frozenset({"findings"})).missing == (
        "coded imaging findings (only a part came)",
    )
    assert judged(an_appointment(code={"text": "Dentist"}), findings=[], partial=frozenset({"findings"})).missing == ()


# A radiologist's review, item 42: "29252-4 on 2027-03-10" names no examination.
@pytest.mark.parametrize(
    ("code", "name"),
    [
        ({"coding": [{"system": LOINC, "code": "29252-4"}]}, "CT Chest WO contrast"),
        ({"coding": [{"system": LOINC, "code": "29252-4", "display": "LDCT"}]}, "LDCT"),
        ({"coding": [{"system": LOINC, "code": "29252-4"}], "text": "Nodule CT"}, "Nodule CT"),
        # The CPT table holds no names.
        ({"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "71250"}]}, "71250"),
    ],
)
def test_a_code_without_a_display_gets_the_table_s_own(code: dict[str, Any], name: str) -> None:
    coded, _ = read_appointments(a_bundle(an_appointment(code=code)), AppointmentSource(patient_id="p"))
    order = an_order_of(code)
    based = an_appointment(None, None, basedOn=[{"reference": "ServiceRequest/o"}])
    ordered, _ = read_appointments(a_bundle(based), AppointmentSource(patient_id="p", orders=[order]))

    assert [one.name for one in (*coded, *ordered)] == [name, name]


def test_days_in_words() -> None:
    def days(first: date | None, last: date | None) -> str:
        (found,), _ = read_appointments(a_bundle(an_appointment()), AppointmentSource(patient_id="p"))
        return ProposedAppointment(key=found.key, name=found.name, kind=found.kind, first=first, last=last).days

    assert days(EARLIEST, EARLIEST) == "2027-04-01"
    assert days(EARLIEST, LATEST) == "2027-04-01 to 2027-10-01"
    assert days(None, LATEST) == "any day to 2027-10-01"
    assert days(EARLIEST, None) == "2027-04-01 to later"
    assert days(None, None) == "no date"


def test_a_site_s_own_codes_tell_what_is_booked() -> None:
    columns = "system,codes,display,modality,regions,contrast,side,purpose"
    site = read_site_studies(f"{columns}\nhttps://site.example/codes,CTC,CT thorax,CT,chest,,,\n", "codes.csv")
    resources = {"patient": [a_patient()], "findings": [a_nodule()], "studies": [a_study()], "conditions": []}
    sent = a_bundle(an_appointment("2028-12-01", concept("https://site.example/codes", "CTC")))
    moment = BookingMoment(patient_id="p", appointments=sent, now=NOW)

    assert told(judge_bookings(resources, moment, replace(product_policy(), studies=site))) == LATE_WARNING
    assert told(judge_bookings(resources, moment, product_policy())) == []
