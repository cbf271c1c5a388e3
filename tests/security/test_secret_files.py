"""Secrets come out of files, and no fault, warning or printed setting repeats one.

Spec: STYLE 9 (secrets only by environment or file).
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import tomli_w

from fhir_imaging.errors import ConfigurationError
from imaging_cds.cli import main
from imaging_cds.secret_files import LARGEST_BYTES, given_secrets, secret_names
from imaging_cds.settings import ApplicationSettings, load, remarks_on
from tests.conftest import free_port_number
from tests.unit.test_settings_table import settings_dataclasses

SECRET = "correct-horse-battery-staple"
PASSWORD_FILE = "IMAGING_CDS__PACS__MAIN__PASSWORD_FILE"
SECTIONS: dict[str, str] = {
    "StateSettings": "state",
    "MetricsSettings": "metrics",
    "TelemetrySettings": "telemetry",
    "AuditSettings": "audit",
    "EhrSettings": "ehr.hospital",
    "StudiesServerSettings": "ehr.hospital.studies_server",
    "PacsSettings": "pacs.main",
    "TargetSettings": "sync.main.target",
}
"""Where each dataclass that has secrets stands in the settings below."""
ALL_SECRETS = sorted(
    f"{SECTIONS[kind.__name__]}.{name}" for kind in settings_dataclasses(ApplicationSettings) for name in secret_names(kind)
)

AUDIT_BESIDE: dict[str, dict[str, Any]] = {
    "audit.fhir_password": {"fhir_base": "https://audit.example", "fhir_user": "u"},
    "audit.fhir_bearer_token": {"fhir_base": "https://audit.example"},
    "audit.fhir_client_secret": {
        "fhir_base": "https://audit.example",
        "fhir_token_url": "https://audit.example/t",
        "fhir_client_id": "c",
    },
}
"""Secrets that mean nothing without an address or a user beside them."""


def a_table(**changes: Any) -> dict[str, Any]:
    return {
        "public_base_url": "https://imaging.example",
        "state": {"state_dir": "state"},
        "ehr": [
            {"name": "hospital", "fhir_base": "https://ehr.example/fhir", "studies_server": {"fhir_base": "https://s.example"}}
        ],
        "pacs": [{"name": "main", "dicomweb_root": "https://pacs.example/dicom-web"}],
        "sync": [
            {
                "name": "main",
                "pacs": "main",
                "endpoint_address": "https://imaging.example/imaging/hospital/dicom-web/main",
                "target": {"fhir_base": "https://fhir.example/r4"},
                "patients": [{"system": "https://hospital.example/mrn", "is_only_issuer": True}],
            }
        ],
        **changes,
    }


def written(directory: Path, table: dict[str, Any]) -> Path:
    path = directory / "app.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def a_secret(directory: Path, content: str | bytes = SECRET + "\n", *, mode: int = 0o400) -> Path:
    path = directory / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def problem_of(path: Path, environment: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(path, environment)
    (problem,) = refused.value.problems
    assert SECRET not in problem
    return problem


def at(settings: Any, name: str) -> Any:
    """A setting by its full name; an entry of a list by its ``name``."""
    found = settings
    for part in name.split("."):
        found = next(one for one in found if one.name == part) if isinstance(found, tuple) else getattr(found, part)
    return found


def variable(name: str) -> str:
    return "IMAGING_CDS__" + name.replace(".", "__").upper() + "_FILE"


@pytest.mark.parametrize("name", [name for name in ALL_SECRETS if not name.endswith("headers")])
def test_every_secret_setting_can_be_a_file_named_in_the_environment(name: str, tmp_path: Path) -> None:
    table = a_table(audit=AUDIT_BESIDE.get(name, {}))
    if name == "sync.main.target.password":
        table["sync"][0]["target"]["user"] = "u"

    settings = load(written(tmp_path, table), {variable(name): str(a_secret(tmp_path))})

    assert at(settings, name) == SECRET
    assert SECRET not in repr(settings)


def test_the_toml_file_can_name_a_secrets_file_too(tmp_path: Path) -> None:
    table = a_table()
    table["pacs"][0]["password_file"] = str(a_secret(tmp_path, SECRET + "\r\n"))

    assert load(written(tmp_path, table), {}).pacs[0].password == SECRET


def test_headers_stand_in_a_file_as_a_message_writes_them(tmp_path: Path) -> None:
    file = a_secret(tmp_path, "X-Api-Key: a:b c\nX-Tenant:  north \n")

    assert load(written(tmp_path, a_table()), {"IMAGING_CDS__PACS__MAIN__HEADERS_FILE": str(file)}).pacs[0].headers == {
        "X-Api-Key": "a:b c",
        "X-Tenant": "north",
    }
    file.chmod(0o600)
    file.write_text(f"X-Tenant: north\n{SECRET}\n")
    assert problem_of(written(tmp_path, a_table()), {"IMAGING_CDS__PACS__MAIN__HEADERS_FILE": str(file)}) == (
        "pacs[0].headers_file: line 2 of the file must be a header, written as Name: value."
    )


def test_spaces_within_a_secret_are_part_of_it(tmp_path: Path) -> None:
    file = a_secret(tmp_path, " two words \n")

    assert load(written(tmp_path, a_table()), {PASSWORD_FILE: str(file)}).pacs[0].password == " two words "


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("  \n", "is empty"),
        (f"{SECRET}\nsecond line\n", "must hold the secret alone, in one line"),
        (f"{SECRET}\0", "must hold the secret alone, in one line"),
        (b"\xff\xfe", "is no text in UTF-8"),
        ("x" * (LARGEST_BYTES + 1), "is larger than any secret"),
    ],
    ids=["empty", "a-line-end", "spaces", "two-lines", "a-nul", "no-text", "too-large"],
)
def test_a_file_that_holds_no_secret_is_a_fault_that_names_the_setting(content: str | bytes, said: str, tmp_path: Path) -> None:
    problem = problem_of(written(tmp_path, a_table()), {PASSWORD_FILE: str(a_secret(tmp_path, content))})

    assert problem.startswith("pacs[0].password_file: ")
    assert said in problem


@pytest.mark.parametrize("path", ["secret", "", "~/secret"])
def test_a_relative_path_is_refused_since_services_start_anywhere(path: str, tmp_path: Path) -> None:
    problem = problem_of(written(tmp_path, a_table()), {PASSWORD_FILE: path})

    assert problem == "pacs[0].password_file: must be the whole path of a file, from / on."


def test_a_file_that_is_missing_or_a_directory_is_named(tmp_path: Path) -> None:
    settings = written(tmp_path, a_table())

    assert problem_of(settings, {PASSWORD_FILE: f"{tmp_path}/none"}) == (
        f"pacs[0].password_file: {tmp_path}/none cannot be read: No such file or directory."
    )
    assert "cannot be read: Is a directory" in problem_of(settings, {PASSWORD_FILE: str(tmp_path)})
    assert "it is no path" in problem_of(settings, {PASSWORD_FILE: "/a\0b"})


def test_a_secret_that_is_given_twice_is_a_fault_and_none_wins_silently(tmp_path: Path) -> None:
    both = {PASSWORD_FILE: str(a_secret(tmp_path)), "IMAGING_CDS__PACS__MAIN__PASSWORD": SECRET}

    assert problem_of(written(tmp_path, a_table()), both) == (
        "pacs[0].password: is given twice, by password_file too; say one of them."
    )


def test_the_environment_goes_over_the_settings_file_by_either_name(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    table = a_table()
    table["pacs"][0]["password_file"] = str(old)
    path = written(tmp_path, table)

    assert load(path, {"IMAGING_CDS__PACS__MAIN__PASSWORD": SECRET}).pacs[0].password == SECRET
    table["pacs"][0] = {**a_table()["pacs"][0], "password": "old"}
    assert load(written(tmp_path, table), {PASSWORD_FILE: str(a_secret(tmp_path))}).pacs[0].password == SECRET


def test_nothing_but_secrets_is_read_from_files(tmp_path: Path) -> None:
    table = a_table()
    table["pacs"][0]["user_file"] = str(a_secret(tmp_path))

    assert problem_of(written(tmp_path, table), {}) == "pacs[0].user_file: there is no such setting."


def test_no_setting_bears_the_name_of_a_secrets_file() -> None:
    for kind in settings_dataclasses(ApplicationSettings):
        names = {one.name for one in fields(kind)}
        assert not names & {f"{name}_file" for name in secret_names(kind)}, kind


def test_a_secret_is_one_text_or_headers() -> None:
    """What the reader of files can make of a file; another kind would need a form of its own."""
    for kind in settings_dataclasses(ApplicationSettings):
        hints = get_type_hints(kind)
        for name in secret_names(kind):
            assert str(hints[name]) in ("str | None", "collections.abc.Mapping[str, str]"), (kind, name)


def test_config_warns_of_secrets_in_the_settings_file_and_of_files_that_others_may_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = {"name": "hospital", "fhir_base": f"https://127.0.0.1:{free_port_number()}/fhir"}
    table = a_table(metrics={"bearer_token": SECRET}, ehr=[nobody], sync=[])
    monkeypatch.setenv(PASSWORD_FILE, str(a_secret(tmp_path, mode=0o444)))
    monkeypatch.setenv("IMAGING_CDS__PACS__MIAN__PASSWORD", SECRET)
    path = written(tmp_path, table)

    assert main(["config", "--config", str(path)]) == 0

    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "imaging-cds: warning: metrics.bearer_token stands in the settings file, so whoever reads the settings has it; put it "
        "into a file and name that in IMAGING_CDS__METRICS__BEARER_TOKEN_FILE.",
        f"imaging-cds: warning: pacs.main.password_file: everybody on this machine may read {tmp_path}/secret; make it 0400 "
        "and the service's own.",
        "imaging-cds: warning: IMAGING_CDS__PACS__MIAN__PASSWORD: the settings have no entry of that name, so it counts for "
        "nothing.",
    ]
    assert SECRET not in printed.out + printed.err
    # `check` says the same; there is no EHR to be asked at this address.
    assert main(["check", "--config", str(path)]) == 1
    assert "metrics.bearer_token stands in the settings file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "is_told"),
    [
        ({"state": {"state_dir": "s", "database_url": "postgresql://imaging@db.example/imaging"}}, False),
        ({"state": {"state_dir": "s", "database_url": f"postgresql://imaging:{SECRET}@db.example/imaging"}}, True),
        ({"pacs": [{"name": "main", "dicomweb_root": "https://pacs.example", "headers": {"X-Tenant": "a"}}]}, False),
        ({"pacs": [{"name": "main", "dicomweb_root": "https://pacs.example", "headers": {"X-Api-Key": SECRET}}]}, True),
    ],
    ids=["address", "address-with-password", "tenant", "api-key"],
)
def test_what_opens_nothing_may_stand_in_the_settings_file(section: dict[str, Any], is_told: bool, tmp_path: Path) -> None:
    told = remarks_on(written(tmp_path, a_table(**section)), {})

    assert bool(told) is is_told
    assert SECRET not in "".join(told)


def test_a_file_of_the_owners_alone_is_no_remark(tmp_path: Path) -> None:
    assert remarks_on(written(tmp_path, a_table()), {PASSWORD_FILE: str(a_secret(tmp_path))}) == []


def test_secrets_are_found_wherever_the_settings_have_them(tmp_path: Path) -> None:
    table = a_table(metrics={"bearer_token": "a"}, imaging_server={"patient_identifiers": {"hospital": {"system": "urn:x"}}})
    table["sync"][0]["target"]["password"] = "b"
    table["ehr"][0]["studies_server"]["bearer_token_file"] = "/c"

    assert sorted((one.name, one.is_file) for one in given_secrets(ApplicationSettings, table)) == [
        ("ehr.hospital.studies_server.bearer_token", True),
        ("metrics.bearer_token", False),
        ("sync.main.target.password", False),
    ]
