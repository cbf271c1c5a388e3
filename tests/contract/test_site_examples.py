"""docs/examples/sites: each example is read as a site would read it, and the whole application starts with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from fhir_imaging.store.engine import Store
from imaging_cds.app import create_app
from imaging_cds.cli import main
from imaging_cds.settings import ApplicationSettings, load, remarks_on
from tests.conftest import CHECKOUT
from tests.contract.tls_actors import TestAuthority

SITES = CHECKOUT / "docs" / "examples" / "sites"
NAMES = sorted(path.stem for path in SITES.glob("*.toml"))
SECRET_LINE = re.compile(r"^\s*# Secret: (IMAGING_CDS__\w+_FILE)$", re.MULTILINE)
OWN_DIRECTORIES = ("/var/lib/imaging-cds", "/var/log/imaging-cds", "/etc/imaging-cds")
CONTENTS = {"DATABASE_URL": "sqlite:///{directory}/state.sqlite3", "HEADERS": "X-Api-Key: synthetic"}
"""What a secret's file holds where it is no password."""


def at_home(name: str, directory: Path) -> Path:
    """The example with a test's directories in place of the site's, and the files that it names in them."""
    text = (SITES / f"{name}.toml").read_text(encoding="utf-8")
    for own in OWN_DIRECTORIES:
        text = text.replace(own, str(directory / own.rpartition("/")[2]))
    for authority in re.findall(r'certificate_authority = "([^"]+)"', text):
        Path(authority).parent.mkdir(exist_ok=True)
        Path(authority).write_bytes(TestAuthority.in_folder(directory / "authority").file.read_bytes())
    path = directory / "app.toml"
    path.write_text(text, encoding="utf-8")
    return path


def secrets_of(name: str, directory: Path) -> dict[str, str]:
    """The variables that the example's comments name, each with a file of its own."""
    named = {}
    for variable in SECRET_LINE.findall((SITES / f"{name}.toml").read_text(encoding="utf-8")):
        kind = next((one for one in CONTENTS if variable.endswith(f"__{one}_FILE")), None)
        file = directory / variable
        file.write_text(CONTENTS[kind].format(directory=directory) if kind else "a-synthetic-secret-of-a-test\n")
        file.chmod(0o400)
        named[variable] = str(file)
    return named


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_that_the_example_names_has_a_place_in_it_and_none_stands_there(name: str, tmp_path: Path) -> None:
    path, secrets = at_home(name, tmp_path), secrets_of(name, tmp_path)

    settings = load(path, secrets)

    assert secrets
    assert remarks_on(path, secrets) == []
    assert len(set_secrets(settings)) == len(secrets), "each of them counts, and there is no other"


@pytest.mark.parametrize("name", NAMES)
def test_config_accepts_the_example(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = at_home(name, tmp_path)
    for variable, file in secrets_of(name, tmp_path).items():
        monkeypatch.setenv(variable, file)

    assert main(["config", "--config", str(path)]) == 0

    printed = capsys.readouterr()
    assert "a-synthetic-secret" not in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_application_starts_with_the_example(name: str, tmp_path: Path) -> None:
    settings = load(at_home(name, tmp_path), secrets_of(name, tmp_path))
    store = Store.open(settings.state)
    store.migrate()
    store.close()

    client = create_app(settings).test_client()

    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json["database"] == "answers"
    assert client.get("/cds-services").status_code in (200, 401)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "region"])
def test_nginx_is_configured_for_the_example(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the region nginx is on machines of its own; there a site writes its own."""
    for variable, file in secrets_of(name, tmp_path).items():
        monkeypatch.setenv(variable, file)

    assert main(["nginx", "--mode", "accel", "--config", str(at_home(name, tmp_path))]) == 0

    assert "a-synthetic-secret" not in capsys.readouterr().out


def set_secrets(settings: ApplicationSettings) -> list[object]:
    """The secrets that are set, however deep they stand."""
    found: list[object] = []

    def look(value: object) -> None:
        described = getattr(value, "__dataclass_fields__", {})
        for name, field in described.items():
            content = getattr(value, name)
            if not field.repr:
                found.extend([content] if content else [])
            else:
                look(content)
        if isinstance(value, tuple):
            for one in value:
                look(one)
        elif isinstance(value, Mapping):
            for one in value.values():
                look(one)

    look(settings)
    return found
