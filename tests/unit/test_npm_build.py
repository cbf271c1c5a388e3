"""No npm package that plays a counterpart in tests is run unless its tarball is the reviewed one, byte for byte."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import pytest

from tests.interop.npm_build import LIST, integrity_of, listed, tarball_name, unpack, wrong_tarballs


def test_the_listed_tarballs_are_taken(tmp_path: Path) -> None:
    a, b = _tarball(tmp_path, "@one/a@1.0.0", {"package/index.js": b"a"}), _tarball(tmp_path, "b@2.0.0", {"package/b.js": b"b"})

    assert (a.name, b.name) == ("one-a-1.0.0.tgz", "b-2.0.0.tgz")
    assert wrong_tarballs({"@one/a@1.0.0": integrity_of(a), "b@2.0.0": integrity_of(b)}, tmp_path) == []


def test_a_changed_and_a_missing_tarball_are_each_named(tmp_path: Path) -> None:
    reviewed = integrity_of(_tarball(tmp_path, "a@1.0.0", {"package/index.js": b"reviewed"}))
    _tarball(tmp_path, "a@1.0.0", {"package/index.js": b"other"})

    assert wrong_tarballs({"a@1.0.0": reviewed, "b@2.0.0": reviewed}, tmp_path) == [
        "a@1.0.0 is another file",
        "b@2.0.0 is missing",
    ]


def test_a_package_is_unpacked_without_its_outermost_folder(tmp_path: Path) -> None:
    unpack(_tarball(tmp_path, "a@1.0.0", {"anything/lib/index.js": b"code"}), tmp_path / "a")

    assert [(path.relative_to(tmp_path / "a").as_posix(), path.read_bytes()) for path in (tmp_path / "a").rglob("*.js")] == [
        ("lib/index.js", b"code")
    ]


@pytest.mark.parametrize("name", ["package/../../outside.js", "/outside/a.js"])
def test_no_file_leaves_the_packages_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        unpack(_tarball(tmp_path, "a@1.0.0", {name: b"code"}), tmp_path / "a" / "b")

    assert list(tmp_path.rglob("*.js")) == []


def test_the_list_names_versions_and_sha_512_and_no_address() -> None:
    lines = LIST.read_text().splitlines()
    found = listed("\n".join(lines))

    assert len(found) == len(lines) > 30
    assert {"@medplum/fhir-router@5.2.13", "fhirclient@2.6.3"} <= found.keys()
    assert all(len(base64.b64decode(value.removeprefix("sha512-"), validate=True)) == 64 for value in found.values())
    assert all(package.rpartition("@")[2][0].isdigit() for package in found)
    assert "://" not in LIST.read_text()


def _tarball(directory: Path, package: str, files: dict[str, bytes]) -> Path:
    path = directory / tarball_name(package)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
