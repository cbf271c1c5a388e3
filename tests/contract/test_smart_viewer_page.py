"""The viewer page over HTTP: whose images, what stands beside them, and which studies may hang side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from fhir_imaging.audit import AuditFilter, AuditLog
from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.site_policy import SitePolicy, product_policy
from smart_app.patient_match import IdentifierSystem
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import (
    STUDY_A,
    FakeEhr,
    World,
    a_world,
    demo_record,
    imaging_study,
    report_on,
    wado_endpoint,
)

MRN_SYSTEM = IdentifierSystem(system="https://imaging-cds.example/demo/mrn", issuer_of_patient_id="DEMO")
PRIOR = "2.25.900"


@dataclass
class Archive:
    """An image archive that says of each study whose it is, and notes who asked with what."""

    patient_id: str = "DEMO-1001"
    issuer: str | None = "DEMO"
    of_others: dict[str, str] = field(default_factory=dict)
    """The number of another person by StudyInstanceUID."""
    unknown: frozenset[str] = frozenset()
    status: int = 200
    knows_nothing: bool = False
    refuses_by_name: bool = False
    tokens: list[str | None] = field(default_factory=list)

    def app(self) -> Flask:
        app = Flask("archive")
        app.get("/dicom-web/studies")(self._search)
        app.get("/dicom-web/studies/<uid>/series")(self._series)
        return app

    def _search(self) -> Response | tuple[str, int]:
        self.tokens.append(request.headers.get("Authorization"))
        if self.status != 200:
            return "", self.status
        uid = request.args["StudyInstanceUID"]
        study: dict[str, Any] = {"0020000D": {"vr": "UI", "Value": [uid]}}
        study["00100020"] = {"vr": "LO", "Value": [self.of_others.get(uid, self.patient_id)]}
        if self.issuer is not None:
            study["00100021"] = {"vr": "LO", "Value": [self.issuer]}
        return jsonify([] if self.knows_nothing or uid in self.unknown else [study])

    def _series(self, uid: str) -> tuple[str, int]:
        return ("", 403) if self.refuses_by_name else ("[]", 200)


def record_with_prior(address: str | None = None, prior_endpoint: str = "demo-wado") -> dict[str, list[dict[str, Any]]]:
    """Patient A with an earlier CT of the chest."""
    record = demo_record()
    earlier = imaging_study(PRIOR, study_id="prior-a", started="2025-11-14T09:30:00+07:00", description="CT chest last year")
    earlier["endpoint"] = [{"reference": f"Endpoint/{prior_endpoint}"}]
    record["ImagingStudy"].append(earlier)
    if address:
        record["Endpoint"] = [wado_endpoint(address)]
    return record


@contextmanager
def with_archive(
    tmp_path: Path, archive: Archive, *, rule: IdentifierSystem | None = MRN_SYSTEM, **record: Any
) -> Iterator[World]:
    """A world whose images are in that archive, which may have the token."""
    with serving(archive.app(), free_port_number()) as origin:
        ehr = FakeEhr(fhir={**record_with_prior(f"{origin}/dicom-web"), **record})
        systems = {"sandbox": rule} if rule else {}
        with a_world(tmp_path, ehr=ehr, token_origins=(origin,), app={"identifier_systems": systems}) as world:
            world.clinician.launches(world.ehr)
            yield world


def viewer(world: World, study: str = STUDY_A, query: str = "") -> Any:
    return world.clinician.get(f"/s/{world.clinician.session}/viewer/{study}{query}")


def panel(world: World, study: str = STUDY_A) -> Any:
    return world.clinician.get(f"/s/{world.clinician.session}/studies/{study}/panel")


def test_group_29_equal_numbers_are_a_quiet_tick(tmp_path: Path) -> None:
    archive = Archive()
    with with_archive(tmp_path, archive) as world:
        page = viewer(world)

    assert page.status_code == 200
    assert "not verified" not in page.text
    assert "✓" in page.text
    assert 'data-within="120" hidden' in page.text  # the end of the session is told when it is near
    assert len(archive.tokens) == 1
    assert (archive.tokens[0] or "").startswith("Bearer ")


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (Archive(patient_id="DEMO-9999"), "patient-mismatch: other-number"),
        (Archive(issuer="ELSEWHERE"), "patient-mismatch: other-issuer"),
        (Archive(knows_nothing=True, refuses_by_name=True), "patient-mismatch: refused"),
    ],
)
def test_group_29_images_of_another_person_are_blocked_and_recorded(tmp_path: Path, archive: Archive, why: str) -> None:
    """No frame, no study opened for the viewer's shell, one denial in the audit trail."""
    with with_archive(tmp_path, archive) as world:
        page = viewer(world)
        shell = world.clinician.get(f"/s/{world.clinician.session}/ohif/viewer?StudyInstanceUIDs={STUDY_A}")
        [record] = AuditLog(world.app.services.store).find(AuditFilter(study_instance_uid=STUDY_A))

    assert page.status_code == 403
    assert "seem to be of another person" in page.text
    assert "<iframe" not in page.text
    assert "DEMO-9999" not in page.text
    assert shell.status_code == 403
    assert (record.outcome.value, record.reason, record.patient_id) == ("denied", why, "demo-a")


