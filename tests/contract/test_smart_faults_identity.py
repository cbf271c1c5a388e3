"""The app and id_tokens of another issuer, without kid, or from a wrong clock (SBX-S11 against APP-A34)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ehr_sandbox.faults import DiscoveryFaults
from ehr_sandbox.settings import Faults
from smart_app.explanations import Reason
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained

FOREIGN = "https://idp.other.example/tenant-7"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC) as made:
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


def test_s11_a34_an_id_token_of_a_foreign_issuer_opens_no_session(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(id_token_issuer=FOREIGN))

    words = assert_explained(page, Reason.IDENTITY_INVALID)
    assert hospital.services.settings.issuer in words, "the issuer that was expected"
    assert "issuer_aliases" in words, "what the administrator can do"
    assert not any("/s/" in address for address in hospital.clinician.addresses)


def test_s11_a34_a_foreign_issuer_that_is_a_configured_alias_is_taken(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC, issuer_aliases=(FOREIGN,)) as hospital:
        page = hospital.launches(faults=Faults(id_token_issuer=FOREIGN))

    assert page.status_code == 200
    assert "CT chest" in page.text


def test_s11_a34_a_foreign_issuer_in_discovery_is_refused_unless_it_is_an_alias(tmp_path: Path) -> None:
    discovery = DiscoveryFaults(issuer=FOREIGN)
    with a_hospital(tmp_path / "one", PUBLIC, discovery=discovery) as hospital:
        refused = hospital.launches()
        own = hospital.services.settings.issuer
    assert_explained(refused, Reason.IDENTITY_INVALID)
    assert own.startswith("http://127.0.0.1")

    with a_hospital(tmp_path / "two", PUBLIC, discovery=discovery) as hospital:
        taken = hospital.launches(faults=Faults(id_token_issuer=FOREIGN))
    assert taken.status_code == 200


def test_s11_a34_an_id_token_without_kid_is_checked_against_every_key(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(id_token_without_kid=True))

    assert page.status_code == 200
    assert "CT chest" in page.text


@pytest.mark.parametrize("skew_s", [45, -45])
def test_s11_a34_a_clock_that_is_a_little_off_is_tolerated(hospital: Hospital, skew_s: int) -> None:
    assert hospital.launches(faults=Faults(clock_skew_s=skew_s)).status_code == 200


@pytest.mark.parametrize(("skew_s", "fault"), [(600, "dated in the future"), (-600, "has expired")])
def test_s11_a34_a_clock_that_is_far_off_is_named(hospital: Hospital, skew_s: int, fault: str) -> None:
    words = assert_explained(hospital.launches(faults=Faults(clock_skew_s=skew_s)), Reason.IDENTITY_INVALID)

    assert fault in words
