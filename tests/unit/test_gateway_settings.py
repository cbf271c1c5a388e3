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
TOKEN = {"token_url": "https://login.example/token", "client_id": "gateway", "client_secret": "the-secret"}


def test_plain_configuration_works() -> None:
    check_settings(SETTINGS, (EHR,), (PACS,))

    assert SETTINGS.dicomweb_root("north", "main") == "https://imaging.example/imaging/north/dicom-web/main"
    assert SETTINGS.base_of("north") == "https://imaging.example/imaging/north"
    assert SETTINGS.browser_origins == {"https://imaging.example"}


def test_ownership_by_identifier_is_refused_where_nothing_is_compared() -> None:
    """Issue 5: it must not look as if it were checked."""
    with pytest.raises(ConfigurationError, match=r"ownership = .identifier. needs"):
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
        ({**TOKEN, "bearer_token": "x"}, "a bearer token or a user or token_url"),
        ({**TOKEN, "user": None, "client_secret": None}, "token_url needs client_id and client_secret"),
        ({**TOKEN, "user": None, "client_id": ""}, "token_url needs client_id and client_secret"),
        ({**TOKEN, "user": None, "token_url": "https://login.example/token?a=1"}, "token_url must be"),
        ({**TOKEN, "user": None, "token_url": "login.example/token"}, "token_url must be"),
        ({"token_scope": "read"}, "token_scope says nothing without token_url"),
        ({"max_connections": 0}, "max_connections"),
        ({"studies_per_search": 0}, "studies_per_search"),
        ({"headers": {"Authorization": "Bearer x"}}, "Authorization may not be set here"),
        ({"headers": {"authorization": "Bearer x"}}, "authorization may not be set here"),
        ({"headers": {"Cookie": "a=b"}}, "Cookie may not be set here"),
        ({"headers": {"HOST": "evil.example"}}, "HOST may not be set here"),
        ({"headers": {"X-Forwarded-Host": "evil.example"}}, "X-Forwarded-Host may not be set here"),
        ({"headers": {"Forwarded": "host=a"}}, "Forwarded may not be set here"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "Transfer-Encoding may not be set here"),
        ({"headers": {"Range": "bytes=0-1"}}, "Range may not be set here"),
        ({"headers": {"Accept": "*/*"}}, "Accept may not be set here"),
        ({"headers": {"X Tenant": "a"}}, "no header name"),
        ({"headers": {"": "a"}}, "no header name"),
        ({"headers": {"X-Tenant:": "a"}}, "no header name"),
        ({"headers": {"X-Tenant": "a\r\nHost: b"}}, "visible ASCII without line breaks"),
        ({"headers": {"X-Tenant": "ä"}}, "visible ASCII without line breaks"),
        ({"headers": {"X-Tenant": ""}}, "visible ASCII without line breaks"),
        ({"headers": {"X-Tenant": "a", "x-tenant": "b"}}, "x-tenant is given more than once"),
    ],
)
def test_faulty_archive_is_named(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        check_settings(SETTINGS, (EHR,), (replace(PACS, **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {**TOKEN, "user": None, "token_scope": "read", "token_audience": "https://archive.example"},
        {"headers": {"X-Tenant": "hospital a", "Ocp-Apim-Subscription-Key": "0123"}},
        {"dicomweb_root": "https://archive.example/v1/projects/p/dicomStores/s/dicomWeb"},
        {"studies_per_search": 1},
    ],
    ids=["token", "headers", "prefix", "one by one"],
)
def test_archive_in_a_cloud_can_be_written_down(changes: dict[str, object]) -> None:
    check_settings(SETTINGS, (EHR,), (replace(PACS, **changes),))  # type: ignore[arg-type]


def test_secrets_of_an_archive_are_not_shown() -> None:
    archive = replace(PACS, client_secret="the-secret", headers={"X-Api-Key": "the-key"})

    assert "the-secret" not in repr(archive)
    assert "the-key" not in repr(archive)


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


def test_word_about_an_imaging_base_needs_one() -> None:
    with pytest.raises(ConfigurationError, match="says nothing without an imaging_base"):
        check_settings(SETTINGS, (replace(EHR, imaging_base_has_ehr_ids=True),), (PACS,))


CLIENT = {"introspection_client_id": "gateway", "introspection_client_secret": "the-secret"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"opaque_tokens": True, "jwks_url": "https://ehr.example/jwks"}, "leave out jwks_url"),
        ({"opaque_tokens": True, "introspection_url": "https://ehr.example/introspect", **CLIENT}, "leave out jwks_url"),
        ({"opaque_tokens": True, **CLIENT}, "leave out jwks_url"),
        ({"introspection_url": "https://ehr.example/introspect"}, "introspection needs"),
        ({"introspection_client_id": "gateway"}, "introspection needs"),
        ({"introspection_client_secret": "the-secret"}, "introspection needs"),
        ({**CLIENT, "introspection_client_secret": ""}, "introspection needs"),
    ],
    ids=str,
)
def test_ways_of_checking_tokens_that_do_not_go_together_are_named(changes: dict[str, object], problem: str) -> None:
    """Otherwise tokens would be checked by another means than the site believes."""
    with pytest.raises(ConfigurationError, match=problem):
        check_settings(SETTINGS, (replace(EHR, **changes),), (PACS,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"opaque_tokens": True},
        CLIENT,
        {"introspection_url": "https://ehr.example/introspect", **CLIENT},
        {"jwks_url": "https://ehr.example/jwks"},
    ],
    ids=str,
)
def test_each_way_of_checking_tokens_alone_works(changes: dict[str, object]) -> None:
    check_settings(SETTINGS, (replace(EHR, **changes),), (PACS,))  # type: ignore[arg-type]


@pytest.mark.parametrize("system", ["", "  "])
def test_identifier_rule_without_a_system_is_refused(system: str) -> None:
    """It would match identifiers that name no system."""
    rules = {"north": PatientIdentifierRule(system=system, is_only_issuer=True)}
    with pytest.raises(ConfigurationError, match="system must not be empty"):
        check_settings(replace(SETTINGS, patient_identifiers=rules), (EHR,), (PACS,))


ONLY_ONE = {name: PatientIdentifierRule(system=f"https://{name}.example/mrn", is_only_issuer=True) for name in ("one", "two")}


@pytest.mark.parametrize(
    ("rules", "reaches", "is_refused"),
    [
        (ONLY_ONE, {}, True),
        (ONLY_ONE, {"one": ("main",)}, True),
        (ONLY_ONE, {"one": ("main",), "two": ("other",)}, False),
        (dict.fromkeys(("one", "two"), ONLY_ONE["one"]), {}, False),
    ],
    ids=["all archives", "one archive", "an archive each", "one system"],
)
def test_numbers_of_two_ehrs_that_an_archive_cannot_tell_apart_are_refused(
    rules: dict[str, PatientIdentifierRule], reaches: dict[str, tuple[str, ...]], is_refused: bool
) -> None:
    ehrs = tuple(replace(EHR, name=name, fhir_base=f"https://{name}.example/fhir") for name in ("one", "two"))
    archives = tuple(replace(PACS, name=name) for name in ("main", "other"))
    settings = replace(SETTINGS, patient_identifiers=rules, pacs_by_ehr=reaches)

    if is_refused:
        with pytest.raises(ConfigurationError, match="both say is_only_issuer"):
            check_settings(settings, ehrs, archives)
    else:
        check_settings(settings, ehrs, archives)
