"""The one maker of outbound HTTP sessions: allow-listed origins, timeouts, bounded retries of GET, no redirects.

Every outside server is reached through a session made here. A request never chooses its own host: an origin that was not
configured is refused before any lookup or connection (SMART Imaging Access groups 24 and 25).
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util.connection import create_connection
from urllib3.util.retry import Retry
from urllib3.util.ssl_ import create_urllib3_context

from fhir_imaging.clients.deadlines import AnswerInTime, seconds_left, within
from fhir_imaging.clients.name_lookup import NameLookups, Resolver, is_address, system_addresses
from fhir_imaging.errors import ConfigurationError, UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.settings import origin_of

USER_AGENT = "imaging-cds"
RETRIED_STATUSES = (429, 502, 503, 504)
# An address that requests sends as it stands: a host in small letters, and plain segments that no dot begins.
_SENT_AS_IT_STANDS = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*(?::[1-9][0-9]{0,4})?(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*)+", re.ASCII
)
_LEAST_WAIT_S = 0.001


class _ConnectsInTime(HTTPConnection):
    """Finding the server's address and reaching it share one time. ``lookups`` says who is asked for addresses."""

    response_class = AnswerInTime

    def __init__(self, *args: Any, lookups: NameLookups, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lookups = lookups

    def connect(self) -> None:
        self.timeout = _time_to_connect(self.timeout)
        super().connect()

    def _new_conn(self) -> socket.socket:
        if is_address(self._dns_host):
            return super()._new_conn()
        until = None if self.timeout is None else time.monotonic() + self.timeout
        try:
            addresses = self._lookups.addresses(self._dns_host, self.port, self.timeout)
            return self._first_open(addresses, until)
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out.") from exc
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except (OSError, UnicodeError) as exc:
            raise NewConnectionError(self, f"No connection to {self.host}: {type(exc).__name__}") from exc

    def _first_open(self, addresses: Sequence[str], until: float | None) -> socket.socket:
        """A connection to the first address that takes one; the last address's failure where none does."""
        failure: OSError = OSError("no address")
        for address in addresses:
            left = None if until is None else max(_LEAST_WAIT_S, until - time.monotonic())
            try:
                return create_connection(
                    (address, self.port), left, source_address=self.source_address, socket_options=self.socket_options
                )
            except OSError as exc:
                failure = exc
        raise failure


class _HttpInTime(_ConnectsInTime):
    pass


class _HttpsInTime(_ConnectsInTime, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpInTime


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsInTime


class _ButNotIfToldToWait(Retry):
    """Retry-After is the server's wish, not ours to wait for inside a clinician's request: callers decide about it (C7)."""

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return not has_retry_after and super().is_retry(method, status_code, has_retry_after)


class _AdapterInTime(HTTPAdapter):
    """``authority``: a certificate authority that counts beside the public ones."""

    def __init__(self, lookups: NameLookups, *args: Any, authority: Path | None = None, **kwargs: Any) -> None:
        self._lookups = lookups
        self._trusts = _trusting(authority) if authority is not None else {}
        super().__init__(*args, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, **self._trusts})
        pools = {"http": _HttpPool, "https": _HttpsPool}
        self.poolmanager.pool_classes_by_scheme = {
            scheme: partial(pool, lookups=self._lookups) for scheme, pool in pools.items()
        }


def _trusting(authority: Path) -> dict[str, ssl.SSLContext]:
    """The connection's own context; requests adds the public authorities to it."""
    context = create_urllib3_context()
    try:
        context.load_verify_locations(cafile=authority)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError([f"certificate_authority: {authority} cannot be read as PEM certificates."]) from exc
    return {"ssl_context": context}


def _time_to_connect(timeout: float | None) -> float | None:
    """A second attempt has only what the first one left."""
    left = seconds_left()
    if left is None:
        return timeout
    return max(_LEAST_WAIT_S, left if timeout is None else min(timeout, left))


class OutboundSession(requests.Session):
    """A ``requests.Session`` that may only reach ``allowed_origins``, never follows redirects and always has a timeout.

    ``timeout_s`` from the question on, an answer has to be there to the last byte of its body, or reading it fails
    (``ran_out_of_time``), however slowly the server drips it. A question may give its answer longer (``answer_s``); then
    ``timeout_s`` is how long the server may be silent.

    ``trust_env`` is off: a proxy variable or a .netrc must not see tokens. ``authorities`` are files with certificate
    authorities, each for one origin. Thread-safe for the plain calls made here.
    """

    def __init__(
        self,
        allowed_origins: Iterable[str],
        *,
        timeout_s: float = 10.0,
        retries: int = 1,
        pool: int = 16,
        resolver: Resolver = system_addresses,
        authorities: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__()
        self.allowed_origins = frozenset(origin_of(origin) for origin in allowed_origins)
        self.timeout_s = timeout_s
        self.trust_env = False
        # A server's session belongs to the caller whose token began it; the next caller must not go on with it.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers["User-Agent"] = USER_AGENT
        retry = _ButNotIfToldToWait(
            total=retries,
            read=False,  # a slow answer has used the caller's time up already
            redirect=0,
            status_forcelist=RETRIED_STATUSES,
            allowed_methods=frozenset({"GET", "HEAD"}),
            backoff_factor=0.1,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        make = partial(_AdapterInTime, NameLookups(resolver), max_retries=retry, pool_connections=pool, pool_maxsize=pool)
        adapter = make()
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        # requests mounts by the beginning of an address: ehr.example would stand for ehr.example.org, and :844 for :8443.
        self._by_origin = {origin_of(origin): make(authority=authority) for origin, authority in (authorities or {}).items()}

    def get_adapter(self, url: str) -> BaseAdapter:
        """The adapter of the very origin, where it has an authority of its own."""
        own = self._by_origin.get(origin_of(url)) if self._by_origin else None
        return own or super().get_adapter(url)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: a redirect is an answer like any other. requests would take its address apart, and fail at an odd one."""

    def close(self) -> None:
        """As in requests, with the adapters by origin."""
        super().close()
        for adapter in self._by_origin.values():
            adapter.close()

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """As in requests, with the allow-list first; UpstreamRefused for an origin that nobody configured.

        Takes ``answer_s`` too: how long the whole answer may take, None = as long as the timeout.
        """
        answer_s = kwargs.pop("answer_s", None)
        address = url.decode() if isinstance(url, bytes) else url
        self.check_origin(address)
        timeout_s = self.timeout_s if kwargs.get("timeout") is None else kwargs["timeout"]
        kwargs["timeout"] = timeout_s
        kwargs["allow_redirects"] = False
        with _question(address, timeout_s if answer_s is None else answer_s):
            return super().request(method, url, *args, **kwargs)

    def ask(
        self,
        url: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        headers: Mapping[str, str],
        timeout_s: float | None = None,
        answer_s: float | None = None,
    ) -> requests.Response:
        """A streamed GET, as ``get`` sends it, at two thirds of its cost. ``timeout_s``: None = the session's own.

        ``answer_s``: how long the whole answer may take, None = as long as ``timeout_s``.

        requests takes an address apart and quotes it anew; one that needs none of it is handed over ready. A card without
        prefetch asks eight questions.
        """
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        if not _SENT_AS_IT_STANDS.fullmatch(url):
            return self.request("GET", url, params=params, headers=headers, timeout=timeout_s, stream=True, answer_s=answer_s)
        self.check_origin(url)
        with _question(url, timeout_s if answer_s is None else answer_s):
            prepared = requests.PreparedRequest()
            prepared.prepare_method("GET")
            prepared.url = f"{url}?{urlencode(params)}" if params else url
            prepared.prepare_headers({**self.headers, **headers})
            return self.send(prepared, timeout=timeout_s, stream=True, proxies=self.proxies, allow_redirects=False)

    def check_origin(self, url: str) -> None:
        """UpstreamRefused unless the URL's origin is allow-listed and it carries no user name or password."""
        check_origin(url, self.allowed_origins)


def check_origin(url: str, allowed: Set[str]) -> None:
    """UpstreamRefused unless the URL's origin is one of those allowed and it carries no user name or password.

    A session serves several EHRs. What one of them names is checked against its own servers too: it has no say where another's
    users sign in, nor who vouches for their tokens (RFC 9700 §4.4, mix-up).
    """
    try:
        origin = origin_of(url)
    except ValueError as exc:
        raise UpstreamRefused("The address is not an http(s) URL.", server="") from exc
    if origin not in allowed or "@" in urlsplit(url).netloc:
        raise UpstreamRefused(f"{origin} is not a configured server, so nothing was sent to it.", server=origin)


def ran_out_of_time(failure: Exception) -> bool:
    """Whether reading a body failed by its time limit; requests calls that a broken connection."""
    return bool(failure.args) and isinstance(failure.args[0], ReadTimeoutError)


@contextmanager
def _question(address: str, answer_s: float) -> Iterator[None]:
    """A question under its deadline; what requests raises, in our words."""
    server = origin_of(address)
    left = seconds_left()
    if left is not None and left <= 0:  # those before it took all the time: that is no failure of this server
        raise UpstreamTimeout("There was no time left to ask the server.", server=server, retryable=True)
    try:
        with within(answer_s):
            yield
    except (requests.exceptions.InvalidHeader, UnicodeError) as exc:
        # Words that no request can hold. The library's own name the header, and so the token: they go no further.
        raise UpstreamError("The question could not be put to the server.", server=server, cause=type(exc).__name__) from None
    except requests.RequestException as exc:
        if isinstance(exc, requests.Timeout) or ran_out_of_time(exc):
            raise UpstreamTimeout("The server did not answer in time.", server=server, retryable=True) from exc
        raise UpstreamError(
            "The server could not be reached.", server=server, retryable=True, cause=type(exc).__name__
        ) from exc
