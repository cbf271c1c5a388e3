"""What cannot work in a [[sync]] is told before it starts, with the field's name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pacs_sync.settings import Feed, PaceSettings, PatientRule, SyncSettings, TargetSettings

TARGET = TargetSettings(fhir_base="https://fhir.example/r4")
MRN = PatientRule(system="https://h.example/mrn", issuer_of_patient_id="H")
GOOD = SyncSettings(
    name="main", pacs="main", target=TARGET, patients=(MRN,), endpoint_address="https://i.example/imaging/h/dicom-web/main"
)


def test_a_usual_one_works() -> None:
    assert list(GOOD.problems()) == []
    assert list(replace(GOOD, coding_schemes={"99H": "https://h.example/codes|2"}).problems()) == []
    assert list(replace(GOOD, accession_system="urn:oid:2.25.7", accession_systems={"H": "urn:oid:2.25.8"}).problems()) == []
    two_issuers = (MRN, replace(MRN, issuer_of_patient_id="OLD"), replace(MRN, issuer_of_patient_id=None, is_only_issuer=True))
    assert list(replace(GOOD, patients=two_issuers).problems()) == []


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (replace(GOOD, endpoint_address=""), "endpoint_address: must be given"),
        (replace(GOOD, endpoint_address="https://i.example/dicom-web/"), "must not end with a slash"),
        (replace(GOOD, feed=Feed.ORTHANC), "belong together"),
        (replace(GOOD, patients=(PatientRule(system=" ", is_only_issuer=True),)), "patients[0].system: must not be empty"),
        (replace(GOOD, patients=(PatientRule(system="MRN", is_only_issuer=True),)), "patients[0].system: 'MRN' is no URI"),
        (replace(GOOD, patients=(PatientRule(system="urn:x"),)), "give issuer_of_patient_id"),
        (replace(GOOD, patients=(replace(MRN, issuer_of_patient_id=""),)), "issuer_of_patient_id: must not be empty"),
        (replace(GOOD, patients=(MRN, replace(MRN, system="urn:other"))), "'H' is given more than once"),
        (
            replace(GOOD, patients=tuple(PatientRule(system=one, is_only_issuer=True) for one in ("urn:a", "urn:b"))),
            "is_only_issuer is said of several systems",
        ),
        (replace(GOOD, coding_schemes={"99H": "our codes"}), "coding_schemes.99H: 'our codes' is no URI"),
        (replace(GOOD, accession_system="ACSN"), "accession_system: 'ACSN' is no URI"),
        (replace(GOOD, accession_systems={"H": ""}), "accession_systems.H: '' is no URI"),
    ],
)
def test_what_contradicts_itself_is_told(bad: SyncSettings, told: str) -> None:
    problems = list(bad.problems())
    assert len(problems) == 1
    assert told in problems[0]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (replace(TARGET, user="u"), "user and password belong together"),
        (replace(TARGET, password="p"), "user and password belong together"),
        (replace(TARGET, bearer_token="t", backend_client_id="c"), "one way of signing in"),
        (replace(TARGET, user="u", password="p", backend_client_id="c"), "one way of signing in"),
        (replace(TARGET, backend_token_url="https://fhir.example/token"), "counts with backend_client_id only"),
        (replace(TARGET, timeout_s=0), "timeout_s: must be more than 0"),
        (replace(TARGET, timeout_s=float("nan")), "timeout_s: must be more than 0"),
    ],
)
def test_ways_of_signing_in_do_not_contradict_each_other(target: TargetSettings, told: str) -> None:
    problems = list(replace(GOOD, target=target).problems())
    assert len(problems) == 1
    assert told in problems[0]


@pytest.mark.parametrize(
    ("pace", "told"),
    [
        (PaceSettings(interval_s=-1), "interval_s: must not be negative"),
        (PaceSettings(stable_s=float("nan")), "stable_s: must not be negative"),
        (PaceSettings(overlap_days=-1), "overlap_days: must not be negative"),
        (PaceSettings(reconcile_hours=-1), "reconcile_hours: must not be negative"),
        (PaceSettings(page_size=0), "page_size: must be at least 1"),
        (PaceSettings(page_size=1_000_000), "page_size: must be at most"),
        (PaceSettings(window_days=1_000_000), "window_days: must be at most"),
        (PaceSettings(workers=1000), "workers: must be at most"),
        (PaceSettings(first_retry_s=20, longest_retry_s=10), "longest_retry_s: must not be less"),
    ],
)
def test_paces_that_cannot_be_kept_are_told(pace: PaceSettings, told: str) -> None:
    problems = list(replace(GOOD, pace=pace).problems())
    assert len(problems) == 1
    assert told in problems[0]
