"""What the demo starts, decided from its command line (issue 2, items 1 and 9)."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from ehr_sandbox.demo_sr import LUNG_RADS_SCHEME
from ehr_sandbox.demo_study import ACCESSION_SYSTEM, ISSUER_OF_PATIENT_ID, MRN_SYSTEM
from ehr_sandbox.settings import demo_clients
from fhir_imaging.errors import ConfigurationError
from imaging_cds import demo, demo_plan
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.demo_trust import TrustedCdsClient, TrustedIssuer
from imaging_cds.settings import load
from pacs_sync.settings import ResourceIds, SyncSettings

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


@pytest.mark.parametrize("where", [{"fhir_url": "https://fhir.example/r4"}, {"pacs_url": "https://pacs.example/dicom-web"}])
def test_a_crowded_patient_comes_by_the_archive_so_a_foreign_one_has_to_be_seeded(where: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="--crowded needs --seed"):
        demo_plan.check_options(replace(OPTIONS, crowded=10, **where))
    demo_plan.check_options(replace(OPTIONS, crowded=10, seed=True, **where))


def test_patients_see_what_was_released_long_enough_ago() -> None:
    assert demo_plan.app_table(OPTIONS)["rules"] == {"patient_results": "released", "release_after_hours": 240}


def synced(options: DemoOptions, tmp_path: Path) -> tuple[SyncSettings, ...]:
    config = tmp_path / "app.toml"
    config.write_text(tomli_w.dumps(demo_plan.app_table(options)))
    return load(config).sync


def test_studies_are_brought_into_the_sandbox_ehr_by_a_client_that_may_do_just_that(tmp_path: Path) -> None:
    (sync,) = synced(OPTIONS, tmp_path)
    (client,) = [one for one in demo_clients(OPTIONS.app_url) if one.client_id == sync.target.backend_client_id]

    assert sync.target.fhir_base == "http://127.0.0.1:8001/fhir"
    assert sync.target.ids is ResourceIds.STUDY_UID
    assert sync.endpoint_address == OPTIONS.gateway_root
    assert tuple(sync.target.backend_scopes.split()) == client.scopes
    assert not [scope for scope in client.scopes if "d" in scope.rpartition(".")[2]], "nothing is deleted"
    assert [(one.system, one.issuer_of_patient_id) for one in sync.patients] == [(MRN_SYSTEM, ISSUER_OF_PATIENT_ID)]
    assert set(sync.accession_systems.values()) == {ACCESSION_SYSTEM}
    assert LUNG_RADS_SCHEME in sync.coding_schemes


def test_somebody_elses_fhir_server_gets_no_studies_unless_it_is_to_have_the_demo_patients(tmp_path: Path) -> None:
    foreign = replace(OPTIONS, fhir_url="http://127.0.0.1:9999/fhir")

    assert synced(foreign, tmp_path) == ()
    assert demo.sync_spec(foreign) is None
    assert "are not written into your FHIR server" in str(demo.where_to_click(foreign).renderable)
    assert len(synced(replace(foreign, seed=True), tmp_path)) == 1
    assert demo.sync_spec(replace(foreign, seed=True)) is not None


def test_somebody_elses_archive_is_looked_at_as_any_hospitals(tmp_path: Path) -> None:
    (own,), (foreign,) = (
        synced(OPTIONS, tmp_path),
        synced(replace(OPTIONS, pacs_url="http://127.0.0.1:8042/dicom-web"), tmp_path),
    )

    assert own.pace.interval_s < 10 < foreign.pace.interval_s
    assert own.pace.overlap_days > 10000 > foreign.pace.overlap_days
    (crowded,) = synced(replace(OPTIONS, crowded=1000), tmp_path)
    assert crowded.pace.interval_s == 20, "looking through a thousand studies takes a second of a processor"