@pytest.mark.parametrize(("first", "second"), [(STUDY_A, PRIOR), (PRIOR, STUDY_A)])
def test_group_29_a_prior_of_another_person_is_blocked_beside_the_study(tmp_path: Path, first: str, second: str) -> None:
    """Each of two studies side by side is compared: none is shown, none opened for the viewer, the denial names the study."""
    with with_archive(tmp_path, Archive(of_others={PRIOR: "DEMO-9999"})) as world:
        page = viewer(world, first, f"?with={second}")
        shells = [
            world.clinician.get(f"/s/{world.clinician.session}/ohif/viewer?StudyInstanceUIDs={uid}") for uid in (first, second)
        ]
        [record] = AuditLog(world.app.services.store).find(AuditFilter(study_instance_uid=PRIOR))

    assert page.status_code == 403
    assert "seem to be of another person" in page.text
    assert "<iframe" not in page.text
    assert [shell.status_code for shell in shells] == [403, 403]
    assert (record.outcome.value, record.reason) == ("denied", "patient-mismatch: other-number")
    assert record.user == "Practitioner/demo-gp"


@pytest.mark.parametrize(("first", "second"), [(STUDY_A, PRIOR), (PRIOR, STUDY_A)])
def test_group_29_a_tick_counts_for_both_studies_side_by_side(tmp_path: Path, first: str, second: str) -> None:
    """One study that could not be compared takes the tick from both, whichever was opened first."""
    archive = Archive(unknown=frozenset({PRIOR}))
    with with_archive(tmp_path, archive) as world:
        both = viewer(world, first, f"?with={second}")
        alone = viewer(world, STUDY_A)
        archive.unknown = frozenset()
        equal = viewer(world, first, f"?with={second}")

    assert "person not verified" in both.text
    assert "does not list this study" in both.text
    assert "✓" not in both.text
    assert "✓" in alone.text
    assert "✓" in equal.text
    assert "not verified" not in equal.text


@pytest.mark.parametrize(
    ("archive", "rule", "words"),
    [
        (Archive(), None, "has not said which of the patient"),
        (Archive(status=503), MRN_SYSTEM, "did not say in time"),
        (Archive(status=403), MRN_SYSTEM, "did not say in time"),
        (Archive(knows_nothing=True), MRN_SYSTEM, "does not list this study"),
        (Archive(issuer=None), MRN_SYSTEM, "do not say which organisation gave the patient number"),
        (Archive(), IdentifierSystem(system="https://other.example"), "does not tell the number"),
    ],
)
def test_what_cannot_be_compared_is_said_and_shown(
    tmp_path: Path, archive: Archive, rule: IdentifierSystem | None, words: str
) -> None:
    with with_archive(tmp_path, archive, rule=rule) as world:
        page = viewer(world)

    assert page.status_code == 200
    assert "person not verified" in page.text
    assert words in page.text
    assert archive.tokens if rule else not archive.tokens


def test_the_panel_has_report_and_priors_and_compares_on_one_server(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=FakeEhr(fhir=record_with_prior())) as world:
        world.clinician.launches(world.ehr)
        fragment = panel(world)
        of_prior = panel(world, PRIOR)

    assert fragment.status_code == 200
    assert report_on()["conclusion"] in fragment.text
    assert "CT chest last year" in fragment.text
    assert f"{STUDY_A}?with={PRIOR}" in fragment.text
    assert "<html" not in fragment.text
    assert f"?with={STUDY_A}" not in of_prior.text


