"""The settings of one installation: TOML for the structure, files and environment variables for secrets and overrides."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from cds_service.settings import CdsSettings
from fhir_imaging.audit_settings import AuditSettings
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import EhrSettings, PacsSettings, StateSettings, is_loopback, origin_of
from imaging_cds.metrics_settings import MetricsSettings
from imaging_cds.secret_files import remarks
from imaging_cds.server import ServerSettings
from imaging_cds.settings_reader import build, overlay, variables_without_place
from imaging_cds.telemetry_settings import TelemetrySettings
from imaging_findings.rule_settings import RuleSettings
from imaging_server.settings import ImagingServerSettings
from pacs_sync.settings import SyncSettings
from smart_app.settings import SmartAppSettings

CONFIG_VARIABLE = "IMAGING_CDS_CONFIG"


class Component(StrEnum):
    """A part of the application that can also be deployed apart."""

    CDS_SERVICE = "cds_service"
    SMART_APP = "smart_app"
    IMAGING_SERVER = "imaging_server"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """Everything that one installation is told. ``public_base_url`` is where browsers and EHRs reach it."""

    public_base_url: str
    """Where browsers and EHRs reach the application, without final slash."""
    state: StateSettings
    cds: CdsSettings
    smart_app: SmartAppSettings
    imaging_server: ImagingServerSettings
    ehr: tuple[EhrSettings, ...]
    pacs: tuple[PacsSettings, ...] = ()
    components: tuple[Component, ...] = tuple(Component)
    """Which parts run in this process; each can also be deployed apart."""
    allow_http: bool = False
    """Plain http to servers that are not on this machine. Say it only for a network that you trust."""
    viewer_dir: Path | None = None
    """The installed OHIF files; without them the study list works and the viewer page says that no viewer is installed."""
    rules: RuleSettings = field(default_factory=RuleSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    sync: tuple[SyncSettings, ...] = ()


def load(path: Path, environment: Mapping[str, str] | None = None) -> ApplicationSettings:
    """The settings in a TOML file, with ``IMAGING_CDS__…`` variables over them. ConfigurationError lists every fault."""
    settings = from_table(overlay(_table_of(path), os.environ if environment is None else environment))
    return replace(settings, rules=settings.rules.beside(path.parent))


def remarks_on(path: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """Of settings that load: secrets that too many may read, and variables that count for nothing."""
    given = os.environ if environment is None else environment
    table = _table_of(path)
    return [
        *remarks(ApplicationSettings, table, overlay(table, given)),
        *(
            f"{name}: the settings have no entry of that name, so it counts for nothing."
            for name in variables_without_place(table, given)
        ),
    ]


def _table_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError([f"{path} cannot be read: {exc.strerror}."]) from exc
    except (UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError([f"{path} is not TOML: {exc}."]) from exc


def from_table(table: Mapping[str, Any]) -> ApplicationSettings:
    """The settings in nested tables; what several components share is written once at the top."""
    problems: list[str] = []
    settings = build(ApplicationSettings, _spread(table), "", problems)
    if settings is not None:
        problems += _contradictions(settings)
    if settings is None or problems:
        raise ConfigurationError(problems)
    return settings


def _spread(table: Mapping[str, Any]) -> dict[str, Any]:
    """Hands the shared top-level values to the components that know a setting of that name."""
    spread = dict(table)
    components = {"cds": CdsSettings, "smart_app": SmartAppSettings, "imaging_server": ImagingServerSettings}
    for section, kind in components.items():
        given = table.get(section, {})
        known = {one.name for one in fields(kind)}
        shared = {name: table[name] for name in ("public_base_url", "viewer_dir") if name in table and name in known}
        spread[section] = {**shared, **given} if isinstance(given, Mapping) else given
    return spread


def _contradictions(settings: ApplicationSettings) -> list[str]:
    problems = [*settings.metrics.problems(), *settings.telemetry.problems(settings.server.trusted_proxies)]
    runs_without_app = Component.CDS_SERVICE in settings.components and Component.SMART_APP not in settings.components
    if runs_without_app and settings.cds.app_base_url is None:
        problems.append("cds.app_base_url: must be given where smart_app does not run here: the links of cards lead to it.")
    named = (("ehr", settings.ehr), ("pacs", settings.pacs), ("sync", settings.sync))
    for kind, names in ((kind, [one.name for one in those]) for kind, those in named):
        problems += [
            f"{kind}: the name {name!r} is used more than once." for name in sorted({n for n in names if names.count(n) > 1})
        ]
        problems += [
            f"{kind}: the name {name!r} may hold only a-z, 0-9 and hyphens." for name in names if not _is_path_name(name)
        ]
    problems += _sync_problems(settings)
    for where, url in _addresses(settings):
        try:
            origin_of(url)
        except ValueError:
            problems.append(f"{where}: {url!r} is not an http(s) URL.")
            continue
        if url.startswith("http://") and not is_loopback(url) and not settings.allow_http:
            problems.append(f"{where}: {url} is plain http; use https, or say allow_http = true for a network that you trust.")
    return problems


def _sync_problems(settings: ApplicationSettings) -> Iterator[str]:
    archives = {one.name for one in settings.pacs}
    for sync in settings.sync:
        yield from sync.problems()
        if sync.pacs not in archives:
            yield f"sync.{sync.name}.pacs: there is no [[pacs]] named {sync.pacs!r}."
        if sync.time_zone is not None and sync.time_zone not in available_timezones():
            yield f"sync.{sync.name}.time_zone: {sync.time_zone!r} is no time zone known here."


def _addresses(settings: ApplicationSettings) -> list[tuple[str, str]]:
    addresses = [("public_base_url", settings.public_base_url)]
    for ehr in settings.ehr:
        named = {name: getattr(ehr, name) for name in ("fhir_base", "jwks_url", "introspection_url", "imaging_base")}
        if ehr.studies_server is not None:
            own = {name: getattr(ehr.studies_server, name) for name in ("fhir_base", "backend_token_url")}
            named |= {f"studies_server.{name}": url for name, url in own.items()}
        addresses += [(f"ehr.{ehr.name}.{name}", url) for name, url in named.items() if url]
        origins = (*ehr.server_origins, *ehr.token_origins, *ehr.frame_ancestors)
        addresses += [(f"ehr.{ehr.name}", url) for url in origins]
    audit = {"fhir_base": settings.audit.fhir_base, "fhir_token_url": settings.audit.fhir_token_url}
    addresses += [(f"audit.{name}", url) for name, url in audit.items() if url]
    addresses += [("telemetry.endpoint", settings.telemetry.endpoint)] if settings.telemetry.endpoint else []
    for client in settings.cds.trusted_clients:
        urls = (*client.fhir_servers, *client.jku_prefixes, *([client.jwks_url] if client.jwks_url else []))
        addresses += [(f"cds.trusted_clients.{client.iss}", url) for url in urls]
    for sync in settings.sync:
        own = {
            "endpoint_address": sync.endpoint_address,
            "orthanc_url": sync.orthanc_url,
            "target.fhir_base": sync.target.fhir_base,
            "target.backend_token_url": sync.target.backend_token_url,
        }
        addresses += [(f"sync.{sync.name}.{name}", url) for name, url in own.items() if url]
    for pacs in settings.pacs:
        addresses.append((f"pacs.{pacs.name}.dicomweb_root", pacs.dicomweb_root))
        if pacs.token_url:
            addresses.append((f"pacs.{pacs.name}.token_url", pacs.token_url))
    return addresses


def _is_path_name(name: str) -> bool:
    return bool(name) and all(mark in "abcdefghijklmnopqrstuvwxyz0123456789-" for mark in name)
