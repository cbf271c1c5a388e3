"""What a configuration of nginx is made of: where it listens, what it may fetch itself, and from which archive.

Spec: SMART Imaging Access W3, groups 10, 12, 13, 18 to 21; DESIGN §9.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from fhir_imaging.clients.archive_credentials import credential_of
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import HandOver, PacsSettings
from imaging_cds.settings import ApplicationSettings
from imaging_server.handover import is_handed
from imaging_server.resource import Kind, Level
from imaging_server.routes import ROUTES, Route, address_pattern

GROUP_PREFIX = "handed_"
_LISTEN = re.compile(r"(?:(?:[A-Za-z0-9.\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]|\*):)?[0-9]{1,5}", re.ASCII)
_PIECE = re.compile(r"<\w+:(\w+)>", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9@%_+=:,./\-]{1,500}", re.ASCII)

_RESERVE_S = 30
"""For what the application does before it asks an archive."""
_LONGEST_WORD, _LONGEST_ORIGIN = 4000, 400
"""Bytes of one word of nginx's configuration, which it reads in pieces of 4096; and of an origin in a map."""


class Mode(StrEnum):
    """Who decides each request: the application, which nginx asks each time, or nginx by a decision that it keeps."""

    ACCEL = "accel"
    AUTH_REQUEST = "auth-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxOptions:
    """What the command line says of nginx itself. Paths that do not begin with a slash are below nginx's prefix (``-p``)."""

    mode: Mode
    listen: str = "127.0.0.1:8080"
    apps: tuple[str, ...] = ()
    """``host:port`` of each of the application's servers; none = the one that its own settings name."""
    certificate: Path | None = None
    key: Path | None = None
    decisions: Path = Path("decisions")
    """Where kept decisions lie; a tmpfs, at a site."""
    modules: Path = Path("/usr/lib/nginx/modules")
    user: str | None = None
    """System user of nginx's workers, where nginx is started by root."""
    authorities: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    """PEM file of the authorities that archives' certificates are checked with, where an archive has no file of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedRoute:
    """One kind of address that nginx looks after. ``pattern`` is not anchored; its groups begin with ``GROUP_PREFIX``."""

    pattern: str
    loose: str
    """A wider pattern without groups, by which the access log knows such an address."""
    upstream_path: str
    """The archive's path, made of those groups."""
    template: str
    """What the access log says instead of the address."""
    accept: str
    """Which Accept values are passed on: ``frames`` or ``objects``."""
    has_series: bool
    has_one_part: bool
    """Whether its answer is one image: what the archive says of that part stands before it, and behind it there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedPacs:
    """One archive as nginx knows it."""

    name: str
    variable: str
    ehrs: tuple[str, ...]
    scheme: str
    address: str
    """``host:port`` to connect to."""
    host: str
    """``Host`` as the archive is to see it."""
    server_name: str
    root: str
    prefix: str
    routes: tuple[HandedRoute, ...]
    connections: int
    connect_timeout_s: float
    read_timeout_s: float
    authorities: Path
    header_names: tuple[str, ...]
    header_values: tuple[str, ...] = field(repr=False)
    authorization: str = field(repr=False)
    """The fixed credential; empty where there is none, and never written in the mode that is told it each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxPlan:
    """Everything that the templates say."""

    options: NginxOptions
    settings: ApplicationSettings
    apps: tuple[str, ...]
    archives: tuple[HandedPacs, ...]
    """Those whose bytes nginx fetches. None: it stands in front and passes everything on, and needs no secret."""

    @property
    def keeps_decisions(self) -> bool:
        """Whether nginx decides by what it was told before."""
        return self.options.mode is Mode.AUTH_REQUEST

    @property
    def application_s(self) -> int:
        """How long the application may be silent: while an archive is, and an EHR was before."""
        slowest = max((one.connect_timeout_s + one.read_timeout_s for one in self.settings.pacs), default=0)
        return math.ceil(max(self.settings.server.timeout_s + 10, slowest + _RESERVE_S))

    @property
    def repeated_within_s(self) -> int:
        """How long after its arrival a request may be sent to another server; not after the silence that ends it here."""
        return self.application_s // 2

    @property
    def public_host(self) -> str:
        """``Host`` as the application is to see it, whatever a caller says."""
        return urlsplit(self.settings.public_base_url).netloc

    @property
    def public_scheme(self) -> str:
        """How browsers reach the application."""
        return urlsplit(self.settings.public_base_url).scheme


def plan_of(settings: ApplicationSettings, options: NginxOptions) -> NginxPlan:
    """The plan for an installation; ConfigurationError that lists all that stands against it."""
    problems = [*_option_problems(options), *_mode_problems(settings, options)]
    if problems:
        raise ConfigurationError(problems)
    handed = [one for one in settings.pacs if one.hand_over is not HandOver.OFF]
    return NginxPlan(
        options=options,
        settings=settings,
        apps=options.apps or (_address_of(settings),),
        archives=tuple(_handed(one, settings, options) for one in handed),
    )


