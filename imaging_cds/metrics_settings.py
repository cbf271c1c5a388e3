"""Who may read the metrics of an installation."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Who may read ``/metrics`` (Prometheus). Nobody, unless one of these is set; where both are, both must hold."""

    networks: tuple[str, ...] = ()
    """Networks of the clients that may read it, such as ``10.1.0.0/16``; a proxy's clients count by their own address where
    ``server.trusted_proxies`` counts the proxy, and not at all where it does not."""
    bearer_token: str | None = field(default=None, repr=False)
    """What the reader sends as a bearer token, at least 16 characters."""

    @property
    def is_on(self) -> bool:
        """Whether anybody may."""
        return bool(self.networks or self.bearer_token)

    def problems(self) -> Iterator[str]:
        """What cannot work."""
        for network in self.networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                yield f"metrics.networks: {network!r} is no network such as 10.1.0.0/16."
        if self.bearer_token is not None and len(self.bearer_token) < MIN_TOKEN_LENGTH:
            yield f"metrics.bearer_token must have at least {MIN_TOKEN_LENGTH} characters."

    def is_inside(self, address: str | None) -> bool:
        """Whether a client at this address may read it; any where no networks are set."""
        if not self.networks:
            return True
        try:
            client = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        mapped = client.ipv4_mapped if isinstance(client, ipaddress.IPv6Address) else None
        return any((mapped or client) in ipaddress.ip_network(network) for network in self.networks)

    def knows(self, authorization: str | None) -> bool:
        """Whether the Authorization header holds the token; any does where none is set."""
        if self.bearer_token is None:
            return True
        scheme, _, sent = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), self.bearer_token.encode())
