"""``imaging-cds keys``: the app's own signing keys at EHRs that authenticate it by ``private_key_jwt``.

Spec: SMART App Launch 2.2 "Asymmetric client authentication" (A25).
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime

from fhir_imaging.client_keys import ClientKey, ClientKeys
from imaging_cds.cli_serve import add_config_argument, settings_of

HOUR_S = 3600


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``keys list`` and ``keys rotate``."""
    keys = commands.add_parser("keys", help="the app's signing keys (private_key_jwt): list them, or exchange one")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="the keys that are published, and which of them sign")
    rotate = actions.add_parser("rotate", help="publish a new key now, sign with it later, drop the old one after that")
    for one in (listed, rotate):
        add_config_argument(one)
    rotate.add_argument("--algorithm", choices=("ES384", "RS384"), required=True)
    rotate.add_argument(
        "--signs-after", type=_hours, default=24 * HOUR_S, metavar="HOURS", help="how long EHRs have to fetch it (default: 24)"
    )
    rotate.add_argument(
        "--overlap",
        type=_hours,
        default=24 * HOUR_S,
        metavar="HOURS",
        help="how long the old one then stays (default: 24)",
    )
    listed.set_defaults(run=_list)
    rotate.set_defaults(run=_rotate)


def _list(arguments: argparse.Namespace) -> int:
    now = int(time.time())
    for key in _keys(arguments).published(now):
        print(_line(key, now))
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    now = int(time.time())
    keys = _keys(arguments)
    key = keys.rotate(arguments.algorithm, signs_from=now + arguments.signs_after, overlap_s=arguments.overlap)
    print(f"published now: {key.kid} ({key.algorithm})")
    for one in keys.published(now):
        print(_line(one, now))
    return 0


def _keys(arguments: argparse.Namespace) -> ClientKeys:
    return ClientKeys.of(settings_of(arguments).state.state_dir)


def _line(key: ClientKey, now: int) -> str:
    scheduled = key.scheduled
    words = "signs" if scheduled.signs_from <= now else f"signs from {_moment(scheduled.signs_from)}"
    if scheduled.published_until is not None:
        words += f", dropped at {_moment(scheduled.published_until)}"
    return f"{key.algorithm}  {key.kid}  {words}"


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _hours(text: str) -> int:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= 24 * 365:
        raise argparse.ArgumentTypeError("say how many hours")
    return int(hours * HOUR_S)