def _address_of(settings: ApplicationSettings) -> str:
    host = settings.server.host
    everywhere = "0.0.0.0"  # nosec B104 # noqa: S104 - it is compared
    reached = {"localhost": "127.0.0.1", everywhere: "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{reached}]:{settings.server.port}" if ":" in reached else f"{reached}:{settings.server.port}"


def _option_problems(options: NginxOptions) -> Iterator[str]:
    for name, address in (("--listen", options.listen), *(("--app", one) for one in options.apps)):
        if not _LISTEN.fullmatch(address):
            yield f"{name}: {address!r} is no address such as 127.0.0.1:8080."
    if len(set(options.apps)) < len(options.apps):
        yield "--app: each server is named once."
    if (options.certificate is None) != (options.key is None):
        yield "--certificate and --key belong together."
    for path in (options.certificate, options.key, options.decisions, options.modules, options.authorities):
        if path is not None and not _PLAIN.fullmatch(str(path)):
            yield _unwritable(path)
    if options.user is not None and not re.fullmatch(r"[a-z_][a-z0-9_\-]{0,31}", options.user, re.ASCII):
        yield f"--user: {options.user!r} is no user's name."


def _unwritable(path: Path) -> str:
    return f"{str(path)!r} cannot stand in nginx's configuration: only letters, digits and @%_+=:,./- can."


def _mode_problems(settings: ApplicationSettings, options: NginxOptions) -> Iterator[str]:
    handed = [one for one in settings.pacs if one.hand_over is not HandOver.OFF]
    for origin in settings.imaging_server.browser_origins:
        if len(origin) > _LONGEST_ORIGIN:
            yield f"the origin {origin[:60]}… is longer than nginx can look up."
    for one in handed:
        yield from _archive_problems(one)
    if options.mode is not Mode.AUTH_REQUEST:
        return
    if not handed:
        yield (
            "--mode auth-request: no archive is handed over, so there is nothing that nginx could decide. Leave --mode out, "
            'or say hand_over = "frames" below [[pacs]] of those whose bytes nginx may fetch.'
        )
        return
    if not settings.imaging_server.handed_decision_s:
        yield "imaging_server.handed_decision_s is 0: nginx may keep no decision. Say how many seconds, or use --mode accel."
    for one in handed:
        yield from _keeping_problems(one)


def _archive_problems(one: PacsSettings) -> Iterator[str]:
    if one.certificate_authority and not _PLAIN.fullmatch(str(one.certificate_authority)):
        yield _unwritable(one.certificate_authority)
    if urlsplit(one.dicomweb_root).path.strip("/") and not _PLAIN.fullmatch(urlsplit(one.dicomweb_root).path):
        yield f"PACS {one.name}: nginx cannot be given the path of dicomweb_root; leave hand_over off."
    if one.dicomweb_root.startswith("https:") and _is_ip_address(urlsplit(one.dicomweb_root).hostname or ""):
        yield f"PACS {one.name}: nginx checks certificates by host names, not by IP addresses; use the archive's name."


def _keeping_problems(one: PacsSettings) -> Iterator[str]:
    if not one.keeps_hierarchy:
        yield (
            f"PACS {one.name}: a kept decision is about a series, so the archive itself must refuse instances that are not "
            "in it. Where it does, say keeps_hierarchy = true; otherwise use --mode accel."
        )
    if one.token_url:
        yield f"PACS {one.name}: its credential changes (token_url), and nginx would keep an old one; use --mode accel."
    elif any(_written_length(secret) > _LONGEST_WORD for secret in (_fixed(one), *one.headers.values())):
        yield f"PACS {one.name}: its credential or a header of it is longer than nginx can read; use --mode accel."


def _written_length(secret: str) -> int:
    """As ``imaging-cds-secrets.conf`` has it: quoted, and with a variable for each dollar."""
    return len(secret.encode()) + secret.count('"') + secret.count("\\") + len("{imaging_dollar}") * secret.count("$")


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _handed(archive: PacsSettings, settings: ApplicationSettings, options: NginxOptions) -> HandedPacs:
    parts = urlsplit(archive.dicomweb_root.rstrip("/"))
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else str(parts.hostname)
    reach = settings.imaging_server.may_reach
    return HandedPacs(
        name=archive.name,
        variable=archive.name.replace("-", "_"),
        ehrs=tuple(ehr.name for ehr in settings.ehr if reach(ehr.name, archive.name)),
        scheme=parts.scheme,
        address=f"{host}:{port}",
        host=parts.netloc,
        server_name=str(parts.hostname),
        root=archive.dicomweb_root.rstrip("/"),
        prefix=parts.path,
        routes=tuple(handed for one in sorted(ROUTES, key=_seldom) for handed in _routes(one, archive)),
        connections=archive.max_connections * settings.server.workers * max(len(options.apps), 1),
        connect_timeout_s=archive.connect_timeout_s,
        read_timeout_s=archive.read_timeout_s,
        authorities=archive.certificate_authority or options.authorities,
        header_names=tuple(archive.headers),
        header_values=tuple(archive.headers.values()),
        authorization=_fixed(archive) if options.mode is Mode.AUTH_REQUEST else "",
    )


def _fixed(archive: PacsSettings) -> str:
    """Archives whose credential changes were refused before."""
    return credential_of(archive).headers().get("Authorization", "")


def _seldom(route: Route) -> bool:
    """nginx tries one pattern after the other, and nearly all that it is asked for are frames."""
    return route.kind is not Kind.FRAMES


def _routes(route: Route, archive: PacsSettings) -> Iterator[HandedRoute]:
    if is_handed(archive.hand_over, route.kind):
        if route.kind is Kind.FRAMES:
            yield _route(route, one_frame=True)
        yield _route(route)


def _route(route: Route, *, one_frame: bool = False) -> HandedRoute:
    return HandedRoute(
        pattern=address_pattern(route, prefix=GROUP_PREFIX, one_frame=one_frame),
        loose=_PIECE.sub("[^/?]+", route.rule),
        upstream_path=_PIECE.sub(rf"${{{GROUP_PREFIX}\1}}", route.rule),
        template=_PIECE.sub(r"<\1>", route.rule),
        accept="frames" if route.kind is Kind.FRAMES else "objects",
        has_series=route.level is not Level.STUDY,
        has_one_part=one_frame,
    )
