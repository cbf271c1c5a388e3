"""What a stretch of the audit trail amounts to: what was done, by whom, to how many patients, and why things were denied.

Counts only; its memory grows with the number of users and their patients, not with the number of records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fhir_imaging.audit import AuditAction, AuditOutcome, AuditRecord
from imaging_server.held_back import requests_in

UNKNOWN = "unknown"
Who = tuple[str, str, str]
"""EHR, user, client."""


@dataclass(slots=True, kw_only=True)
class Activity:
    """What one user did with one app. ``last_at`` in UTC seconds; ``patients`` whose images were disclosed or searched for."""

    opened: int = 0
    other: int = 0
    denied: int = 0
    last_at: int = 0
    patients: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Denials:
    """How many requests had a reason, also where one record stands for many. ``last_at`` in UTC seconds; ``users`` whom it
    concerned, as far as known."""

    times: int = 0
    last_at: int = 0
    users: set[Who] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Summary:
    """All of it. ``first_at`` and ``last_at`` in UTC seconds, None where nothing was recorded."""

    first_at: int | None = None
    last_at: int | None = None
    actions: Counter[tuple[AuditAction, AuditOutcome]] = field(default_factory=Counter)
    users: dict[Who, Activity] = field(default_factory=dict)
    reasons: dict[str, Denials] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many there were."""
        return self.actions.total()


def summary_of(records: Iterable[AuditRecord]) -> Summary:
    """Adds them up, in whatever order they come."""
    summary = Summary()
    for record in records:
        at = record.recorded_at
        summary.first_at = at if summary.first_at is None else min(summary.first_at, at)
        summary.last_at = at if summary.last_at is None else max(summary.last_at, at)
        summary.actions[record.action, record.outcome] += 1
        _add_to_user(summary, record)
        if record.outcome is AuditOutcome.DENIED:
            _add_to_reason(summary, record)
    return summary


def _who(record: AuditRecord) -> Who:
    return record.ehr, record.user or UNKNOWN, record.client_id or UNKNOWN


def _add_to_user(summary: Summary, record: AuditRecord) -> None:
    activity = summary.users.setdefault(_who(record), Activity())
    activity.last_at = max(activity.last_at, record.recorded_at)
    if record.outcome is AuditOutcome.DENIED:
        activity.denied += 1
        return
    if record.action is AuditAction.STUDY_OPENED:
        activity.opened += 1
    else:
        activity.other += 1
    if record.patient_id is not None:
        activity.patients.add(record.patient_id)


def _add_to_reason(summary: Summary, record: AuditRecord) -> None:
    denials = summary.reasons.setdefault((record.reason or UNKNOWN).partition(":")[0], Denials())
    denials.times += requests_in(record.reason)
    denials.last_at = max(denials.last_at, record.recorded_at)
    denials.users.add(_who(record))


def as_json(summary: Summary) -> dict[str, object]:
    """For programs."""
    return {
        "records": summary.records,
        "first_at": summary.first_at,
        "last_at": summary.last_at,
        "actions": [
            {"action": action.value, "outcome": outcome.value, "records": count}
            for (action, outcome), count in sorted(summary.actions.items())
        ],
        "users": [
            {
                "ehr": ehr,
                "user": user,
                "client_id": client,
                "patients": len(one.patients),
                "studies_opened": one.opened,
                "other_access": one.other,
                "denied": one.denied,
                "last_at": one.last_at,
            }
            for (ehr, user, client), one in busiest(summary)
        ],
        "reasons": [
            {"reason": reason, "times": one.times, "users": len(one.users), "last_at": one.last_at}
            for reason, one in commonest(summary)
        ],
    }


def busiest(summary: Summary) -> list[tuple[Who, Activity]]:
    """The users, those with most patients first."""
    return sorted(summary.users.items(), key=lambda one: (-len(one[1].patients), -one[1].opened, -one[1].denied, one[0]))


def commonest(summary: Summary) -> list[tuple[str, Denials]]:
    """The reasons, the commonest first."""
    return sorted(summary.reasons.items(), key=lambda one: (-one[1].times, one[0]))
