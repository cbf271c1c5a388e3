"""Which EHR an ``iss`` names, and what an origin is (APP-A4, smart-imaging groups 24 and 25)."""

import pytest

from fhir_imaging.settings import EhrSettings, find_ehr_by_iss, is_loopback, origin_of

HOSPITAL = EhrSettings(name="hospital", fhir_base="https://ehr.example/fhir")
LAUNCHER = EhrSettings(name="launcher", fhir_base="https://launcher.example/v/r4", iss_is_prefix=True)


@pytest.mark.parametrize("iss", ["https://ehr.example/fhir/", "https://EHR.example/fhir", "http://ehr.example/fhir", "x"])
def test_an_issuer_is_matched_byte_for_byte(iss: str) -> None:
    assert find_ehr_by_iss((HOSPITAL,), "https://ehr.example/fhir") is HOSPITAL
    assert find_ehr_by_iss((HOSPITAL,), iss) is None


def test_a_launcher_is_matched_below_its_base_on_segment_boundaries() -> None:
    assert find_ehr_by_iss((LAUNCHER,), "https://launcher.example/v/r4/sim/abc/fhir") is LAUNCHER
    for foreign in (
        "https://launcher.example/v/r4x/fhir",
        "https://launcher.example/v/r4/../x",
        "https://launcher.example/v/r4/%2e",
    ):
        assert find_ehr_by_iss((LAUNCHER,), foreign) is None
    assert find_ehr_by_iss((LAUNCHER,), "https://launcher.example/v/r4/fhir?x=1") is None


def test_secrets_do_not_show() -> None:
    assert "s3cret" not in repr(EhrSettings(name="a", fhir_base="https://a.example", client_secret="s3cret"))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.example/x", "https://a.example"),
        ("https://a.example:443/x", "https://a.example"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("http://[::1]:8000/x", "http://[::1]:8000"),
    ],
)
def test_origins_are_written_as_browsers_do(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://a.example", "/relative", "https://"])
def test_what_is_no_http_url_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="not an http"):
        origin_of(url)


def test_loopback_is_told_by_name() -> None:
    assert is_loopback("http://localhost:1/")
    assert is_loopback("http://127.1.2.3/")
    assert not is_loopback("http://10.0.0.1/")
