"""Builds what interop tests run of HAPI FHIR, its JPA server and its validator: ``make hapi``.

Maven fetches what hapi/pom.xml names, from where its own settings say. Every jar must be the one that hapi/jars.sha256
names, byte for byte, before one is run; ``make hapi ARGS=--pin`` writes that list anew after a change of version.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SOURCE = Path(__file__).parent / "hapi"
LIST = SOURCE / "jars.sha256"
BUILT = Path(__file__).parents[2] / ".hapi"
HINT = (
    "HAPI FHIR is not built here. Run: make hapi (needs Maven and a JDK; on Debian: apt-get install maven default-jdk-headless)"
)


def is_built() -> bool:
    """Whether what stands in ``.hapi`` was built of the sources as they are now."""
    stamp = BUILT / "stamp"
    return stamp.exists() and stamp.read_text() == _fingerprint()


def class_path() -> str:
    """What Java is given, after a look at every jar. ValueError when one is not the reviewed one."""
    problems = wrong_jars(listed(LIST.read_text()), hashes(BUILT / "lib"))
    if problems:
        raise ValueError("; ".join(problems))
    return os.pathsep.join(map(str, [BUILT / "classes", *sorted((BUILT / "lib").glob("*.jar"))]))


def wrong_jars(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What is missing, not listed, or not what is listed."""
    return [
        *(f"{name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{name} is not in jars.sha256" for name in sorted(found.keys() - wanted.keys())),
        *(f"{name} is another file" for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]),
    ]


def listed(text: str) -> dict[str, str]:
    """Hashes by file name, of lines as ``sha256sum`` writes them."""
    return {name.strip(): sha256 for sha256, _, name in (line.partition("  ") for line in text.splitlines())}


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of every jar."""
    found: dict[str, str] = {}
    for path in directory.glob("*.jar"):
        with path.open("rb") as jar:
            found[path.name] = hashlib.file_digest(jar, "sha256").hexdigest()
    return found


def main(arguments: Sequence[str]) -> int:
    if is_built() and not arguments:
        return 0
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        print("Maven or a JDK is missing. On Debian: apt-get install maven default-jdk-headless", file=sys.stderr)
        return 2
    BUILT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as directory:
        try:
            return _build(Path(directory), pin="--pin" in arguments)
        except subprocess.CalledProcessError as error:
            print(f"HAPI FHIR: {error.cmd[0]} ended with {error.returncode}; what it said stands above.", file=sys.stderr)
            return 1


def _build(directory: Path, *, pin: bool) -> int:
    """Complete in ``directory`` first, so that nothing half-made is ever taken for built."""
    _run(
        "mvn",
        "-B",
        "-q",
        "-C",
        "-f",
        SOURCE / "pom.xml",
        "dependency:copy-dependencies",
        f"-DoutputDirectory={directory / 'lib'}",
    )
    found = hashes(directory / "lib")
    if pin:
        LIST.write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(found.items())))
    for problem in (problems := wrong_jars(listed(LIST.read_text()), found)):
        print(f"HAPI FHIR: {problem}", file=sys.stderr)
    if problems:
        return 1
    classes = ("-cp", f"{directory}/lib/*", "-d", directory / "classes")
    _run("javac", "-Xlint:deprecation,unchecked,removal", "-proc:none", *classes, *sorted(SOURCE.glob("*.java")))
    (BUILT / "stamp").unlink(missing_ok=True)
    for name in ("lib", "classes"):
        shutil.rmtree(BUILT / name, ignore_errors=True)
        (directory / name).rename(BUILT / name)
    (BUILT / "stamp").write_text(_fingerprint())
    print(f"HAPI FHIR: {len(found)} jars, each as listed, in {BUILT.name}/")
    return 0


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)


def _fingerprint() -> str:
    parts = sorted(path for path in SOURCE.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
