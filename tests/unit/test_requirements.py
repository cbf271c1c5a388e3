"""requirements/*.txt: what is installed by hash is what was tested, in each file alike, and what the project asks for."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import CHECKOUT

FOLDER = CHECKOUT / "requirements"
FILES = sorted(path.name for path in FOLDER.glob("*.txt"))
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {"demo.txt": ["demo"], "dev.txt": ["demo", "postgresql", "export"], "runtime.txt": [], "server.txt": ["postgresql"]}
"""Which of the project's extras each file has."""
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)(?P<rest>.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def pins(name: str) -> dict[tuple[str, str], frozenset[str]]:
    """The hashes of each pinned distribution and version; some are pinned twice, for different versions of Python."""
    found = _PIN.finditer((FOLDER / name).read_text(encoding="utf-8"))
    return {(one["name"], one["version"]): frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", one["rest"])) for one in found}


def names(file: str) -> set[str]:
    return {name for name, _ in pins(file)}


def test_every_file_is_known_here() -> None:
    assert sorted(EXTRAS) == FILES


@pytest.mark.parametrize("file", FILES)
def test_every_pin_has_its_hashes_and_nothing_names_a_place(file: str) -> None:
    found, lines = pins(file), (FOLDER / file).read_text(encoding="utf-8").splitlines()

    assert len(found) == sum(not line.startswith((" ", "#")) for line in lines if line), "every line was read"
    assert [one for one, hashes in found.items() if not hashes] == []
    assert not any("://" in line or line.startswith("-") for line in lines)


@pytest.mark.parametrize("file", [one for one in FILES if one != "dev.txt"])
def test_what_a_site_installs_is_what_was_tested(file: str) -> None:
    tested = pins("dev.txt")

    assert {one: hashes for one, hashes in pins(file).items() if tested.get(one) != hashes} == {}


@pytest.mark.parametrize("file", FILES)
def test_each_file_has_what_the_project_asks_for(file: str) -> None:
    asked = [*PROJECT["dependencies"], *(one for extra in EXTRAS[file] for one in PROJECT["optional-dependencies"][extra])]
    versions: dict[str, list[str]] = {}
    for name, version in pins(file):
        versions.setdefault(name, []).append(version)

    wanted = [Requirement(one) for one in asked]
    missing = [
        str(one)
        for one in wanted
        if not any(one.specifier.contains(version) for version in versions.get(canonicalize_name(one.name), []))
    ]
    assert missing == []


def test_a_server_has_postgresqls_driver_and_nothing_else_beside_the_runtime() -> None:
    driver = {canonicalize_name(Requirement(one).name) for one in requires("psycopg") or () if "extra" not in one}
    more = names("server.txt") - names("runtime.txt")

    assert names("runtime.txt") < names("server.txt")
    assert {"psycopg", "psycopg-binary"} <= more <= {"psycopg", "psycopg-binary", *driver}
