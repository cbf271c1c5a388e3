"""A configuration that cannot work is refused at start, with every fault in it (DESIGN §8, STYLE 9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import EhrSettings, Ownership, PacsSettings
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule, check_settings

SETTINGS = ImagingServerSettings(public_base_url="https://imaging.example")
EHR = EhrSettings(name="north", fhir_base="https://ehr.example/fhir")
PACS = PacsSettings(name="main", dicomweb_root="https://pacs.example/dicom-web", password="archive-password", user="u")


def test_plain_configuration_works() -> None:
    check_settings(SETTINGS, (EHR,), (PACS,))

    assert SETTINGS.dicomweb_root("north", "main") == "https://imaging.example/imaging/north/dicom-web/main"
    assert SETTINGS.base_of("north") == "https://imaging.example/imaging/north"
    assert SETTINGS.browser_origins == {"https://imaging.example"}


def test_ownership_by_identifier_is_refused_until_it_is_built() -> None:
    """Issue 5: it must not look as if it were checked."""
    with pytest.raises(ConfigurationError, match="ownership = 'identifier' is not offered"):
        check_settings(SETTINGS, (replace(EHR, ownership=Ownership.IDENTIFIER),), (PACS,))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"public_base_url": "imaging.example"}, "public_base_url"),
        ({"public_base_url": "https://imaging.example/?a=1"}, "public_base_url"),
        ({"decision_cache_s": 61.0}, "decision_cache_s"),
        ({"decision_cache_s": 0.0}, "decision_cache_s"),
        ({"token_leeway_s": 121}, "token_leeway_s"),
        ({"token_leeway_s": -1}, "token_leeway_s"),
        ({"audit_window_s": 0}, "audit_window_s"),
        ({"allowed_origins": ("*",)}, r"'\*' is not offered"),
        ({"allowed_origins": ("https://viewer.example/path",)}, "is not an origin"),
        ({"allowed_origins": ("null",)}, "is not an origin"),
        ({"pacs_by_ehr": {"west": ("main",)}}, "the EHR west"),
        ({"pacs_by_ehr": {"north": ("other",)}}, "the archive other"),
        ({"patient_identifiers": {"west": PatientIdentifierRule(system="x")}}, "the EHR west"),
    ],
)
def test_faulty_setting_is_named(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        check_settings(replace(SETTINGS, **changes), (EHR,), (PACS,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dicomweb_root": "ftp://pacs.example"}, "dicomweb_root"),
        ({"dicomweb_root": "https://user:pw@pacs.example/x"}, "dicomweb_root"),
        ({"dicomweb_root": "https://pacs.example/x?a=1"}, "dicomweb_root"),
        ({"bearer_token": "archive-token"}, "not both"),
    ],
)
def test_faulty_archive_is_named(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        check_settings(SETTINGS, (EHR,), (replace(PACS, **changes),))  # type: ignore[arg-type]


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        check_settings(
            replace(SETTINGS, decision_cache_s=100.0, audit_window_s=0),
            (replace(EHR, ownership=Ownership.IDENTIFIER),),
            (PACS,),
        )

    assert len(refusal.value.problems) == 3


def test_archives_may_be_kept_to_named_ehrs() -> None:
    settings = replace(SETTINGS, pacs_by_ehr={"north": ("main",), "south": ()})

    assert settings.may_reach("north", "main")
    assert not settings.may_reach("south", "main")
    assert settings.may_reach("another", "main")


def test_passwords_are_not_shown() -> None:
    assert "archive-password" not in repr(PACS)
