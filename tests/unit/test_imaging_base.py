"""Which base serves imaging: both places of discovery, both modes, the site's override (D1, D2, D4, D5, C10, P2)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_imaging.clients.smart_metadata import AssociatedEndpoint, SmartMetadata
from fhir_imaging.settings import EhrSettings
from smart_app.imaging_base import (
    APP_LAUNCH_MODE,
    BACKEND_MODE,
    GUESSED,
    IMAGING_CAPABILITY,
    MODE_NOT_STATED,
    NO_ADDRESS,
    ONLY_BACKEND,
    ImagingBase,
    find_imaging_base,
)

EHR = "https://ehr.example/fhir"
IMAGES = "https://images.example/fhir"
CONFIGURED = "https://configured.example/fhir"
WITH_LAUNCH = (IMAGING_CAPABILITY, APP_LAUNCH_MODE)
WITH_BACKEND = (IMAGING_CAPABILITY, BACKEND_MODE)


def found(*associated: AssociatedEndpoint, own: tuple[str, ...] = (), **settings: Any) -> ImagingBase:
    metadata = SmartMetadata(
        authorization_endpoint=f"{EHR}/authorize",
        token_endpoint=f"{EHR}/token",
        capabilities=("launch-ehr", *own),
        associated_endpoints=associated,
    )
    return find_imaging_base(EhrSettings(name="hospital", fhir_base=EHR, **settings), metadata, EHR)


def test_d1_the_ehr_itself_serves_imaging_where_its_own_capabilities_say_so() -> None:
    assert found(own=WITH_LAUNCH) == ImagingBase(url=EHR, is_stated=True, mode_asserted=False)


def test_d1_an_associated_endpoint_that_says_so_goes_before_the_ehr_itself() -> None:
    elsewhere = AssociatedEndpoint("https://documents.example", ("smart-app-state",))
    base = found(elsewhere, AssociatedEndpoint(IMAGES, WITH_LAUNCH), own=WITH_LAUNCH)

    assert base == ImagingBase(url=IMAGES, is_stated=True, mode_asserted=False)


def test_d4_both_modes_listed_serve_a_launch() -> None:
    assert found(AssociatedEndpoint(IMAGES, (*WITH_LAUNCH, BACKEND_MODE))).url == IMAGES


@pytest.mark.parametrize("own", [False, True])
def test_c10_a_base_for_backend_services_only_is_explained_and_not_used(own: bool) -> None:
    base = found(own=WITH_BACKEND) if own else found(AssociatedEndpoint(IMAGES, WITH_BACKEND))

    assert (base.url, base.is_stated) == (EHR, False)
    assert base.notes == (ONLY_BACKEND, GUESSED)


def test_d5_a_mode_that_is_not_stated_is_not_assumed() -> None:
    base = found(AssociatedEndpoint(IMAGES, (IMAGING_CAPABILITY,)))

    assert (base.url, base.is_stated) == (EHR, False)
    assert base.notes == (MODE_NOT_STATED, GUESSED)


def test_p2_the_site_may_assert_the_mode_that_an_earlier_draft_could_not_state() -> None:
    base = found(AssociatedEndpoint(IMAGES, (IMAGING_CAPABILITY,)), imaging_mode_asserted=True)

    assert base == ImagingBase(url=IMAGES, is_stated=True, mode_asserted=True)


def test_d4_the_sites_word_does_not_turn_backend_services_into_a_launch() -> None:
    assert found(AssociatedEndpoint(IMAGES, WITH_BACKEND), imaging_mode_asserted=True).url == EHR


def test_d5_a_configured_base_serves_where_discovery_offers_none() -> None:
    assert found(imaging_base=CONFIGURED) == ImagingBase(url=CONFIGURED, is_stated=True, mode_asserted=True)


def test_d5_a_configured_base_serves_where_discovery_offers_only_backend_services() -> None:
    base = found(AssociatedEndpoint(IMAGES, WITH_BACKEND), imaging_base=CONFIGURED)

    assert (base.url, base.mode_asserted, base.notes) == (CONFIGURED, True, ())


def test_d5_discovery_goes_before_the_settings() -> None:
    assert found(AssociatedEndpoint(IMAGES, WITH_LAUNCH), imaging_base=CONFIGURED).url == IMAGES


def test_d5_of_several_offers_the_configured_one_is_taken() -> None:
    base = found(AssociatedEndpoint(IMAGES, WITH_LAUNCH), AssociatedEndpoint(CONFIGURED, WITH_LAUNCH), imaging_base=CONFIGURED)

    assert (base.url, base.mode_asserted) == (CONFIGURED, False)


def test_without_any_word_the_ehr_is_asked_and_that_is_said() -> None:
    assert found() == ImagingBase(url=EHR, is_stated=False, mode_asserted=False, notes=(GUESSED,))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://images.example", "images", "https://[broken"])
def test_group_25_an_address_that_is_none_is_said_and_not_used(url: str) -> None:
    base = found(AssociatedEndpoint(url, WITH_LAUNCH))

    assert (base.url, base.notes) == (EHR, (NO_ADDRESS, GUESSED))


@pytest.mark.parametrize("behind", ["?key=synthetic", "#key"])
def test_d5_a_base_that_no_path_can_be_appended_to_is_no_address(behind: str) -> None:
    """The question went to another path than meant, and the page that said so showed the key."""
    assert found(AssociatedEndpoint(f"{IMAGES}{behind}", WITH_LAUNCH)).notes == (NO_ADDRESS, GUESSED)
