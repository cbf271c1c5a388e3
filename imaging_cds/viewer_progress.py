"""What the install step of the viewer tells whoever watches it."""

from dataclasses import dataclass
from enum import StrEnum


class ViewerInstallError(Exception):
    """The viewer could not be installed; the text is for the person at the terminal and names the remedy."""


class InstallStep(StrEnum):
    """The steps in their order."""

    DOWNLOADING = "downloading"
    CHECKING = "checking"
    UNPACKING = "unpacking"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """How far a step is; `total_bytes` is 0 where it is not known. While downloading both are approximate."""

    step: InstallStep
    done_bytes: int = 0
    total_bytes: int = 0
