"""``imaging-cds explain``: which rules fire for a hook request, which stay silent, and why. Nothing is fetched or stored.

With an installation's settings the site's rules are asked, else the product's own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from cds_service.definitions import ServiceDefinition
from cds_service.evaluate import SERVICES, services_on
from cds_service.explain import Explanation, explain, service_for
from cds_service.json_members import RepeatedMember, parsed
from fhir_imaging.errors import InvalidRequest
from imaging_cds.settings import CONFIG_VARIABLE, load
from imaging_cds.site_rules import site_policy
from imaging_findings.site_policy import SitePolicy, product_policy


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``explain``."""
    command = commands.add_parser(
        "explain", help="say which rules fire for a CDS Hooks request with prefetch, and why others do not"
    )
    command.add_argument("request", help="the request's JSON file; - = standard input")
    command.add_argument("--service", help="id of the CDS service, where the request's hook does not tell")
    command.add_argument("--at", type=_moment, help="as of this time (ISO 8601; UTC where no zone is given), instead of now")
    command.add_argument(
        "--config", type=Path, help=f"ask the rules of this settings file (default: ${CONFIG_VARIABLE}, else the product's own)"
    )
    command.add_argument("--json", action="store_true", help="one JSON object instead of words")
    command.set_defaults(run=_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """Whose rules are asked. ``max_cards`` None = all cards are shown."""

    words: str
    policy: SitePolicy
    services: Mapping[str, ServiceDefinition]
    max_cards: int | None = None
    zone: tzinfo | None = None
    """The zone of its days; None = that of the stated time, else UTC."""


def _run(arguments: argparse.Namespace) -> int:
    site = _site(arguments.config or os.environ.get(CONFIG_VARIABLE))
    body = _read(arguments.request)
    service = service_for(body, site.services, arguments.service)
    now = arguments.at or datetime.now(UTC)
    explanation = explain(body, service, now.astimezone(site.zone) if site.zone else now, site.policy, max_cards=site.max_cards)
    if arguments.json:
        print(json.dumps({**asdict(explanation), "rules": site.words}, indent=2))
    else:
        print("\n".join(_plain(line) for line in _lines(explanation, site.words)))
    return 0


def _site(config: str | Path | None) -> _Site:
    """The site of a settings file; ConfigurationError where its rules cannot be read."""
    if config is None:
        return _Site(words="the product's own", policy=product_policy(), services=SERVICES)
    settings = load(Path(config))
    policy = site_policy(settings.rules)
    return _Site(
        words=f"those of {config}",
        policy=policy,
        services=services_on(settings.cds.study_complete_hook, release=policy.release, actionable=policy.packs.actionable),
        max_cards=settings.cds.max_cards,
        zone=settings.cds.zone,
    )


def _read(name: str) -> object:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return parsed(content)
    except OSError as exc:
        raise InvalidRequest(f"{name} cannot be read: {exc.strerror}.") from exc
    except RepeatedMember as exc:
        raise InvalidRequest(f"{name} has the member {exc.name} twice in one object.") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{name} is not JSON.") from exc


def _lines(explanation: Explanation, rules: str) -> Iterator[str]:
    yield f"{explanation.service_id} on {explanation.hook}, patient {explanation.patient_id}"
    yield f"Rules: {rules}"
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
        by = f" ({silence.by})" if silence.by and silence.by != silence.rule_id else ""
        named = f", rule {silence.rule_id}" if silence.rule_id else ""
        yield f"  {silence.about}: {silence.reason}{by}{named}"


def _plain(line: str) -> str:
    """Without control characters: what a request holds must not steer the terminal."""
    return "".join(mark if mark.isprintable() else "?" for mark in line)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
