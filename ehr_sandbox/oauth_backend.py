"""Tokens for a service that no user started: SMART Backend Services.

Spec: SMART App Launch 2.2 "Backend Services" (client_credentials, private_key_jwt, tokens of at most 300 s); RFC 6749 §4.4.
"""

import time
import uuid
from collections.abc import Mapping

from ehr_sandbox.authorization import Authorization, TokenOptions
from ehr_sandbox.oauth_context import Grant, IssuedToken, LaunchContext
from ehr_sandbox.oauth_faults import OAuthFault
from ehr_sandbox.oauth_scopes import grantable_to_service
from ehr_sandbox.settings import RegisteredClient

LIFETIME_S = 300


def issue_to_service(
    authorization: Authorization, client: RegisteredClient, form: Mapping[str, str]
) -> tuple[Grant, IssuedToken]:
    """A token for the client's own account, without a refresh token. Raises OAuthFault."""
    if client.auth_method != "private_key_jwt":
        raise OAuthFault("unauthorized_client", "only clients that sign with their own keys may act by themselves")
    scope = grantable_to_service(form.get("scope", ""), client.scopes)
    if not scope:
        raise OAuthFault("invalid_scope", "nothing of this is registered for the client")
    context = LaunchContext(smart_style=False, need_patient_banner=None)
    grant = Grant(grant_id=str(uuid.uuid4()), client_id=client.client_id, scope=scope, context=context, created_at=time.time())
    authorization.records.add_grant(grant)
    options = TokenOptions(
        lifetime_s=min(LIFETIME_S, authorization.lifetime_s(grant)),
        # For the records only: no other server that takes this one's tokens has to do with it.
        audiences=(authorization.settings.fhir_base,),
    )
    return grant, authorization.access_token(grant, " ".join(scope), options)
