"""Proxies are believed as werkzeug believes them, however often they say the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.middleware.proxy_fix import ProxyFix

from imaging_cds.trusted_proxies import TrustedProxies
from tests.examples import examples

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SERVER = {
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.url_scheme": "http",
    "HTTP_HOST": "here",
    "SERVER_NAME": "here",
    "SERVER_PORT": "80",
}
SAID = st.sampled_from(
    ["", "10.0.0.1", "10.0.0.1, 10.0.0.2", ' "a" ,b,', "https", "host:8443", "[::1]:80", "x" * 300]
) | st.text(max_size=9)


def seen(make: Any, count: int, said: dict[str, str]) -> dict[str, object]:
    """What an application behind ``count`` proxies is told."""
    told: dict[str, object] = {}

    def app(environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        told.update(environ)
        return ()

    wrapped: WSGIApplication = make(app, count)
    wrapped({**SERVER, **said}, lambda *_: lambda _: None)
    return told


def werkzeugs(app: WSGIApplication, count: int) -> ProxyFix:
    return ProxyFix(app, x_for=count, x_proto=count, x_host=count)


@settings(max_examples=examples(200))
@given(
    st.integers(1, 3),
    st.fixed_dictionaries(
        {}, optional={f"HTTP_X_FORWARDED_{name}": SAID for name in ("FOR", "PROTO", "HOST", "PORT", "PREFIX")}
    ),
)
def test_requests_are_told_as_by_werkzeug(count: int, said: dict[str, str]) -> None:
    assert seen(TrustedProxies, count, said) == seen(werkzeugs, count, said)


@pytest.mark.parametrize("lists", [["10.0.0.1", "10.0.0.2", "10.0.0.1"], ["1" * 300, "2" * 300, "1" * 300]])
def test_one_callers_address_is_not_another_ones(lists: list[str]) -> None:
    told: list[object] = []

    def app(environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        told.append(environ["REMOTE_ADDR"])
        return ()

    wrapped = TrustedProxies(app, 1)
    for one in lists:
        wrapped({**SERVER, "HTTP_X_FORWARDED_FOR": one}, lambda *_: lambda _: None)

    assert told == lists
