"""What is said when npm could not fetch the viewer: its reason, what to change, and nobody's password."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_cds.viewer_fetch_words import in_words
from smart_app.ohif_release import OHIF_VERSION

PACKAGE = "@ohif/app@3.13.2"
REFUSED = """npm warn Unknown user config "nodedir".
npm error code ECONNREFUSED
npm error syscall connect
npm error errno ECONNREFUSED
npm error FetchError: request to https://r.example/@ohif%2fapp failed, reason: connect ECONNREFUSED 192.0.2.7:3128
npm error     at ClientRequest.<anonymous> (/usr/lib/node_modules/npm/node_modules/minipass-fetch/lib/index.js:130:14)
npm error     at process.processTicksAndRejections (node:internal/process/task_queues:83:21) {
npm error   code: 'ECONNREFUSED',
npm error   port: 3128,
npm error }
npm error
npm error If you are behind a proxy, please make sure that the 'proxy' config is set properly.  See: 'npm help config'
npm error A complete log of this run can be found in: /srv/scratch/_logs/debug-0.log
"""
"""As npm 11 says it."""


def test_the_reason_is_shown_and_not_where_in_npm_it_was_found() -> None:
    told = in_words(PACKAGE, REFUSED, {})

    assert told.splitlines()[1:3] == [
        "npm error code ECONNREFUSED",
        "npm error FetchError: request to https://r.example/@ohif%2fapp failed, reason: connect ECONNREFUSED 192.0.2.7:3128",
    ]
    assert "minipass" not in told
    assert "_logs" not in told
    assert "nodedir" not in told


def test_the_operations_page_names_the_package_that_is_pinned() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()

    assert f"`npm pack @ohif/app@{OHIF_VERSION}`" in page
    assert f"--from-file ohif-app-{OHIF_VERSION}.tgz`" in page


@pytest.mark.parametrize(
    ("environment", "said", "words"),
    [
        ({"https_proxy": "http://proxy.example:3128"}, REFUSED, "https_proxy sends npm through the proxy 'proxy.example:3128'"),
        ({"npm_config_proxy": "http://a.example:1", "HTTPS_PROXY": "http://b.example"}, REFUSED, "npm_config_proxy sends npm"),
        ({}, REFUSED, "https-proxy=http://HOST:PORT in ~/.npmrc"),
        ({"HTTPS_PROXY": "http://p.example:1"}, "npm error code E407", "npm config list"),
        ({"HTTPS_PROXY": "http://p.example:1"}, "npm error 407 Proxy Authentication Required", "HTTPS_PROXY=http://NAME:"),
        ({}, "npm error code SELF_SIGNED_CERT_IN_CHAIN", "NODE_EXTRA_CA_CERTS="),
        ({}, "npm error code E404", "npm config list"),
        ({}, "", "It said:\nnothing\n"),
    ],
    ids=["proxy", "npm-before-others", "no-proxy", "another-code", "sign-in", "authority", "not-there", "silent"],
)
def test_what_to_change_is_named(environment: dict[str, str], said: str, words: str) -> None:
    told = in_words(PACKAGE, said, environment)

    assert words in told
    assert "--from-file TARBALL" in told


@pytest.mark.parametrize(
    "said",
    [
        "npm error input: 'http://reader:p%40ss-word@proxy.example:port'",
        "npm error reason: bad sign-in reader:p@ss-word",
        "npm error the password p@ss-word is not the one",
        "npm error request to http://else:an-p@ss-word@registry.example/ failed",
    ],
    ids=["address", "decoded", "alone", "another-address"],
)
def test_no_password_is_repeated(said: str) -> None:
    environment = {"https_proxy": "http://reader:p%40ss-word@proxy.example:3128"}

    told = in_words(PACKAGE, f"{said}\nnpm error code ECONNRESET", environment)

    assert "ss-word" not in told
    assert "through the proxy 'proxy.example:3128'" in told
