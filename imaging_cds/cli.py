"""The command line: ``imaging-cds`` or ``python -m imaging_cds``.

Exit codes: 0 done, 1 failed while running, 2 the command or the settings are wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from fhir_imaging.errors import ConfigurationError, ImagingError
from imaging_cds import (
    cli_audit,
    cli_check,
    cli_demo,
    cli_explain,
    cli_export,
    cli_feedback,
    cli_keys,
    cli_nginx,
    cli_revoke,
    cli_serve,
    cli_sync,
    cli_token,
    cli_viewer,
)
from imaging_cds.processes import ProcessFailed
from imaging_cds.viewer_progress import ViewerInstallError

Run = Callable[[argparse.Namespace], int]

_MODULES = (
    *(cli_demo, cli_serve, cli_sync, cli_export, cli_token, cli_audit, cli_revoke),
    *(cli_feedback, cli_explain, cli_check, cli_keys, cli_nginx, cli_viewer),
)
"""Each registers its commands, in the order in which ``--help`` lists them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the command; explains faults in words on standard error."""
    parsed = _parser().parse_args(arguments)
    run: Run = parsed.run
    try:
        return run(parsed)
    except ConfigurationError as exc:
        for problem in exc.problems:
            print(f"imaging-cds: {problem}", file=sys.stderr)
        return 2
    except (ImagingError, ProcessFailed, ViewerInstallError) as exc:
        print(f"imaging-cds: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # "imaging-cds audit | head": whoever read us has read enough. Python's own flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="imaging-cds", description="A patient's imaging in the clinician's workflow.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _MODULES:
        module.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
