"""``imaging-cds explain``: which rules fire for a hook request, which stay silent, and why. Nothing is fetched or stored."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from cds_service.evaluate import SERVICES
from cds_service.explain import Explanation, explain, service_for
from fhir_imaging.errors import InvalidRequest


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``explain``."""
    command = commands.add_parser(
        "explain", help="say which rules fire for a CDS Hooks request with prefetch, and why others do not"
    )
    command.add_argument("request", help="the request's JSON file; - = standard input")
    command.add_argument("--service", help="id of the CDS service, where the request's hook does not tell")
    command.add_argument("--at", type=_moment, help="as of this time (ISO 8601; UTC where no zone is given), instead of now")
    command.add_argument("--json", action="store_true", help="one JSON object instead of words")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    body = _read(arguments.request)
    explanation = explain(body, service_for(body, SERVICES, arguments.service), arguments.at or datetime.now(UTC))
    if arguments.json:
        print(json.dumps(asdict(explanation), indent=2))
    else:
        print("\n".join(_plain(line) for line in _lines(explanation)))
    return 0


def _read(name: str) -> object:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return json.loads(content)
    except OSError as exc:
        raise InvalidRequest(f"{name} cannot be read: {exc.strerror}.") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{name} is not JSON.") from exc


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"{explanation.service_id} on {explanation.hook}, patient {explanation.patient_id}"
    for warning in explanation.warnings:
        yield f"  warning: {warning}"
    if explanation.unheard:
        yield f"Nothing is said: {explanation.unheard}."
        return
    yield "Data:"
    for key in explanation.keys:
        need = "required" if key.required else "optional"
        missing = f" - {key.missing}" if key.missing else ""
        yield f"  {key.key} ({need}): {key.state}, {key.resources} resources{missing}"
    yield f"Fired: {len(explanation.fired) or 'no rule'}"
    for rule in explanation.fired:
        yield f"  {rule.rule_id} [{rule.indicator}] {rule.summary}"
    yield f"Silent: {len(explanation.silences) or 'nothing was left out'}"
    for silence in explanation.silences:
        yield f"  {silence.about}: {silence.reason}" + (f" ({silence.by})" if silence.by else "")


def _plain(line: str) -> str:
    """Without control characters: what a request holds must not steer the terminal."""
    return "".join(mark if mark.isprintable() else "?" for mark in line)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
