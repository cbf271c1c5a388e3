"""Whether, where to and how much of an installation's requests is told to an OpenTelemetry collector."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from fhir_imaging.settings import is_web_address

_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.common")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_OURS = frozenset(("host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Traces for an OpenTelemetry collector, where ``endpoint`` is set: which requests took how long, and what they asked of
    other servers."""

    endpoint: str | None = None
    """Whole address that takes traces by OTLP over HTTP, such as ``https://collector.example:4318/v1/traces``; needs
    ``pip install 'imaging-cds[telemetry]'``."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers that the collector wants with each delivery, such as an API key; in a file (``headers_file``) one a line."""
    certificate_authority: Path | None = None
    """PEM file of the authority that signs the collector's certificate, where no public one does."""
    service_name: str = "imaging-cds"
    """Under which name the collector knows this installation (``service.name``)."""
    sample_ratio: float = 0.1
    """Which part of the requests is traced: 1 = all, 0 = only those that ``accept_traceparent`` lets others choose."""
    accept_traceparent: bool = False
    """Goes on with the traces that the proxies of ``server.trusted_proxies`` began (``traceparent``), and traces what they do;
    say it only where the outermost of them takes a caller's own away."""
    send_traceparent: bool = False
    """Tells EHRs, archives and other servers by ``traceparent`` which trace a question is part of."""

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        return self.endpoint is not None

    def problems(self, trusted_proxies: int) -> Iterator[str]:
        """What cannot work."""
        if not 0 <= self.sample_ratio <= 1:
            yield "telemetry.sample_ratio must be between 0 and 1."
        if not self.service_name.isprintable() or not self.service_name.strip():
            yield "telemetry.service_name must be a name of visible characters."
        if self.accept_traceparent and not trusted_proxies:
            yield "telemetry.accept_traceparent: needs server.trusted_proxies, since callers themselves are not believed."
        yield from self._header_problems()
        if self.endpoint is None:
            return
        if not all(_is_installed(module) for module in _NEEDED):
            yield "telemetry.endpoint: the libraries for it are not installed; pip install 'imaging-cds[telemetry]'."
        if not is_web_address(self.endpoint):
            return  # told with all other addresses
        parts = urlsplit(self.endpoint)
        if "@" in parts.netloc or parts.query or parts.fragment or parts.path in ("", "/"):
            yield "telemetry.endpoint: must be the whole address, mostly ending in /v1/traces, without user, query or fragment."

    def _header_problems(self) -> Iterator[str]:
        for name, value in self.headers.items():
            if not _NAME.fullmatch(name) or name.lower() in _OURS:
                yield f"telemetry.headers: {name!r} is no header that may be set here."
            elif not _VALUE.fullmatch(value):
                yield f"telemetry.headers: the value of {name} must be visible ASCII without line breaks."


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