def test_two_studies_hang_side_by_side_when_both_are_the_patients(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=FakeEhr(fhir=record_with_prior())) as world:
        world.clinician.launches(world.ehr)
        both = viewer(world, query=f"?with={PRIOR}")
        shell = f"/s/{world.clinician.session}/ohif/viewer?StudyInstanceUIDs={STUDY_A},{PRIOR}&hangingProtocolId="
        strange = world.clinician.get(f"{shell}@ohif/other")
        foreign = viewer(world, query="?with=2.25.2002")
        odd = viewer(world, query="?with=..%2Fx")
        itself = viewer(world, query=f"?with={STUDY_A}")

    assert both.status_code == 200
    assert f"StudyInstanceUIDs={STUDY_A},{PRIOR}&amp;hangingProtocolId=imaging-cds-compare" in both.text
    assert f'data-studies="{STUDY_A},{PRIOR}"' in both.text
    assert strange.status_code == 403
    assert foreign.status_code == 403
    assert odd.status_code == 400
    assert f'data-studies="{STUDY_A}"' in itself.text


def test_a_prior_on_another_server_is_offered_alone(tmp_path: Path) -> None:
    record = record_with_prior(prior_endpoint="other")
    record["Endpoint"].append(wado_endpoint("https://pacs.example/dicom-web", "other"))
    with a_world(tmp_path, ehr=FakeEhr(fhir=record), token_origins=("https://pacs.example",)) as world:
        world.clinician.launches(world.ehr)
        fragment = panel(world)
        both = viewer(world, query=f"?with={PRIOR}")

    assert f"?with={PRIOR}" not in fragment.text
    assert f"/viewer/{PRIOR}" in fragment.text
    assert both.status_code == 409
    assert "different servers" in both.text


def test_a_patient_gets_no_findings_measurements_or_reports_in_the_panel(tmp_path: Path) -> None:
    """DESIGN §6: plain words, nothing unsigned; the viewer draws no AI either."""
    with a_world(tmp_path, ehr=FakeEhr(fhir=record_with_prior(), id_token_changes={"fhirUser": "Patient/demo-a"})) as world:
        world.clinician.launches(world.ehr)
        page = viewer(world)
        fragment = panel(world)
        config = world.clinician.get(f"/s/{world.clinician.session}/ohif/app-config.js")

    assert page.status_code == 200
    assert "key-objects" not in fragment.text
    assert report_on()["conclusion"] not in fragment.text
    assert '"showsUnsignedAi": false' in config.text


def test_a_patient_reads_a_released_report_beside_the_images(tmp_path: Path) -> None:
    """The panel's reports are those of the list: what the site releases, and nothing sooner."""
    released = SitePolicy(packs=product_policy().packs, release=ReleaseRule(patient_results=PatientResults.RELEASED))
    ehr = FakeEhr(fhir=demo_record(), id_token_changes={"fhirUser": "Patient/demo-a"})
    with a_world(tmp_path, ehr=ehr, app={"policy": released}) as world:
        ehr.fhir["DiagnosticReport"] = [{**report_on(), "issued": (world.clock.moment - timedelta(days=1)).isoformat()}]
        world.clinician.launches(world.ehr)
        early = panel(world)
        ehr.fhir["DiagnosticReport"] = [{**report_on(), "issued": (world.clock.moment - timedelta(days=9)).isoformat()}]
        later = panel(world)

    assert report_on()["conclusion"] not in early.text
    assert report_on()["conclusion"] in later.text


def test_a30_without_need_of_a_banner_one_line_names_the_patient(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=FakeEhr(fhir=demo_record(), token_changes={"need_patient_banner": False})) as world:
        world.clinician.launches(world.ehr)
        page = viewer(world)

        studies = world.clinician.get(f"/s/{world.clinician.session}/studies")

    for shown in (page, studies):
        assert "one-line" in shown.text
        assert "SYNTHETIC, Alma, born 2 Mar 1964, Female, MRN DEMO-1001" in shown.text.split("</title>")[1]


def test_the_panel_of_a_study_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.clinician.launches(world.ehr)
        other = panel(world, "2.25.2002")
        odd = panel(world, "x")
        stranger = world.another_clinician().get(f"/s/{world.clinician.session}/studies/{STUDY_A}/panel")

    assert (other.status_code, odd.status_code) == (403, 400)
    assert stranger.status_code in (401, 403)
