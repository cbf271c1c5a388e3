"""Patient A's record for the portal: who acts for her, images that are offline, a signed and an unsigned report."""

from datetime import UTC, date, datetime
from typing import Any

from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import alma

CALENDAR = DemoCalendar(demo_day=date(2026, 11, 21))


def record() -> dict[str, dict[str, Any]]:
    resources = alma.alma_resources(CALENDAR, alma.ON_TAPE, alma.PRIOR, alma.CURRENT)
    return {f"{one['resourceType']}/{one['id']}": one for one in resources}


def test_her_daughter_acts_for_her() -> None:
    daughter = record()["RelatedPerson/demo-a-daughter"]

    assert daughter["patient"]["reference"] == "Patient/demo-a"
    assert daughter["relationship"][0]["text"] == "daughter"


def test_the_radiograph_of_long_ago_is_reported_and_on_tape_and_only_the_archive_tells_of_it() -> None:
    report = record()["DiagnosticReport/demo-a-dx-archived-report"]

    assert alma.ON_TAPE.is_on_tape
    assert not [name for name in record() if name.startswith("ImagingStudy/")]
    assert report["imagingStudy"][0]["reference"] == f"ImagingStudy/{alma.ON_TAPE.study_instance_uid}"
    assert datetime.fromisoformat(report["effectiveDateTime"]).date() == date(2020, 11, 15)
    assert report["effectiveDateTime"] < report["issued"]


def test_of_her_reports_one_is_not_signed_and_is_younger_than_the_signed_one() -> None:
    reports = {name: one for name, one in record().items() if name.startswith("DiagnosticReport/")}
    unsigned = reports["DiagnosticReport/demo-a-ct-current-heart-report"]
    signed = reports["DiagnosticReport/demo-a-ct-current-report"]

    assert sorted(one["status"] for one in reports.values()) == ["final", "final", "final", "preliminary"]
    assert unsigned["imagingStudy"] == signed["imagingStudy"]
    assert signed["issued"] < unsigned["issued"] < datetime(2026, 11, 21, tzinfo=UTC).isoformat()
