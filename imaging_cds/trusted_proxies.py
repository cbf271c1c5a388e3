"""What proxies in front say of a request: who asked, by which scheme and at which host.

werkzeug's ``ProxyFix`` does all of it. A proxy says the same of each of a viewer's thousand frames: here it is read once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_LISTS = 1024
_LONGEST = 256
"""Characters of a list that is kept: an address or a host is shorter, and nobody fills the memory with others."""


class TrustedProxies(ProxyFix):
    """Believes that many proxies, and nobody before them."""

    def __init__(self, app: WSGIApplication, count: int) -> None:
        super().__init__(app, x_for=count, x_proto=count, x_host=count)
        self._known = lru_cache(maxsize=_LISTS)(super()._get_real_value)

    def _get_real_value(self, trusted: int, value: str | None) -> str | None:
        read = self._known if len(value or "") <= _LONGEST else super()._get_real_value
        return read(trusted, value)
