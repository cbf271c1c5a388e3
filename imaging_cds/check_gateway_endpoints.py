"""Whether the Endpoints of a list can be used, and used safely.

Spec: SMART Imaging Access F4 (M11), P1, C3 (M16: viewers that do not look where the token goes), M7.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from fhir_imaging.endpoints import REQUIRES_ACCESS_TOKEN, WADO_RS
from fhir_imaging.settings import is_loopback, origin_of
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_report import NotOffered, NotTried, Outcome
from imaging_cds.check_gateway_requirement import Requirement, fault, judged

CONNECTION_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_STATUSES = ("active", "suspended", "error", "off", "entered-in-error", "test")
_ADDRESS_INSIDE = re.compile(r"https?:/|https?%3a", re.IGNORECASE)


def _wado_endpoints(exam: Examination) -> list[Mapping[str, Any]]:
    exam.listed()
    found = [one for one in exam.endpoints if as_dict(one.get("connectionType")).get("code") == WADO_RS]
    if not found:
        raise NotTried("The list holds no Endpoint of type dicom-wado-rs.")
    return found


def _shape(exam: Examination) -> Outcome:
    exam.listed()
    found = [one for one in exam.endpoints if as_dict(one.get("connectionType")).get("code") == WADO_RS]
    if not exam.endpoints:
        raise NotTried("The list holds no Endpoint.")
    if not found:
        return fault(f"{len(exam.endpoints)} Endpoints, none of type {WADO_RS}.")
    return judged([problem for one in found for problem in _problems(one)], f"{len(found)} Endpoints of type {WADO_RS}.")


def _flags(exam: Examination) -> Outcome:
    flags = [
        extension.get("valueBoolean")
        for one in _wado_endpoints(exam)
        for extension in dicts(one.get("extension"))
        if extension.get("url") in REQUIRES_ACCESS_TOKEN
    ]
    if not flags:
        raise NotOffered("No Endpoint has requires-access-token; the latest draft has done away with it.")
    bad = [f"requires-access-token is {flag!r}" for flag in flags if flag is not True]
    return judged(bad, "requires-access-token is true.")


def _addresses(exam: Examination) -> Outcome:
    stated = sorted({text(one.get("address")) or "" for one in _wado_endpoints(exam)})
    problems = [problem for one in stated for problem in _address_problems(one)]
    foreign = sorted({origin_of(one) for one in stated if not problems and not exam.probe.may_ask(one)})
    if foreign:
        raise NotTried(f"Images are at {', '.join(foreign)}, which --allow-origin does not name: ask whose servers they are.")
    return judged(problems, f"{len(stated)} addresses, all on origins that may see the token.")


def _tenant(exam: Examination) -> Outcome:
    addresses = {exam.subject.base} | {text(one.get("address")) or "" for one in exam.endpoints}
    return judged([problem for one in sorted(addresses) for problem in _settings_in(one)], "No settings in the addresses.")


def _problems(endpoint: Mapping[str, Any]) -> Iterator[str]:
    name = f"Endpoint {text(endpoint.get('id')) or '(without id)'}"
    if endpoint.get("status") not in _STATUSES:
        yield f"{name} has no status of R4"
    if as_dict(endpoint.get("connectionType")).get("system") != CONNECTION_TYPES:
        yield f"{name}: connectionType has another system than {CONNECTION_TYPES}"
    if not dicts(endpoint.get("payloadType")):
        yield f"{name} has no payloadType"
    if text(endpoint.get("address")) is None:
        yield f"{name} has no address"


def _address_problems(address: str) -> Iterator[str]:
    try:
        origin_of(address)
    except ValueError:
        yield "an address is not http(s)"
        return
    parts = urlsplit(address)
    if "@" in parts.netloc:
        yield f"an address of {parts.hostname} carries a user name"
    if parts.scheme == "http" and not is_loopback(address):
        yield f"an address is plain http ({parts.hostname})"


def _settings_in(address: str) -> Iterator[str]:
    """A server's settings written into its address: whoever writes the address chooses the servers that it asks."""
    behind = address.partition("://")[2]
    if _ADDRESS_INSIDE.search(behind):
        yield f"an address at {_host(address)} holds another address"
    for piece in re.split(r"[/?&=]", behind):
        if isinstance(_unpacked(unquote(piece)), dict):
            yield f"an address at {_host(address)} holds a JSON object"


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or "no host"
    except ValueError:
        return "no host"


def _unpacked(piece: str) -> object:
    try:
        return json.loads(piece if piece.startswith("{") else base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None


ENDPOINT_REQUIREMENTS = (
    Requirement(
        ids="F4 M11",
        name="endpoint",
        asks="Each Endpoint has status, connectionType dicom-wado-rs, payloadType and address.",
        remedy="Complete the Endpoint (base R4 demands payloadType too).",
        check=_shape,
    ),
    Requirement(
        ids="P1",
        name="flag",
        asks="requires-access-token, where it is written, is true.",
        remedy="Demand the token for images too and write true: false hands out images by address alone.",
        check=_flags,
    ),
    Requirement(
        ids="M16 C3",
        name="address",
        asks="The addresses of images may see the token: https, no user name, origins that were allowed.",
        remedy="Serve images by https at an origin of the same trust; many viewers do not look where they send the token.",
        check=_addresses,
    ),
    Requirement(
        ids="M7",
        name="settings-in-address",
        asks="No address carries the server's settings (another server, a packed JSON object). Only looked at, not tried.",
        remedy="Keep settings on the server; else whoever writes an address chooses whom the server asks (SSRF).",
        check=_tenant,
    ),
)
