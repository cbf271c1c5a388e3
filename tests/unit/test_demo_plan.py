"""What the demo starts, decided from its command line (issue 2, items 1 and 9)."""

from dataclasses import replace
from pathlib import Path

import pytest

from fhir_imaging.errors import ConfigurationError
from imaging_cds import demo_plan
from imaging_cds.demo_plan import DemoOptions, TrustedCdsClient, TrustedIssuer

OPTIONS = DemoOptions(directory=Path("d"), viewer_dir=Path("v"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://l.example/v/r4", TrustedIssuer(url="https://l.example/v/r4", client_id="imaging-cds")),
        ("https://l.example/v/r4=my-app", TrustedIssuer(url="https://l.example/v/r4", client_id="my-app")),
        ("https://l.example/sim/abc=/fhir", TrustedIssuer(url="https://l.example/sim/abc=/fhir", client_id="imaging-cds")),
        ("https://l.example/sim/abc=", TrustedIssuer(url="https://l.example/sim/abc=", client_id="imaging-cds")),
    ],
)
def test_trusted_issuers_are_parsed(text: str, expected: TrustedIssuer) -> None:
    assert demo_plan.parse_trusted_issuer(text) == expected


def test_what_cannot_be_parsed_is_refused() -> None:
    with pytest.raises(ValueError, match="not an http"):
        demo_plan.parse_trusted_issuer("launcher")
    with pytest.raises(ValueError, match="write it as"):
        demo_plan.parse_trusted_cds_client("https://client.example")


def test_all_contradictions_are_listed_at_once() -> None:
    wrong = replace(
        OPTIONS,
        ehr_port=8000,
        pacs_port=70000,
        fhir_url="nowhere",
        pacs_user="u",
        trusted_cds_clients=(TrustedCdsClient(issuer="https://c.example", keys="missing.json"),),
    )

    with pytest.raises(ConfigurationError) as refused:
        demo_plan.check_options(wrong)

    assert len(refused.value.problems) == 5
    demo_plan.check_options(OPTIONS)


def test_the_app_and_the_ehr_are_different_sites_and_trust_each_other() -> None:
    table = demo_plan.app_table(replace(OPTIONS, port=9000, ehr_port=9001))

    (ehr,) = table["ehr"]
    assert table["public_base_url"] == "http://localhost:9000"
    assert ehr["fhir_base"] == "http://127.0.0.1:9001/fhir"
    assert ehr["frame_ancestors"] == ["http://127.0.0.1:9001"]
    assert not table["allow_http"]


def test_outsiders_are_added_by_name_and_plain_http_is_said() -> None:
    table = demo_plan.app_table(
        replace(
            OPTIONS,
            pacs_url="http://10.0.0.5:8042/dicom-web/",
            pacs_user="orthanc",
            trusted_issuers=(TrustedIssuer(url="https://l.example/v/r4", client_id="x"),),
            trusted_cds_clients=(TrustedCdsClient(issuer="https://sandbox.example", keys="https://sandbox.example/jwks.json"),),
        )
    )

    assert table["allow_http"]
    assert table["pacs"] == [{"name": "demo", "dicomweb_root": "http://10.0.0.5:8042/dicom-web", "user": "orthanc"}]
    assert table["ehr"][1]["client_id"] == "x"
    assert table["ehr"][1]["iss_is_prefix"]


def test_a_crowded_patient_is_only_there_when_asked_for_and_within_reason() -> None:
    assert OPTIONS.crowded == 0
    with pytest.raises(ConfigurationError) as refused:
        demo_plan.check_options(replace(OPTIONS, crowded=1_000_000))
    assert "--crowded 1000000" in refused.value.problems[0]


def test_patients_see_what_was_released_long_enough_ago() -> None:
    assert demo_plan.app_table(OPTIONS)["rules"] == {"patient_results": "released", "release_after_hours": 240}
