"""Why npm could not fetch the viewer, for the person at the terminal: what it said, without passwords, and what to change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

# As npm looks for them; its own settings go before the others.
_PROXY_VARIABLES = (
    *("npm_config_https_proxy", "npm_config_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "PROXY", "proxy"),
)
_SIGN_IN = re.compile(r"[^\s/'\"]*:[^\s/'\"]*@")
"""Name and password of an address; also of one that is too odd to be read as an address."""
_SHOWN_LINES = 5
_NOISE = re.compile(r"\s+at |[\s\w]*[{}]|\s{2,}\w+: |\s*\Z|\s*A complete log| (?:errno|syscall) |.*See: 'npm help config'")
"""Where in npm's program it happened, what it says twice, and a log file that goes with the scratch directory."""

_NOT_REACHED = (
    r"ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ERR_SOCKET_TIMEOUT|EHOSTUNREACH|ENETUNREACH|ECONNRESET|EPROTO|EIDLETIMEOUT"
)
_ANSWERS_FOR_IT = r"502 |503 |504 "
_NO_ADDRESS = r"Invalid URL|ERR_INVALID_URL|EINVALIDPROXY"
_CERTIFICATES = r"SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|CERT_(?:HAS_EXPIRED|UNTRUSTED)|ERR_TLS_CERT"


def in_words(package: str, said: str, environment: Mapping[str, str]) -> str:
    """The whole message; ``said`` is npm's output, ``environment`` the one it ran in."""
    every = said.strip().splitlines()
    errors = [line for line in every if line.startswith("npm error")]  # and not its warnings of this and that
    lines = [line for line in errors or every if not _NOISE.match(line.removeprefix("npm error"))]
    shown = "\n".join(_without_sign_in(line, environment) for line in lines[:_SHOWN_LINES]) or "nothing"
    return (
        f"npm could not fetch {package}. It said:\n{shown}\n{_remedy(said, environment)}\n"
        f"Or hand over a tarball made elsewhere by `npm pack {package}`: imaging-cds viewer --from-file TARBALL."
    )


def _remedy(said: str, environment: Mapping[str, str]) -> str:
    variable = next((name for name in _PROXY_VARIABLES if environment.get(name)), None)
    if re.search(r"\b407\b|Proxy Authentication Required", said):
        return (
            "The proxy asks for a name and a password that it knows: say them in its address, with @ : / % in them "
            f"percent-encoded: {variable or 'https_proxy'}=http://NAME:PASSWORD@HOST:PORT"
        )
    if re.search(_CERTIFICATES, said):
        return (
            "The certificate shown is of an authority that npm does not know; a proxy that looks into TLS has one of the "
            "site's own. Say its file: NODE_EXTRA_CA_CERTS=/path/authority.pem"
        )
    if variable and re.search(f"{_NOT_REACHED}|{_ANSWERS_FOR_IT}|{_NO_ADDRESS}", said):
        return (
            f"{variable} sends npm through the proxy {_place(environment[variable])}. If that is not its address, say "
            f"{variable}=http://HOST:PORT; if no proxy is needed, unset {variable}; if it is right, ask whoever runs it "
            "whether it lets this machine through to npm's registry (`npm config get registry`)."
        )
    if re.search(_NOT_REACHED, said):
        return (
            "npm did not get through to its registry (`npm config get registry`). If this machine reaches the internet through "
            "a proxy, say https_proxy=http://HOST:PORT in the environment, or https-proxy=http://HOST:PORT in ~/.npmrc; if the "
            "site has a registry of its own, npm config set registry URL."
        )
    return "Check the network and npm's settings of registry and proxy (`npm config list`)."


def _place(address: str) -> str:
    """Host and port, and nothing of who signs in there."""
    return repr(re.sub(r"\A\w+://", "", address.rpartition("@")[2]).partition("/")[0])


def _without_sign_in(line: str, environment: Mapping[str, str]) -> str:
    for name in _PROXY_VARIABLES:
        sign_in = re.sub(r"\A\w+://", "", environment.get(name, "")).rpartition("@")[0]
        secret = sign_in.partition(":")[2]
        for one in (sign_in, unquote(sign_in), secret, unquote(secret)):
            line = line.replace(one, "…") if one else line
    return _SIGN_IN.sub("…@", line)
