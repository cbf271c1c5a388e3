"""Who sits at the command line, for what is kept of administrators' acts."""

from __future__ import annotations

import getpass
import os


def account() -> str:
    """The user's name: a container's user may have a number and no name, which must not keep anybody from acting."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"
