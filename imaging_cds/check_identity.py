"""Whether the EHR's statements about its users can be verified: issuer, OpenID configuration, public keys.

Spec: SMART App Launch 2.2 "Scopes for requesting identity data" (A34); OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.tolerant import dicts, text
from imaging_cds.check_context import CheckContext
from imaging_cds.check_report import Area, Finding

AREA = Area("Identity and keys")


def check_identity(context: CheckContext, document: Mapping[str, Any], metadata: SmartMetadata) -> Iterator[Finding]:
    """Issuer and keys, as far as an id_token is asked for."""
    asks = "openid" in context.ehr.scopes.split()
    if not asks:
        yield AREA.note("No identity is asked for (openid is not among the scopes of this EHR).")
    if metadata.issuer is None:
        if asks:
            yield AREA.warning(
                "issuer is missing, so id_tokens are expected to carry the FHIR base as iss.",
                "Where they carry another, add it to issuer_aliases of this EHR.",
            )
    else:
        yield from _check_issuer(context, metadata.issuer)
    stated = text(document.get("jwks_uri"))
    if metadata.jwks_uri is not None:
        yield from _check_keys(context, metadata.jwks_uri)
    elif stated is not None:
        yield AREA.fault(f"jwks_uri is no http(s) address: {stated}.", "The EHR must correct it.")
    elif asks:
        yield AREA.fault(
            "jwks_uri is missing, so no id_token can be verified.",
            "The EHR must name it (sso-openid-connect); else take openid and fhirUser out of this EHR's scopes.",
        )


def _check_issuer(context: CheckContext, issuer: str) -> Iterator[Finding]:
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    answer = context.prober.get(url, accept="application/json")
    document = answer.document() if answer.status == 200 else None
    if document is None:
        yield AREA.note(f"The issuer is {issuer}; its OpenID configuration is not readable ({answer.said}).", answer.remedy)
    elif text(document.get("issuer")) != issuer:
        yield AREA.warning(
            f"The issuer is {issuer}, whose OpenID configuration calls itself {text(document.get('issuer'))}.",
            "id_tokens may carry either; add the other to issuer_aliases of this EHR.",
        )
    else:
        yield AREA.ok(f"The issuer is {issuer}, and its OpenID configuration agrees.")


def _check_keys(context: CheckContext, url: str) -> Iterator[Finding]:
    if not context.is_of_ehr(url):
        yield AREA.fault(
            f"jwks_uri is on another origin than the EHR, so the keys are not fetched: {url}.",
            "If it belongs to the EHR, add its origin to server_origins of this EHR.",
        )
        return
    answer = context.prober.get(url, accept="application/json")
    keys = dicts((answer.document() or {}).get("keys"))
    usable = [one for one in keys if one.get("kty") in ("RSA", "EC") and one.get("use", "sig") == "sig"]
    if answer.status != 200 or not usable:
        said = answer.said if answer.status != 200 else "it holds no RSA or EC key for signatures"
        remedy = answer.remedy or "The EHR must publish the keys that sign its id_tokens, without sign-in."
        yield AREA.fault(f"{url}: {said}.", remedy)
        return
    yield AREA.ok(f"{len(usable)} public {'key is' if len(usable) == 1 else 'keys are'} read from {url}.")
    if any("d" in one for one in keys):
        yield AREA.fault("The key set holds a private key.", "The EHR must withdraw that key at once and make a new one.")
    if len(usable) > 1 and not all(text(one.get("kid")) for one in usable):
        yield AREA.note("Not every key has a kid; each key of the right type is tried then.")
