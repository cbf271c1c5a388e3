"""Where a study's pixels are: FHIR Endpoints found by the Bundle's reference rules, and whether a token may go there.

Spec: SMART Imaging Access C3-C6 (three forms: contained, included, response-local ``urn:uuid:``), F4; FHIR R4/R5 Endpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from fhir_imaging.settings import origin_of
from fhir_imaging.study import ImagingStudy
from fhir_imaging.tolerant import dicts, text

WADO_RS = "dicom-wado-rs"
# IHE Invoke Image Display and IHE MADO: addresses for people, which serve no pixels to another viewer.
VIEWERS = frozenset({"ihe-iid", "web-viewer"})
# R5 has "limited" too: not everything works, and what does is worth trying.
_WORKING = ("active", "limited", "test")
# Two generations of the SMART Imaging Access draft name the same flag differently; both are read.
REQUIRES_ACCESS_TOKEN = frozenset(
    {
        "http://hl7.org/fhir/smart-app-launch/StructureDefinition/requires-access-token",
        "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token",
    }
)

_NO_REWRITES: Mapping[str, str] = MappingProxyType({})


class EndpointState(StrEnum):
    """What the study list says of a study's images."""

    USABLE = "usable"
    MISSING = "missing"
    OTHER_VIEWER = "other-viewer"
    INACTIVE = "inactive"
    UNRESOLVED = "unresolved"
    ORIGIN_REFUSED = "origin-refused"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One WADO-RS Endpoint. ``send_token`` is false only where the Endpoint itself forbids the token."""

    address: str
    connection_types: tuple[str, ...]
    status: str
    send_token: bool


@dataclass(frozen=True, slots=True)
class ResolvedEndpoint:
    """What became of a study's Endpoints: the usable ``endpoint``, or why there is none. ``address`` is for words only.

    ``refused`` are the addresses of all its Endpoints that the token may not go to, beside a usable one too.
    """

    state: EndpointState
    endpoint: Endpoint | None = None
    address: str | None = None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BundleResources:
    """Where references of a search answer may lead: entries by fullUrl, and included resources by ``Type/id``."""

    by_full_url: Mapping[str, Mapping[str, Any]]
    by_type_and_id: Mapping[str, Mapping[str, Any]]


def resolve_endpoint(
    study: ImagingStudy,
    resources: BundleResources,
    allowed_origins: Collection[str],
    rewrites: Mapping[str, str] = _NO_REWRITES,
) -> ResolvedEndpoint:
    """The study's first WADO-RS Endpoint whose origin may receive the token; else the most telling reason why not.

    ``rewrites`` gives the address to use in place of one that the site cannot change in FHIR (``EhrSettings``).
    """
    best = ResolvedEndpoint(EndpointState.MISSING)
    refused: list[str] = []
    for reference in study.endpoint_references:
        one = _resolve_one(study, _resource(study, reference, resources), allowed_origins, rewrites)
        best = _more_telling(best, one)
        if one.state is EndpointState.ORIGIN_REFUSED and one.address is not None:
            refused.append(one.address)
    return replace(best, refused=tuple(dict.fromkeys(refused)))


def _resolve_one(
    study: ImagingStudy, resource: Mapping[str, Any] | None, allowed_origins: Collection[str], rewrites: Mapping[str, str]
) -> ResolvedEndpoint:
    if resource is None:
        return ResolvedEndpoint(EndpointState.UNRESOLVED)
    endpoint = read_endpoint(resource)
    if endpoint is None or WADO_RS not in endpoint.connection_types:
        is_viewer = endpoint is not None and VIEWERS.intersection(endpoint.connection_types)
        return ResolvedEndpoint(EndpointState.OTHER_VIEWER if is_viewer else EndpointState.MISSING)
    return _judge(_with_own_address(endpoint, study, rewrites), allowed_origins)


def with_local_endpoints(study: dict[str, Any], of_page: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """An ImagingStudy resource with its response-local Endpoints inside it, ``of_page`` being the entries by fullUrl.

    A ``urn:uuid:`` means something on its own page only (SMART Imaging Access F12), so it must not meet another page's.
    """
    owners = (study, *dicts(study.get("series")))
    named = {text(one.get("reference")) or "" for owner in owners for one in dicts(owner.get("endpoint"))}
    local = [{**of_page[one], "id": one} for one in sorted(named) if one.startswith("urn:") and one in of_page]
    return {**study, "contained": [*dicts(study.get("contained")), *local]} if local else study


def read_endpoint(resource: Mapping[str, Any]) -> Endpoint | None:
    """The Endpoint in a resource of R4 or R5; None when it is none or has no address."""
    address = resource.get("address")
    if resource.get("resourceType") != "Endpoint" or not isinstance(address, str) or not address.strip():
        return None
    return Endpoint(
        address=address.strip().rstrip("/"),
        connection_types=_connection_types(resource.get("connectionType")),
        status=str(resource.get("status") or "unknown"),
        send_token=_token_flag(resource),
    )


def may_receive_token(address: str, allowed_origins: Collection[str]) -> bool:
    """Whether the token may go to this address: a configured origin (which says http or https), and no user info."""
    try:
        origin = origin_of(address)
    except ValueError:
        return False
    authority = urlsplit(address).netloc
    if "@" in authority or "\\" in address:
        return False
    return origin in allowed_origins


def _with_own_address(endpoint: Endpoint, study: ImagingStudy, rewrites: Mapping[str, str]) -> Endpoint:
    """The Endpoint with the address of its DICOMweb root, as the site's settings would have it."""
    # Some servers append the study to the address (IHE IMR examples); the base is what precedes it.
    suffixes = (f"/studies/{study.study_instance_uid}", f"/study/{study.study_instance_uid}")
    address = next((endpoint.address.removesuffix(s) for s in suffixes if endpoint.address.endswith(s)), endpoint.address)
    by_root = {stated.rstrip("/"): used.rstrip("/") for stated, used in rewrites.items()}
    return replace(endpoint, address=by_root.get(address, address))


