"""No jar of the HAPI FHIR that tests write to is run unless it is the reviewed one, byte for byte."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.interop.hapi_build import LIST, hashes, listed, wrong_jars


def test_the_listed_jars_are_taken(tmp_path: Path) -> None:
    _jars(tmp_path, {"a.jar": b"a", "b.jar": b"b"})
    assert wrong_jars(_list({"a.jar": b"a", "b.jar": b"b"}), hashes(tmp_path)) == []


def test_a_changed_an_unlisted_and_a_missing_jar_are_each_named(tmp_path: Path) -> None:
    _jars(tmp_path, {"a.jar": b"other", "c.jar": b"c"})
    assert wrong_jars(_list({"a.jar": b"a", "b.jar": b"b"}), hashes(tmp_path)) == [
        "b.jar is missing",
        "c.jar is not in jars.sha256",
        "a.jar is another file",
    ]


def test_the_list_holds_one_hash_for_each_jar() -> None:
    lines = LIST.read_text().splitlines()
    found = listed("\n".join(lines))
    assert len(found) == len(lines) > 200
    assert all(name.endswith(".jar") and len(bytes.fromhex(value)) == 32 for name, value in found.items())


def _jars(directory: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (directory / name).write_bytes(content)


def _list(contents: dict[str, bytes]) -> dict[str, str]:
    return listed("".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()))
