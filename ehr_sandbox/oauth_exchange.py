"""Turning a code or a refresh token into tokens; each works once.

Spec: RFC 6749 sections 4.1.3 and 6; RFC 7636; RFC 9700 section 4.14 (refresh rotation with reuse detection).
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import replace

from ehr_sandbox.authorization import Authorization
from ehr_sandbox.faults import REFRESH, TOKEN_ENDPOINT, retry_headers
from ehr_sandbox.oauth_context import Grant, IssuedToken
from ehr_sandbox.oauth_faults import OAuthFault, invalid_grant, invalid_request, unavailable
from ehr_sandbox.oauth_records import CodeRecord
from ehr_sandbox.oauth_scopes import is_narrower
from ehr_sandbox.settings import RegisteredClient

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


def exchange_code(authorization: Authorization, client: RegisteredClient, form: Mapping[str, str]) -> tuple[Grant, IssuedToken]:
    """Tokens for an authorization code. Raises OAuthFault; a code is spent by the first attempt, good or bad."""
    for name in ("code", "redirect_uri", "code_verifier"):
        if not form.get(name):
            raise invalid_request(f"{name} is missing")
    now = time.time()
    _fail_deliberately(authorization, authorization.records.grant_of_code(form["code"]), TOKEN_ENDPOINT)
    record = authorization.records.use_code(form["code"], now)
    if record is None:
        raise invalid_grant("the code is unknown")
    grant = authorization.records.live_grant(record.grant_id)
    fault = _code_fault(record, grant, client, form, now)
    if fault is not None:
        # A second use, or a use by someone who cannot prove the first half, means that the code leaked (S4).
        authorization.records.revoke_grant(record.grant_id, now)
        raise invalid_grant(fault)
    if grant is None:
        raise invalid_grant("the grant was revoked")
    return grant, _with_companions(authorization, grant, now)


def _code_fault(
    record: CodeRecord, grant: Grant | None, client: RegisteredClient, form: Mapping[str, str], now: float
) -> str | None:
    if not record.first_use:
        return "the code was used before; its tokens are revoked"
    if grant is None or grant.client_id != client.client_id:
        return "the code was issued to another client"
    if record.expires_at <= now:
        return "the code has expired"
    if form["redirect_uri"] != record.redirect_uri:
        return "redirect_uri differs from that of the authorization request"
    if not _proves(form["code_verifier"], record.code_challenge):
        return "code_verifier does not match the challenge"
    return None


def _proves(verifier: str, challenge: str) -> bool:
    if _VERIFIER.fullmatch(verifier) is None:
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(computed, challenge)


def _with_companions(authorization: Authorization, grant: Grant, now: float) -> IssuedToken:
    issued = authorization.access_token(grant, " ".join(grant.scope))
    refresh_token = _new_refresh_token(authorization, grant, now)
    id_token = None
    if "openid" in grant.scope:
        dated = int(now) + grant.context.faults.clock_skew_s
        issuer = grant.context.faults.id_token_issuer or advertised_issuer(authorization)
        id_token = authorization.signer.id_token(grant, dated, issued.expires_in, issuer=issuer)
    return replace(issued, refresh_token=refresh_token, id_token=id_token)


def advertised_issuer(authorization: Authorization) -> str:
    """The issuer under which the server presents itself: its own, unless it hides behind another host name."""
    other = authorization.faults.discovery.other_host
    return f"{other}/auth" if other else authorization.settings.issuer


def _fail_deliberately(authorization: Authorization, grant: Grant | None, place: str) -> None:
    if grant is None:
        return
    faults = grant.context.faults
    if authorization.faults.refuses(faults, grant.grant_id, place):
        raise unavailable(retry_headers(faults))
    if faults.token_error is not None:
        raise OAuthFault(faults.token_error, "refused on purpose, to see what the app does")


def _new_refresh_token(authorization: Authorization, grant: Grant, now: float) -> str | None:
    settings = authorization.settings
    if "offline_access" in grant.scope:
        return authorization.records.add_refresh_token(grant.grant_id, now + settings.offline_refresh_lifetime_s)
    if "online_access" in grant.scope:
        # Online access ends with the user's session, however often it is renewed.
        end = grant.created_at + settings.online_refresh_lifetime_s
        return authorization.records.add_refresh_token(grant.grant_id, end)
    return None


def exchange_refresh_token(
    authorization: Authorization, client: RegisteredClient, form: Mapping[str, str]
) -> tuple[Grant, IssuedToken]:
    """A new access token and a new refresh token. Raises OAuthFault; a second use ends the whole grant (S5)."""
    presented = form.get("refresh_token")
    if not presented:
        raise invalid_request("refresh_token is missing")
    now = time.time()
    record = authorization.records.read_refresh_token(presented)
    grant = None if record is None else authorization.records.live_grant(record.grant_id)
    if record is None or grant is None:
        raise invalid_grant("the refresh token is unknown or revoked")
    if grant.client_id != client.client_id:
        authorization.records.revoke_grant(grant.grant_id, now)
        raise invalid_grant("the refresh token was issued to another client")
    scope = _narrowed(form.get("scope"), grant)
    _fail_deliberately(authorization, grant, REFRESH)
    if grant.context.faults.no_new_refresh_token and record.first_use and record.expires_at > now:
        return _renewed(authorization, grant, scope)
    claimed = authorization.records.use_refresh_token(presented, now)
    if claimed is None or not claimed.first_use:
        authorization.records.revoke_grant(grant.grant_id, now)
        raise invalid_grant("the refresh token was used before; the grant is revoked")
    if claimed.expires_at <= now:
        raise invalid_grant("the refresh token has expired")
    renewed, issued = _renewed(authorization, grant, scope)
    return renewed, replace(issued, refresh_token=_new_refresh_token(authorization, grant, now))


def _renewed(authorization: Authorization, grant: Grant, scope: str) -> tuple[Grant, IssuedToken]:
    other = grant.context.faults.refresh_patient
    if other is not None:
        grant = replace(grant, context=replace(grant.context, patient=other))
    return grant, authorization.access_token(grant, scope)


def _narrowed(requested: str | None, grant: Grant) -> str:
    if requested is None or not requested.split():
        return " ".join(grant.scope)
    if not is_narrower(requested.split(), grant.scope):
        raise OAuthFault("invalid_scope", "a refresh cannot ask for more than was granted")
    return " ".join(dict.fromkeys(requested.split()))
