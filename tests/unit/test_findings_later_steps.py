"""F1 to F7, Ga, Ge, Gf, X4: the steps of a follow-up after the first, told one by one and only after the one before is done."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.wording import detail_of, summary_of
from imaging_findings.advice import Guidance, Judgement
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from tests.cds_actors import (
    DCM,
    LOINC,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    an_ai_lung_rads,
    an_order,
    concept,
    nodule_components,
)
from tests.examples import examples
from tests.followed_actors import assessed, imaged

Resource = dict[str, Any]
SEEN = imaged("study", "2024-01-15")
THEN = "imaged again"


def a_row(kind: str, mm: float, risk: str | None, count: int | None = None, **members: Any) -> Resource:
    return a_nodule(component=nodule_components(mm, kind, risk=risk, count=count), **members)


F1, F2 = a_row("solid", 7.0, "low"), a_row("solid", 7.0, "high")
F3, F4 = a_row("solid", 7.0, "low", 2), a_row("solid", 9.0, "high", 3)
F5, F6, F7 = a_row("ground-glass", 8.0, None), a_row("part-solid", 8.0, None), a_row("ground-glass", 4.0, None, 2)
UNKNOWN = a_row("solid", 7.0, None)


def on_day(
    today: str,
    *findings: Resource,
    studies: tuple[str | Resource, ...] = (),
    orders: Any = (),
    reports: Any = (),
    **others: Any,
) -> Judgement:
    """The judgement on a day; ``studies`` are days of later chest CTs, or studies."""
    later = [imaged(f"ct-{one}", one) if isinstance(one, str) else one for one in studies]
    resources: dict[str, Any] = dict.fromkeys(("conditions", "smoking", "communications"), ()) | {
        "patient": [a_patient()],
        "findings": list(findings),
        "studies": [SEEN, *later],
        "orders": list(orders),
        "reports": reports,
    }
    now = datetime.combine(date.fromisoformat(today), time(9), tzinfo=UTC)
    return judge(read_facts(resources | others, "p"), bundled_packs(), now)


def told(judgement: Judgement) -> Guidance:
    assert len(judgement.guidance) == 1, judgement
    return judgement.guidance[0]


def silent(judgement: Judgement) -> str:
    assert judgement.guidance == (), judgement.guidance
    return judgement.suppressed[0].reason


def read(day: str, conclusion: str = "Chest CT reviewed.", **members: Any) -> Resource:
    """The signed report of the chest CT of a day."""
    study = [{"reference": f"ImagingStudy/ct-{day}"}]
    return a_report(conclusion, id=f"report-{day}", issued=f"{day}T15:00:00Z", imagingStudy=study, **members)


@pytest.mark.parametrize(
    ("finding", "studies", "due", "firm"),
    [
        pytest.param(F1, ["2024-09-01"], "2025-07-15 to 2026-01-15", False, id="F1 consider 18-24"),
        pytest.param(F2, ["2024-09-01"], "2025-07-15 to 2026-01-15", True, id="F2 then 18-24"),
        pytest.param(F3, ["2024-06-01"], "2025-07-15 to 2026-01-15", False, id="F3 consider 18-24"),
        pytest.param(F4, ["2024-06-01"], "2025-07-15 to 2026-01-15", True, id="F4 then 18-24"),
        pytest.param(F5, ["2024-09-01"], "2026-01-15", False, id="F5 2 years"),
        pytest.param(F5, ["2024-09-01", "2026-01-20"], "2028-01-15", False, id="F5 4 years"),
        pytest.param(F6, ["2024-06-01"], "2025-01-15", False, id="F6 1 year"),
        pytest.param(F6, ["2024-06-01", "2025-01-20"], "2026-01-15", False, id="F6 2 years"),
        pytest.param(F6, ["2024-06-01", "2028-01-20"], "2029-01-15", False, id="F6 5 years"),
        pytest.param(F7, ["2024-06-01"], "2026-01-15", False, id="F7 2 years"),
        pytest.param(F7, ["2024-06-01", "2026-01-20"], "2028-01-15", False, id="F7 4 years"),
        pytest.param(UNKNOWN, ["2024-09-01"], "2025-07-15 to 2026-01-15", False, id="F1 and F2, risk not known"),
    ],
)
def test_f_the_next_step_counts_from_the_first_study(finding: Resource, studies: list[str], due: str, firm: bool) -> None:
    """F1-F7, Ge: the step after the one that was done; "consider" and "if persistent" only offer."""
    guidance = told(on_day(studies[-1], finding, studies=tuple(studies), reports=[read(day) for day in studies]))

    assert guidance.next_step is not None
    assert (str(guidance.next_step.due), guidance.next_step.firm) == (due, firm)
    assert (guidance.urgency, guidance.overdue, guidance.order) == (Urgency.INFO, False, None)
    assert guidance.followed is not None
    assert str(guidance.followed.day) == studies[-1]
    assert f"done {studies[-1]}" in summary_of(guidance)
    assert "counted from the first study" in guidance.notes[0]


@pytest.mark.parametrize(
    ("finding", "last"),
    [(F1, "2025-07-01"), (F2, "2025-07-01"), (F3, "2025-07-01"), (F4, "2025-07-01"), (F5, "2028-01-01"), (F6, "2029-01-01")],
    ids=["F1", "F2", "F3", "F4", "F5", "F6"],
)
def test_f_the_last_step_ends_the_matter_and_the_day_before_its_time_does_not(finding: Resource, last: str) -> None:
    """F1-F6, Gf: fourteen days before the time an examination does the step, fifteen days before it does the one before."""
    before = str(date.fromisoformat(last) - timedelta(days=1))

    reason = silent(on_day(last, finding, studies=(last,), reports=[read(last)]))
    assert reason.startswith(f"a later chest CT was done on {last}")
    assert told(on_day(before, finding, studies=(before,), reports=[read(before)])).followed is not None


def test_f7_a_single_step_ends_with_it() -> None:
    """F7, 6 mm and more: what follows is as the most suspicious nodule asks, which no date of the table tells."""
    nodules = a_row("ground-glass", 8.0, None, 2)

    assert silent(on_day("2024-06-02", nodules, studies=("2024-06-01",), reports=[read("2024-06-01")]))


@pytest.mark.parametrize(
    ("finding", "today", "urgency", "overdue"),
    [
        (F2, "2025-07-14", Urgency.INFO, False),
        (F2, "2025-07-15", Urgency.WARNING, False),
        (F2, "2026-01-15", Urgency.WARNING, False),
        (F2, "2026-01-16", Urgency.WARNING, True),
        (F4, "2026-01-16", Urgency.WARNING, True),
        (F1, "2026-01-16", Urgency.INFO, False),
        (F3, "2026-01-16", Urgency.INFO, False),
        (F5, "2026-01-16", Urgency.INFO, False),
        (F6, "2025-01-16", Urgency.INFO, False),
        (F7, "2026-01-16", Urgency.INFO, False),
    ],
)
def test_f_only_a_step_that_the_table_asks_for_is_ever_overdue(
    finding: Resource, today: str, urgency: Urgency, overdue: bool
) -> None:
    """F1-F7: "then 18-24" warns from its first day and is overdue after its last; what is offered never is."""
    day = "2024-07-10"
    guidance = told(on_day(today, finding, studies=(day,), reports=[read(day)]))

    assert (guidance.urgency, guidance.overdue) == (urgency, overdue)
    assert ("chest CT overdue since 2026-01-15" in summary_of(guidance)) is overdue


@pytest.mark.parametrize(("today", "is_silent"), [("2027-01-15", False), ("2027-01-16", True)])
def test_f1_what_was_only_offered_is_silent_a_year_after_its_time(today: str, is_silent: bool) -> None:
    judgement = on_day(today, F1, studies=("2024-09-01",), reports=[read("2024-09-01")])

    assert (judgement.guidance == ()) is is_silent


@pytest.mark.parametrize(
    ("day", "is_early"),
    [("2024-01-17", True), ("2024-06-30", True), ("2024-07-01", False), ("2024-07-15", False), ("2025-06-30", False)],
)
def test_f2_an_examination_before_the_steps_time_does_not_do_it(day: str, is_early: bool) -> None:
    """F2, Gf: a CT two days later silences the warning; it is named, and the step stays told as information."""
    guidance = told(on_day("2025-07-01", F2, studies=(day,), reports=[read(day)]))

    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == ("2024-07-15 to 2025-01-15" if is_early else "2025-07-15 to 2026-01-15")
    assert (guidance.urgency, guidance.overdue, guidance.order) == (Urgency.INFO, False, None)
    assert (f"CT of {day} came before" in summary_of(guidance)) is is_early
    assert any("before the time that the step is meant for" in note for note in guidance.notes) is is_early


def test_l3_a_ct_two_days_later_does_not_end_a_lung_rads_3() -> None:
    """L3, Gf: nor does it leave a warning or an order."""
    guidance = told(on_day("2024-02-01", a_lung_rads("3"), studies=("2024-01-17",)))

    assert (guidance.urgency, guidance.order) == (Urgency.INFO, None)
    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2024-07-15"


@pytest.mark.parametrize(
    ("conclusion", "why"),
    [
        ("The nodule has resolved.", "its report says that it has resolved"),
        ("The nodule is no longer seen.", "its report says that it has resolved"),
        ("Stable nodule. No further follow-up is needed.", "its report asks for no follow-up"),
        ("Stable nodule. Follow-up CT in 12 months.", "its report says what follows"),
        ("Stable nodule; annual CT.", "its report says what follows"),
        ("If stable at 24 months, no follow-up is needed.", "its report says what follows"),
        ("Consider biopsy of the nodule.", "its report says what follows"),
        ("Recommend PET/CT.", "its report says what follows"),
        ("Malignancy cannot be excluded, recommend biopsy of the nodule.", "its report says what follows"),
        ("The nodule has grown to 10 mm.", "its report tells of growth or of something new, and decides"),
        ("The nodule, previously 7 mm, has grown to 10 mm.", "its report tells of growth or of something new, and decides"),
        ("7 mm nodule with interval growth.", "its report tells of growth or of something new, and decides"),
        ("No effusion; the nodule has grown.", "its report tells of growth or of something new, and decides"),
        ("No effusion, the nodule has grown.", "its report tells of growth or of something new, and decides"),
        ("The nodule has resolved with no scar.", "its report says that it has resolved"),
        ("Lung-RADS 2.", "its report states a category of its own"),
    ],
)
@pytest.mark.parametrize("finding", [F1, F2, F3, F4, F5, F6, F7], ids=["F1", "F2", "F3", "F4", "F5", "F6", "F7"])
def test_ga_the_newer_report_rules(finding: Resource, conclusion: str, why: str) -> None:
    judgement = on_day("2026-03-01", finding, studies=("2024-07-10",), reports=[read("2024-07-10", conclusion)])

    (reason,) = [one.reason for one in judgement.suppressed if one.finding.kind == "nodule"]
    assert reason.startswith("a later chest CT was done on 2024-07-10")
    assert reason.endswith(f"; {why}")
    assert not any(one.finding.kind == "nodule" for one in judgement.guidance)


@pytest.mark.parametrize(
    "conclusion",
    [
        "Recommend follow-up of the thyroid nodule in 6 months.",
        "No new nodules.",
        "The pleural effusion has resolved.",
        "Recommend clinical correlation.",
        "Follow-up chest radiograph in 6 weeks to document clearing.",
        "New rib fracture on this CT.",
        "Suggest echocardiogram in 3 months.",
        "The nodule has not resolved.",
        "The nodule hasn't resolved.",
        "The nodule hasn’t grown.",
        "The nodule cannot be said to have grown.",
        "The effusion has resolved and the 7 mm nodule is unchanged.",
        "Stable 7 mm nodule; new small pleural effusion.",
        "Stable 7 mm nodule, with increasing atelectasis.",
        "Resolution of the effusion with an unchanged nodule.",
        "Stable nodule with increase of the effusion.",
        "No effusion, adenopathy, or new nodule is seen.",
        "No consolidation and new nodules.",
        "The nodule has grown, not significantly.",
        "The nodule has resolved, only partially.",
        "No evidence of a pleural effusion, a new nodule, or lymphadenopathy.",
        "No evidence of an effusion, a pneumothorax, or a new nodule.",
        "There is no evidence that the effusion and the nodule have resolved.",
    ],
)
def test_ga_a_report_that_says_nothing_of_what_follows_does_not_rule(conclusion: str) -> None:
    assert told(on_day("2024-09-02", F2, studies=("2024-09-01",), reports=[read("2024-09-01", conclusion)])).followed


@pytest.mark.parametrize(
    "conclusion",
    [
        "Stable 7 mm nodule.",
        "No change of the nodule.",
        "The nodule is unchanged.",
        "The effusion has resolved and the 7 mm nodule is unchanged.",
        "Stable 7 mm nodule; new small pleural effusion.",
    ],
)
def test_x4_stability_weakens_the_next_step(conclusion: str) -> None:
    """X4, F2: the date stays and may pass, but it is no warning; the sentence is quoted."""
    guidance = told(on_day("2026-01-16", F2, studies=("2024-09-01",), reports=[read("2024-09-01", conclusion)]))

    assert (guidance.urgency, guidance.overdue) == (Urgency.INFO, True)
    assert guidance.quotes[0].sentence == conclusion
    assert any("weakens the case" in note for note in guidance.notes)


@pytest.mark.parametrize("finding", [F1, F5, F6, F7], ids=["F1", "F5", "F6", "F7"])
def test_x4_stability_never_strengthens_a_step(finding: Resource) -> None:
    """X4: what the table only offers stays an offer, also where "persistent" has come true."""
    guidance = told(on_day("2026-01-16", finding, studies=("2024-07-10",), reports=[read("2024-07-10", "Stable nodule.")]))

    assert guidance.next_step is not None
    assert (guidance.urgency, guidance.overdue, guidance.next_step.firm) == (Urgency.INFO, False, False)


@pytest.mark.parametrize("today", ["2024-09-02", "2025-08-01", "2026-01-16"])
@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([], "no report in chart"),
        ([read("2024-09-01", status="preliminary")], "no report in chart"),
        (None, "its report not looked up"),
    ],
    ids=["missing", "not signed", "not looked up"],
)
def test_f2_without_a_signed_report_nothing_is_asked_for_firmly(today: str, reports: Any, words: str) -> None:
    guidance = told(on_day(today, F2, studies=("2024-09-01",), reports=reports))

    assert guidance.next_step is not None
    assert (guidance.urgency, guidance.overdue, guidance.next_step.firm) == (Urgency.INFO, False, False)
    assert f"follow-up CT done 2024-09-01, {words}; step at 18–24 months foreseen" in summary_of(guidance)
    assert "nothing is asked for firmly" in detail_of(guidance, read_facts({}, "p"))


def test_ga_a_newer_coded_finding_of_the_nodule_rules_and_there_is_one_card() -> None:
    """Ga, F2: the nodule of the follow-up CT speaks for itself."""
    newer = a_nodule(
        id="newer",
        component=nodule_components(7.0, "solid", risk="high", change="stable"),
        derivedFrom=[{"reference": "ImagingStudy/ct-2024-09-01"}],
    )
    judgement = on_day("2024-09-02", F2, newer, studies=("2024-09-01",))

    assert told(judgement).finding.reference == "Observation/newer"
    assert judgement.suppressed[0].reason.endswith("its own finding is coded and says what follows")


@pytest.mark.parametrize(("tracking", "cards"), [("2.25.1", 1), ("2.25.2", 2)])
def test_f2_a_finding_of_another_nodule_ends_nothing(tracking: str, cards: int) -> None:
    """F2: the tracking identifier tells one nodule from another."""

    def tracked(identifier: str, **members: Any) -> Resource:
        code = {"code": concept(DCM, "112040"), "valueString": identifier}
        return a_nodule(component=[*nodule_components(7.0, "solid", risk="high"), code], **members)

    newer = tracked(tracking, id="newer", derivedFrom=[{"reference": "ImagingStudy/ct-2024-09-01"}])

    assert len(on_day("2024-09-02", tracked("2.25.1"), newer, studies=("2024-09-01",)).guidance) == cards


def test_ga_the_first_readers_own_interval_drops_the_tables_later_steps_where_they_part() -> None:
    """Ga: the reader asked for 3 months, the table for 6 to 12; then the table's further steps are not the reader's."""
    interval = {
        "code": concept(DCM, "111055"),
        "valueQuantity": {"value": 3, "code": "mo", "system": "http://unitsofmeasure.org"},
    }
    finding = a_nodule(component=[*nodule_components(7.0, "solid", risk="high"), interval])

    assert silent(on_day("2024-05-01", finding, studies=("2024-04-20",), reports=[read("2024-04-20")]))


@pytest.mark.parametrize(
    ("members", "is_silent"),
    [
        ({"authoredOn": "2024-09-02"}, True),
        ({"authoredOn": "2024-02-01"}, False),
        ({"authoredOn": "2024-02-01", "reasonReference": [{"reference": "Observation/finding"}]}, False),
        ({"authoredOn": "2024-02-01", "occurrenceDateTime": "2025-08-01"}, True),
        ({"authoredOn": "2024-09-02", "occurrenceDateTime": "2025-07-01"}, True),
        ({"authoredOn": "2024-09-02", "occurrenceDateTime": "2025-06-30"}, False),
        ({"authoredOn": "2024-09-02", "status": "draft"}, False),
        ({"authoredOn": "2024-09-02", "code": concept(LOINC, "36813-4")}, False),
    ],
    ids=[
        "since",
        "of the first step",
        "of the first step, by reason",
        "planned for it",
        "in time",
        "early",
        "draft",
        "CT of the abdomen",
    ],
)
def test_gf_an_order_for_the_later_step_ends_it(members: Resource, is_silent: bool) -> None:
    """Gf, F2: the first step's own order, still open in the chart, does not."""
    judgement = on_day("2025-07-20", F2, studies=("2024-09-01",), orders=[an_order(**members)], reports=[read("2024-09-01")])

    assert (judgement.guidance == ()) is is_silent
    if members.get("status") == "draft":
        assert told(judgement).urgency is Urgency.INFO


