"""Feedback (R34, cds-fb-1 to cds-fb-3): validated, idempotent, batched, joined with the rule behind the card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from cds_service import feedback_store
from cds_service.card_parts import IssuedCard
from cds_service.feedback import FeedbackEntry, Outcome
from cds_service.feedback_store import RuleFeedback
from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, CdsActor, a_cds_service, a_hook, a_lung_rads, a_nodule, a_store, whole_prefetch

PATH = "/cds-services/imaging-findings/feedback"
AT = "2026-11-21T09:05:00Z"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def accepted(card: str, suggestion: str = "s", **members: Any) -> dict[str, Any]:
    entry = {"card": card, "outcome": "accepted", "acceptedSuggestions": [{"id": suggestion}], "outcomeTimestamp": AT}
    return entry | members


def overridden(card: str, **members: Any) -> dict[str, Any]:
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": AT} | members


NO_RFC_3339 = [
    "2026-W47-6T09:05:00Z",
    "20261121T090500Z",
    "2026-11-21T09:05Z",
    "2026-11-21T09Z",
    "2026-11-21",
    "2026-11-21T24:00:00Z",
    "2026-11-21T09:05:00,5Z",
    "2026-11-21T09:05:00+0100",
    "2026-11-21T09:05:00+24:00",
    "2026-11-21_09:05:00Z",
    "2026-02-30T09:05:00Z",
    "2026-11-21T09:05:60Z",
    "2026-11-21T09:05:61Z",
    "٢٠٢٦-11-21T09:05:00Z",
    "2026-11-22T09:05:01Z",
    "9999-12-31T23:59:59Z",
    1795251900,
]


def counts(cds: CdsActor) -> dict[str, tuple[int, int, int]]:
    return {one.rule_id: (one.shown, one.accepted, one.overridden) for one in cds.services.feedback.by_rule()}


def test_r34_feedback_is_counted_under_the_rule_of_its_card(cds: CdsActor) -> None:
    (nodule,) = cds.cards(a_hook(whole_prefetch(a_nodule())))
    (screening,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    reason = {"reason": {"system": "s", "code": "patient-refuses"}, "userComment": "she said no"}

    batch = [
        accepted(nodule["uuid"], nodule["suggestions"][0]["uuid"]),
        overridden(screening["uuid"], overrideReason=reason),
    ]
    response = cds.post(PATH, {"feedback": batch})

    assert response.status_code == 200
    assert response.get_data() == b""
    assert counts(cds) == {"fleischner-2017/F2-6-8": (1, 1, 0), "lung-rads-2022/3": (2, 0, 1)}


def test_r34_repeated_reports_count_once(cds: CdsActor, store: Store) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    body = {"feedback": [overridden(card["uuid"]), overridden(card["uuid"])]}

    assert cds.post(PATH, body).status_code == 200
    assert cds.post(PATH, body).status_code == 200

    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM cds_card_feedback")).scalar_one() == 1


def test_overridden_then_accepted_are_both_kept(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))

    cds.post(PATH, {"feedback": [overridden(card["uuid"]), accepted(card["uuid"])]})

    assert counts(cds)["lung-rads-2022/3"] == (1, 1, 1)


def test_feedback_on_an_unknown_card_is_taken_and_counted_under_no_rule(cds: CdsActor) -> None:
    assert cds.post(PATH, {"feedback": [overridden("00000000-0000-4000-8000-000000000000")]}).status_code == 200
    assert counts(cds) == {}


def test_feedback_of_another_client_does_not_count_for_this_ones_card(store: Store, cds: CdsActor, tmp_path: Path) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    other = a_cds_service(store, tmp_path, trust={"iss": "https://other.example.org"})
    other.ehr.iss = "https://other.example.org"

    assert other.post(PATH, {"feedback": [overridden(card["uuid"])]}).status_code == 200

    assert counts(cds)["lung-rads-2022/3"] == (1, 0, 0)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (accepted("c", outcome="ignored"), "cds-fb-1"),
        (accepted("c", outcome=["accepted"]), "cds-fb-1"),
        ({"card": "c", "outcome": "accepted", "outcomeTimestamp": AT}, "cds-fb-2"),
        (accepted("c", acceptedSuggestions=[]), "cds-fb-2"),
        (accepted("c", acceptedSuggestions=[{}]), "acceptedSuggestions.id"),
        (accepted("c", acceptedSuggestions="s"), "acceptedSuggestions"),
        (overridden("c", overrideReason={}), "cds-fb-3"),
        (overridden("c", overrideReason={"reason": {"system": "s"}}), "overrideReason.reason"),
        (overridden("c", overrideReason="no"), "overrideReason"),
        (overridden(""), "feedback[0].card"),
        (overridden("x" * 200), "feedback[0].card"),
        (overridden("c", outcomeTimestamp=None), "outcomeTimestamp"),
        (overridden("c", outcomeTimestamp="2026-11-21T09:05:00"), "needs a time zone"),
        (overridden("c", outcomeTimestamp="yesterday"), "outcomeTimestamp"),
        (overridden("c", outcomeTimestamp="0001-01-01T00:00:00+14:00"), "outside the calendar"),
        ("entry", "feedback[0]"),
        *((overridden("c", outcomeTimestamp=moment), "feedback[0].outcomeTimestamp") for moment in NO_RFC_3339),
    ],
)
def test_cds_fb_faults_are_named_and_nothing_is_stored(cds: CdsActor, store: Store, entry: object, named: str) -> None:
    response = cds.post(PATH, {"feedback": [entry]})

    assert response.status_code == 400
    assert named in json.loads(response.get_data(as_text=True))["issue"][0]["diagnostics"]
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM cds_card_feedback")).scalar_one() == 0


@pytest.mark.parametrize(
    ("stated", "moment"),
    [
        ("2026-11-21t09:05:00z", "2026-11-21T09:05:00"),
        ("2026-11-21 09:05:00Z", "2026-11-21T09:05:00"),
        ("2026-11-21T10:05:00.123456789+01:00", "2026-11-21T09:05:00"),
        ("2026-11-21T09:05:00-00:00", "2026-11-21T09:05:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59"),
        ("2017-01-01T00:59:60.5+01:00", "2016-12-31T23:59:59"),
        ("2026-11-22T08:59:59Z", "2026-11-22T08:59:59"),
    ],
)
def test_r34_every_time_of_rfc_3339_is_understood(cds: CdsActor, store: Store, stated: str, moment: str) -> None:
    assert cds.post(PATH, {"feedback": [overridden("c", outcomeTimestamp=stated)]}).status_code == 200

    with store.read() as connection:
        kept = connection.execute(text("SELECT outcome_at FROM cds_card_feedback")).scalar_one()
    assert kept == int(datetime.fromisoformat(f"{moment}+00:00").timestamp())


def test_r34_one_wrong_time_refuses_the_batch(cds: CdsActor, store: Store) -> None:
    response = cds.post(PATH, {"feedback": [overridden("a"), overridden("b", outcomeTimestamp="2027-01-01T00:00:00Z")]})

    assert response.status_code == 400
    assert "feedback[1].outcomeTimestamp: is more than a day ahead" in response.get_data(as_text=True)
    with store.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM cds_card_feedback")).scalar_one() == 0


def test_r34_the_answer_has_no_body_and_claims_none(cds: CdsActor) -> None:
    response = cds.post(PATH, {"feedback": [overridden("c")]})

    assert (response.status_code, response.get_data()) == (200, b"")
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("body", [{}, {"feedback": {}}, [], {"feedback": None}])
def test_feedback_is_an_array(cds: CdsActor, body: object) -> None:
    assert cds.post(PATH, body).status_code == 400


def test_an_empty_batch_is_fine(cds: CdsActor) -> None:
    assert cds.post(PATH, {"feedback": []}).status_code == 200


def test_a_reason_may_lack_display_and_a_comment_may_stand_alone(cds: CdsActor) -> None:
    reasons = [{"reason": {"system": "s", "code": "c"}}, {"userComment": "done at the other hospital"}]
    entries = [overridden(f"card-{number}", overrideReason=reason) for number, reason in enumerate(reasons)]

    assert cds.post(PATH, {"feedback": entries}).status_code == 200


def test_text_that_no_database_can_hold_is_no_500(cds: CdsActor) -> None:
    raw = json.dumps({"feedback": [overridden("c", overrideReason={"userComment": "\ud800", "reason": {"code": "\udfff"}})]})

    assert cds.post(PATH, raw.encode()).status_code == 200


def test_an_unknown_service_takes_no_feedback(cds: CdsActor) -> None:
    assert cds.post("/cds-services/other/feedback", {"feedback": []}).status_code == 404


def test_nothing_of_the_patient_is_stored_in_the_clear(cds: CdsActor, store: Store) -> None:
    context = {"userId": "Practitioner/gp", "patientId": "p-secret-id"}
    finding = a_lung_rads("3", subject={"reference": "Patient/p-secret-id"})
    patient = {"resourceType": "Patient", "id": "p-secret-id"}
    (card,) = cds.cards(a_hook(whole_prefetch(finding, patient=patient, studies=None), context=context))
    cds.post(PATH, {"feedback": [overridden(card["uuid"], overrideReason={"userComment": "Alma has cancer"})]})

    with store.read() as connection:
        tables = (feedback_store.issued_card, feedback_store.card_feedback)
        rows = [str(row) for table in tables for row in connection.execute(table.select())]

    assert len(rows) == 2
    assert not any("p-secret-id" in row or "Alma" in row for row in rows)


def test_r17_nothing_of_the_patient_no_token_and_no_jwt_is_in_any_file_of_the_state(
    cds: CdsActor, store: Store, tmp_path: Path
) -> None:
    """Whatever is kept, in whatever table or file: searched by its bytes, journals and logs of the database included."""
    access = "secret-fhir-token-of-this-hook"
    grant = {"access_token": access, "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "cds"}
    context = {"userId": "Practitioner/gp", "patientId": "p-secret-id"}
    finding = a_lung_rads("3", subject={"reference": "Patient/p-secret-id"})
    prefetch = whole_prefetch(finding, patient={"resourceType": "Patient", "id": "p-secret-id"}, studies=None)
    sent = a_hook(prefetch, context=context, fhirServer="https://ehr.example.org/fhir", fhirAuthorization=grant)
    asking, judging = (cds.ehr.jwt_for(f"{APP}{path}") for path in ("/cds-services/imaging-findings", PATH))

    (card,) = cds.post("/cds-services/imaging-findings", sent, token=asking).get_json()["cards"]
    told = overridden(card["uuid"], overrideReason={"userComment": "Alma has cancer"})
    assert cds.post(PATH, {"feedback": [told]}, token=judging).status_code == 200

    with store.read() as connection:
        assert connection.execute(feedback_store.card_feedback.select()).all(), "it is kept that there was feedback"
    files = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert card["uuid"].encode() in b"".join(files.values())
    parts = [part[:60] for token in (asking, judging) for part in token.split(".")[1:]]
    secrets = [access, *parts, "p-secret-id", "Alma"]
    assert [(path.name, one) for path, held in files.items() for one in secrets if one.encode() in held] == []


def test_the_migration_makes_the_tables_that_the_code_describes(store: Store) -> None:
    described = {
        table.name: {column.name for column in table.columns}
        for table in (feedback_store.issued_card, feedback_store.card_feedback)
    }
    with store.read() as connection:
        made = {name: {column["name"] for column in inspect(connection).get_columns(name)} for name in described}

    assert made == described


def test_the_migration_makes_the_indexes_that_the_code_describes_and_retention_uses_them(store: Store) -> None:
    tables = (feedback_store.issued_card, feedback_store.card_feedback)
    described = {index.name for table in tables for index in table.indexes}
    with store.read() as connection:
        made = {index["name"] for table in tables for index in inspect(connection).get_indexes(table.name)}
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN DELETE FROM cds_issued_card WHERE issued_at < 1").all()

    assert made == described
    assert any("ix_cds_issued_card_issued_at" in str(step) for step in plan)


def test_all_cards_of_an_answer_are_noted_with_their_rules(store: Store, tmp_path: Path) -> None:
    feedback = a_cds_service(store, tmp_path).services.feedback
    rules = ["pack/a", "pack/b", "pack/a"]
    cards = [
        IssuedCard(card={"uuid": f"CARD-{number}", "indicator": "info"}, rule_id=rule) for number, rule in enumerate(rules)
    ]

    feedback.remember(cards, service_id="s", client="https://ehr.example.org", now=5)
    feedback.remember([], service_id="s", client=None, now=6)

    with store.read() as connection:
        noted = connection.execute(feedback_store.issued_card.select().order_by(feedback_store.issued_card.c.card_uuid)).all()
    assert [tuple(row) for row in noted] == [
        (f"card-{number}", "s", rule, "info", "https://ehr.example.org", 5) for number, rule in enumerate(rules)
    ]


def test_counts_can_be_limited_in_time(cds: CdsActor) -> None:
    cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    now = cds.services.now()

    assert cds.services.feedback.by_rule(since=now) == (
        RuleFeedback(rule_id="lung-rads-2022/3", indicator="warning", shown=1, accepted=0, overridden=0),
    )
    assert cds.services.feedback.by_rule(since=now + 1) == ()


def test_old_cards_and_their_feedback_are_removed_and_no_others(store: Store, tmp_path: Path) -> None:
    """At most once an hour; what a card's feedback was counted under lives as long as the card."""
    year = a_cds_service(store, tmp_path, feedback_retention_days=365).services.feedback
    day = 86_400
    now = 1_800_000_000
    entry = FeedbackEntry(card_uuid="old", outcome=Outcome.OVERRIDDEN, at=datetime.fromtimestamp(now, UTC))

    def remember(card_uuid: str, at: int) -> None:
        card = IssuedCard(card={"uuid": card_uuid, "indicator": "info"}, rule_id="pack/row")
        year.remember([card], service_id="s", client=None, now=at)

    remember("old", now)
    year.record([entry], service_id="s", client=None, now=now + 60)
    remember("kept", now + day)
    assert shown_and_told(store) == ({"old", "kept"}, 1)

    remember("new", now + 365 * day + 61)
    assert shown_and_told(store) == ({"kept", "new"}, 0)

    remember("late", now + 366 * day + 3000)
    assert "kept" not in shown_and_told(store)[0]


def shown_and_told(store: Store) -> tuple[set[str], int]:
    with store.read() as connection:
        cards = set(connection.execute(text("SELECT card_uuid FROM cds_issued_card")).scalars())
        return cards, int(connection.execute(text("SELECT count(*) FROM cds_card_feedback")).scalar_one())