def _judge(endpoint: Endpoint, allowed_origins: Collection[str]) -> ResolvedEndpoint:
    if endpoint.status not in _WORKING:
        return ResolvedEndpoint(EndpointState.INACTIVE, address=endpoint.address)
    if not may_receive_token(endpoint.address, allowed_origins):
        return ResolvedEndpoint(EndpointState.ORIGIN_REFUSED, address=endpoint.address)
    return ResolvedEndpoint(EndpointState.USABLE, endpoint, endpoint.address)


def _resource(study: ImagingStudy, reference: str, resources: BundleResources) -> Mapping[str, Any] | None:
    inside = reference.removeprefix("#")
    if inside != reference or reference.startswith("urn:"):
        found = next((one for one in study.contained if one.get("id") == inside), None)
        if found is not None or inside != reference:
            return found
    if reference in resources.by_full_url:
        return resources.by_full_url[reference]
    segments = reference.split("/")
    if "_history" in segments:
        segments = segments[: segments.index("_history")]
    return resources.by_type_and_id.get("/".join(segments[-2:]))


def _connection_types(value: object) -> tuple[str, ...]:
    """R4: one Coding. R5: CodeableConcepts."""
    items = value if isinstance(value, list) else [value]
    codes: list[str] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        codings = item.get("coding")
        for coding in codings if isinstance(codings, list) else [item]:
            if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                codes.append(coding["code"])
    return tuple(codes)


def _token_flag(resource: Mapping[str, Any]) -> bool:
    extensions = resource.get("extension")
    for extension in extensions if isinstance(extensions, list) else []:
        if isinstance(extension, dict) and extension.get("url") in REQUIRES_ACCESS_TOKEN:
            return extension.get("valueBoolean") is not False
    return True


_TELLING = (
    EndpointState.MISSING,
    EndpointState.OTHER_VIEWER,
    EndpointState.UNRESOLVED,
    EndpointState.INACTIVE,
    EndpointState.ORIGIN_REFUSED,
    EndpointState.USABLE,
)


def _more_telling(one: ResolvedEndpoint, other: ResolvedEndpoint) -> ResolvedEndpoint:
    """The first of two that tell as much."""
    return max(one, other, key=lambda resolved: _TELLING.index(resolved.state))