def test_gf_the_order_that_the_follow_up_was_done_for_answers_no_later_step() -> None:
    done = imaged("ct-2024-09-01", "2024-09-01", basedOn=[{"reference": "ServiceRequest/order"}])
    order = an_order(authoredOn="2024-09-01", reasonReference=[{"reference": "Observation/finding"}])

    assert told(on_day("2024-09-02", F2, studies=(done,), orders=[order], reports=[read("2024-09-01")])).followed


@pytest.mark.parametrize(
    ("finding", "studies", "due"),
    [
        (assessed("bosniak", "IIF", "2019"), ("2024-07-10",), "2025-01-15"),
        (assessed("bosniak", "IIF", "2019"), ("2024-07-10", "2025-01-15"), "2026-01-15"),
        (assessed("ti-rads", "TR3", "2017", mm=20), ("2025-01-15",), "2027-01-15"),
        (assessed("ti-rads", "TR4", "2017", mm=12), ("2025-01-15",), "2026-01-15"),
        (assessed("ti-rads", "TR4", "2017", mm=12), ("2025-01-15", "2027-01-15"), "2029-01-15"),
        (assessed("ti-rads", "TR5", "2017", mm=8), ("2025-01-15",), "2026-01-15"),
    ],
    ids=["Y7 12 months", "Y7 2 years", "Y4 TR3 3 years", "Y4 TR4 2 years", "Y4 TR4 5 years", "Y4 TR5 2 years"],
)
def test_y_the_tables_have_later_steps_too(finding: Resource, studies: tuple[str, ...], due: str) -> None:
    """Y4, Y7: the years that the packs carry."""
    is_thyroid = "ti-rads" in str(finding)
    place = ("US", "45048000") if is_thyroid else ("CT", "818981001")
    named = {"description": "US thyroid"} if is_thyroid else {"description": "CT kidneys"}
    later = [imaged(f"ct-{day}", day, *place, **named) for day in studies]
    guidance = told(on_day(studies[-1], finding, studies=tuple(later), reports=[read(day) for day in studies]))

    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == due


