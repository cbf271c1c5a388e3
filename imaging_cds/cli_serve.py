"""``imaging-cds serve``, ``migrate`` and ``config``: running one installation and looking at its settings."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import tomli_w

from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.engine import Store
from imaging_cds.associated_endpoints import fragments
from imaging_cds.demo_plan import DEFAULT_DIRECTORY
from imaging_cds.logs import RequestLines, configure_logging
from imaging_cds.metrics_workers import prepare_workers
from imaging_cds.server import serve
from imaging_cds.settings import CONFIG_VARIABLE, ApplicationSettings, load, remarks_on
from imaging_cds.settings_table import as_markdown, describe
from imaging_cds.site_rules import site_policy

DEMO_CONFIG = DEFAULT_DIRECTORY / "app.toml"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``serve``, ``migrate`` and ``config``."""
    for name, run, text in (
        ("serve", _serve, "serve the application"),
        ("migrate", _migrate, "bring the database to this version"),
        ("config", _config, "check the settings with the site's rules, and print the effective settings, secrets hidden"),
    ):
        command = commands.add_parser(name, help=text)
        add_config_argument(command)
        command.set_defaults(run=run)
        if run is _config:
            command.add_argument(
                "--describe", action="store_true", help="print every setting there is, with its meaning, as Markdown"
            )
            command.add_argument(
                "--associated-endpoints",
                action="store_true",
                help="print, for each EHR, the JSON that it adds to its .well-known/smart-configuration (SMART Imaging Access)",
            )


def add_config_argument(command: argparse.ArgumentParser) -> argparse.Action:
    """``--config``, for every command that needs an installation's settings."""
    return command.add_argument(
        "--config",
        type=Path,
        help=f"the settings file (default: ${CONFIG_VARIABLE}, else the running demo's {DEMO_CONFIG})",
    )


def settings_of(arguments: argparse.Namespace) -> ApplicationSettings:
    """The settings that the command line, the environment or the demo in this directory names."""
    return load(_path_of(arguments))


def tell_remarks(arguments: argparse.Namespace) -> None:
    """On standard error, for settings that load: what works and yet should not stay so."""
    for remark in remarks_on(_path_of(arguments)):
        print(f"imaging-cds: warning: {remark}", file=sys.stderr)


def _path_of(arguments: argparse.Namespace) -> Path:
    named = arguments.config or os.environ.get(CONFIG_VARIABLE)
    path = Path(named) if named else DEMO_CONFIG
    if not named and not path.exists():
        raise ConfigurationError([f"no settings: give --config FILE, set {CONFIG_VARIABLE}, or start the demo here first."])
    return path


def _serve(arguments: argparse.Namespace) -> int:
    from imaging_cds.app import create_app  # the other commands answer at once without it

    settings = settings_of(arguments)
    policy = site_policy(settings.rules)  # before the fork: a fault is told once, and all workers judge alike
    _migrate_at(settings, and_check=True)  # before the fork too: workers would tell it one by one, and be started anew
    if settings.metrics.is_on:
        prepare_workers(settings.state.state_dir, settings.server.port)
    configure_logging(log_format=settings.server.log_format)
    lines = RequestLines.to_standard_error(settings.server.log_format)
    serve(lambda: create_app(settings, policy, write_line=lines), settings.server)
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    _migrate_at(settings_of(arguments))
    return 0


def _migrate_at(settings: ApplicationSettings, *, and_check: bool = False) -> None:
    """``and_check``: whether the installation's key is the database's, which whoever owns the tables need not have."""
    store = Store.open(settings.state)
    try:
        store.migrate()
        if and_check:
            store.check_migrated()
    finally:
        store.close()


def _config(arguments: argparse.Namespace) -> int:
    if arguments.describe:
        sys.stdout.write(as_markdown(describe()))
        return 0
    settings = settings_of(arguments)
    tell_remarks(arguments)
    if arguments.associated_endpoints:
        sys.stdout.write(json.dumps(fragments(settings), indent=2) + "\n")
        return 0
    site_policy(settings.rules)  # what would stop the start is told here too
    sys.stdout.write(tomli_w.dumps(printable(settings)))
    return 0


def printable(value: Any) -> Any:
    """Settings as TOML values; what ``repr`` hides is shown as set or left out."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = {}
        for one in fields(value):
            content = getattr(value, one.name)
            if content is not None and (one.repr or content):
                shown[one.name] = printable(content) if one.repr else "(set, hidden)"
        return shown
    if isinstance(value, tuple | frozenset):
        return [printable(item) for item in value]
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value
