"""The settings of an installation are read whole: every fault at once, no plain http by accident (STYLE 9)."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from cds_service.settings import ClientAuthentication
from fhir_imaging.errors import ConfigurationError
from imaging_cds.cli import main
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.demo_trust import TrustedCdsClient, TrustedIssuer
from imaging_cds.settings import ApplicationSettings, Component, from_table, load


def a_table(**changes: Any) -> dict[str, Any]:
    """The least that an installation must say."""
    return {
        "public_base_url": "https://imaging.example",
        "state": {"state_dir": "state"},
        "ehr": [{"name": "hospital", "fhir_base": "https://ehr.example/fhir"}],
        "pacs": [{"name": "main", "dicomweb_root": "https://pacs.example/dicom-web"}],
        **changes,
    }


def an_ehr(**changes: Any) -> dict[str, Any]:
    return {"name": "hospital", "fhir_base": "https://ehr.example/fhir", **changes}


def problems_of(table: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        from_table(table)
    return list(refused.value.problems)


def test_the_least_table_runs_every_component_and_asks_callers_to_prove_themselves() -> None:
    settings = from_table(a_table())

    assert settings.components == (Component.CDS_SERVICE, Component.SMART_APP, Component.IMAGING_SERVER)
    assert settings.cds.client_authentication is ClientAuthentication.REQUIRED
    assert not settings.allow_http


def test_every_fault_of_every_section_is_listed_at_once() -> None:
    table = a_table(
        state={},
        cds={"client_authentication": "perhaps"},
        smart_app="all",
        imaging_server={"decision_cache": 5},
        ehr=[an_ehr(client_auth="secret"), {"name": "other"}],
        components=["pacs"],
        server={"port": "eighty"},
        prot=1,
    )

    assert problems_of(table) == [
        "prot: there is no such setting.",
        "state.state_dir: must be given.",
        "cds.client_authentication: must be one of required, off.",
        "smart_app: must be a table.",
        "imaging_server.decision_cache: there is no such setting.",
        "ehr[0].client_auth: must be one of public, client_secret_basic, private_key_jwt.",
        "ehr[1].fhir_base: must be given.",
        "components[0]: must be one of cds_service, smart_app, imaging_server.",
        "server.port: must be a number.",
    ]


def test_nothing_but_the_address_the_state_and_the_ehrs_must_be_given() -> None:
    assert problems_of({}) == [
        "public_base_url: must be given.",
        "state: must be given.",
        "cds.public_base_url: must be given.",
        "smart_app.public_base_url: must be given.",
        "imaging_server.public_base_url: must be given.",
        "ehr: must be given.",
    ]


def test_contradictions_are_listed_together() -> None:
    table = a_table(
        ehr=[an_ehr(), an_ehr(fhir_base="https://other.example/fhir"), an_ehr(name="Big One", frame_ancestors=["chart"])],
        pacs=[{"name": "", "dicomweb_root": "ftp://pacs.example"}],
    )

    assert problems_of(table) == [
        "ehr: the name 'hospital' is used more than once.",
        "ehr: the name 'Big One' may hold only a-z, 0-9 and hyphens.",
        "pacs: the name '' may hold only a-z, 0-9 and hyphens.",
        "ehr.Big One: 'chart' is not an http(s) URL.",
        "pacs..dicomweb_root: 'ftp://pacs.example' is not an http(s) URL.",
    ]


PLAIN_HTTP = [
    ({"public_base_url": "http://imaging.example"}, "public_base_url"),
    ({"ehr": [an_ehr(fhir_base="http://ehr.example/fhir")]}, "ehr.hospital.fhir_base"),
    ({"ehr": [an_ehr(jwks_url="http://ehr.example/jwks")]}, "ehr.hospital.jwks_url"),
    ({"ehr": [an_ehr(introspection_url="http://ehr.example/introspect")]}, "ehr.hospital.introspection_url"),
    ({"ehr": [an_ehr(imaging_base="http://ehr.example/imaging")]}, "ehr.hospital.imaging_base"),
    ({"ehr": [an_ehr(token_origins=["http://pacs.example"])]}, "ehr.hospital"),
    ({"ehr": [an_ehr(server_origins=["http://login.example"])]}, "ehr.hospital"),
    ({"pacs": [{"name": "main", "dicomweb_root": "http://10.1.2.3/dicom-web"}]}, "pacs.main.dicomweb_root"),
    ({"cds": {"trusted_clients": [{"iss": "chart", "jwks_url": "http://ehr.example/jwks"}]}}, "cds.trusted_clients.chart"),
    (
        {"cds": {"trusted_clients": [{"iss": "chart", "jku_prefixes": ["http://ehr.example/keys"]}]}},
        "cds.trusted_clients.chart",
    ),
    (
        {
            "cds": {
                "trusted_clients": [
                    {"iss": "chart", "jwks_url": "https://ehr.example/jwks", "fhir_servers": ["http://ehr.example/fhir"]}
                ]
            }
        },
        "cds.trusted_clients.chart",
    ),
    ({"ehr": [an_ehr(studies_server={"fhir_base": "http://fed.example"})]}, "ehr.hospital.studies_server.fhir_base"),
    (
        {"ehr": [an_ehr(studies_server={"fhir_base": "https://fed.example", "backend_token_url": "http://fed.example/t"})]},
        "ehr.hospital.studies_server.backend_token_url",
    ),
]


@pytest.mark.parametrize(("changes", "where"), PLAIN_HTTP)
def test_plain_http_to_another_machine_must_be_said(changes: dict[str, Any], where: str) -> None:
    (problem,) = problems_of(a_table(**changes))

    assert problem.startswith(f"{where}: ")
    assert "is plain http" in problem
    assert from_table(a_table(**changes, allow_http=True)).allow_http


@pytest.mark.parametrize("host", ["localhost:8042", "127.0.0.1:8042", "[::1]:8042"])
def test_plain_http_on_this_machine_needs_no_saying(host: str) -> None:
    table = a_table(pacs=[{"name": "main", "dicomweb_root": f"http://{host}/dicom-web"}])

    assert from_table(table).pacs[0].dicomweb_root == f"http://{host}/dicom-web"


def test_the_public_address_and_the_viewer_are_written_once_for_all_components() -> None:
    settings = from_table(a_table(viewer_dir="viewer"))

    addresses = {settings.cds.public_base_url, settings.smart_app.public_base_url, settings.imaging_server.public_base_url}
    assert addresses == {"https://imaging.example"}
    assert settings.smart_app.viewer_dir == Path("viewer")


def test_a_component_deployed_apart_has_its_own_address() -> None:
    settings = from_table(
        a_table(
            cds={"public_base_url": "https://cds.example", "app_base_url": "https://app.example"}, components=["cds_service"]
        )
    )

    assert settings.cds.public_base_url == "https://cds.example"
    assert settings.smart_app.public_base_url == "https://imaging.example"
    assert settings.components == (Component.CDS_SERVICE,)


def test_a_file_is_read_with_the_environment_over_it(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text(tomli_w.dumps(a_table()))
    environment = {
        "IMAGING_CDS__EHR__HOSPITAL__CLIENT_SECRET": "from-outside",
        "IMAGING_CDS__STATE__DATABASE_URL": "sqlite:///elsewhere.db",
        "IMAGING_CDS__SERVER__PORT": "9000",
        "IMAGING_CDS_CONFIG": "not a setting",
    }

    settings = load(path, environment)

    assert settings.ehr[0].client_secret == "from-outside"
    assert settings.state.database_url == "sqlite:///elsewhere.db"
    assert settings.server.port == 9000
    assert "from-outside" not in repr(settings)
    assert "elsewhere" not in repr(settings)


def test_a_misspelt_variable_is_a_fault_like_a_misspelt_key(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text(tomli_w.dumps(a_table()))

    with pytest.raises(ConfigurationError) as refused:
        load(path, {"IMAGING_CDS__SERVER__PROT": "9000"})

    assert refused.value.problems == ["server.prot: there is no such setting."]


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("public_base_url = ")

    for path, said in ((tmp_path / "none.toml", "cannot be read"), (broken, "is not TOML")):
        with pytest.raises(ConfigurationError) as refused:
            load(path, {})
        assert len(refused.value.problems) == 1
        assert str(path) in refused.value.problems[0]
        assert said in refused.value.problems[0]


def test_wrong_settings_end_the_command_with_2_and_all_faults_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "app.toml"
    path.write_text("allow_http = 3\n")

    assert main(["config", "--config", str(path)]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "imaging-cds: public_base_url: must be given.\n" in printed.err
    assert "imaging-cds: allow_http: must be true or false.\n" in printed.err


def the_demo(tmp_path: Path, **options: Any) -> ApplicationSettings:
    written = tomli_w.dumps(app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer", **options)))
    path = tmp_path / "app.toml"
    path.write_text(written)
    return load(path, {})


def test_the_demos_table_loads(tmp_path: Path) -> None:
    settings = the_demo(tmp_path)

    assert [ehr.name for ehr in settings.ehr] == ["sandbox"]
    assert [pacs.name for pacs in settings.pacs] == ["demo"]
    assert not settings.allow_http
    assert settings.smart_app.redirect_uri == "http://localhost:8000/callback"
    assert settings.imaging_server.dicomweb_root("sandbox", "demo") == "http://localhost:8000/imaging/sandbox/dicom-web/demo"


def test_the_demos_table_loads_with_outsiders_too(tmp_path: Path) -> None:
    settings = the_demo(
        tmp_path,
        pacs_url="http://10.0.0.9/dicom-web",
        pacs_user="orthanc",
        trusted_issuers=(TrustedIssuer(url="https://launcher.example/v/r4", client_id="mine"),),
        trusted_cds_clients=(TrustedCdsClient(issuer="https://hooks.example", keys="https://hooks.example/jwks.json"),),
    )

    assert settings.allow_http
    assert settings.ehr[1].client_id == "mine"
    assert settings.cds.trusted_clients[1].cors_origins == ("https://hooks.example",)


@pytest.mark.parametrize("components", [["cds_service"], ["cds_service", "imaging_server"]])
def test_cards_never_link_to_an_app_that_does_not_run(components: list[str]) -> None:
    """R30: without the SMART app beside it the CDS service must be told where the app is."""
    alone = problems_of(a_table(components=components))

    assert alone == ["cds.app_base_url: must be given where smart_app does not run here: the links of cards lead to it."]
    told = from_table(a_table(components=components, cds={"app_base_url": "https://app.example"}))
    assert told.cds.app_url == "https://app.example"


@pytest.mark.parametrize("components", [["smart_app"], ["imaging_server"], ["cds_service", "smart_app"]])
def test_no_address_of_the_app_is_needed_where_it_runs_or_no_card_is_made(components: list[str]) -> None:
    assert from_table(a_table(components=components)).cds.app_url == "https://imaging.example"
