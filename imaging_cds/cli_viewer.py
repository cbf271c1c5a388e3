"""``imaging-cds viewer``: fetches the OHIF viewer once, with its progress shown."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from imaging_cds.viewer_install import install_viewer, is_installed
from imaging_cds.viewer_progress import InstallStep, ProgressReport

DEFAULT_VIEWER_DIR = Path(".viewer")
_WORDS = {
    InstallStep.DOWNLOADING: "Fetching the viewer (OHIF)",
    InstallStep.CHECKING: "Checking the viewer",
    InstallStep.UNPACKING: "Unpacking the viewer",
    InstallStep.READY: "The viewer is ready",
}


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``viewer``."""
    viewer = commands.add_parser("viewer", help="fetch the OHIF viewer (once; about 50 MB)")
    viewer.add_argument("--dir", type=Path, default=DEFAULT_VIEWER_DIR, help="where to put it (default: %(default)s)")
    viewer.add_argument("--from-file", type=Path, help="an npm tarball of the viewer, for sites without internet")
    viewer.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    ensure_viewer(arguments.dir, Console(stderr=True), from_file=arguments.from_file)
    return 0


def ensure_viewer(viewer_dir: Path, console: Console, *, from_file: Path | None = None) -> None:
    """Installs the viewer where it is missing; returns at once where it is there. ViewerInstallError says what to do."""
    if is_installed(viewer_dir):
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[InstallStep, TaskID] = {}

        def show(report: ProgressReport) -> None:
            if report.step not in tasks:
                tasks[report.step] = progress.add_task(_WORDS[report.step], total=None)
            progress.update(tasks[report.step], completed=report.done_bytes, total=report.total_bytes or None)

        install_viewer(viewer_dir, from_file=from_file, report=show)
    console.print("The viewer is installed.")