_DAYS = st.dates(date(2024, 1, 16), date(2030, 1, 1)).map(str)
_WORDS = st.sampled_from(
    ["Stable nodule.", "Chest CT.", "The nodule has resolved.", "Follow-up CT in 3 months.", "Lung-RADS 3."]
)


@settings(max_examples=examples(150), deadline=None)
@given(
    finding=st.sampled_from([F1, F2, F3, F4, F5, F6, F7, UNKNOWN]),
    days=st.lists(_DAYS, max_size=4, unique=True),
    words=st.dictionaries(st.integers(0, 3), _WORDS),
    today=st.dates(date(2024, 1, 16), date(2031, 1, 1)),
)
def test_f_no_later_step_without_an_earlier_one_done_and_one_card_for_a_nodule(
    finding: Resource, days: list[str], words: dict[int, str], today: date
) -> None:
    """F1-F7: whatever came after, and in whatever order the chart lists it."""
    reports = [read(days[place], said) for place, said in words.items() if place < len(days)]
    judgement = on_day(str(today), finding, studies=tuple(days), reports=reports)
    nodules = [one for one in judgement.guidance if one.finding.kind == "nodule"]

    assert len(nodules) <= 1
    for one in nodules:
        first = told(on_day(str(today), finding)).next_step
        assert first is not None
        assert one.next_step is not None
        if one.next_step.due != first.due:
            assert any(first.due.earliest - timedelta(days=14) <= date.fromisoformat(day) for day in days)
            assert not any(one.next_step.due.earliest - timedelta(days=14) <= date.fromisoformat(day) for day in days)
            assert one.followed is not None
        assert one.urgency is Urgency.INFO or not days or (one.next_step.firm and one.followed)
        assert one.order is None or not days


def test_t8_an_unsigned_ai_result_of_the_follow_up_does_not_rule() -> None:
    """T8: it is shown as such beside; the reader's finding keeps its word."""
    machine = an_ai_lung_rads("4A", derivedFrom=[{"reference": "ImagingStudy/ct-2024-09-01"}])
    judgement = on_day("2024-09-02", F2, machine, studies=("2024-09-01",))

    assert any(one.followed for one in judgement.guidance)
