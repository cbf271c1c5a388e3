"""The SMART authorization server's core: launches, grants and tokens, without HTTP.

Works from the state directory alone, so that the command line can issue a token for a sandbox that runs elsewhere.
Written here and not with Authlib's server side, which takes `plain` challenges and enforces PKCE for public
clients only.
"""

import time
import uuid
from dataclasses import dataclass, replace

from ehr_sandbox.faults import FaultDesk
from ehr_sandbox.oauth_context import Grant, IssuedToken, LaunchContext
from ehr_sandbox.oauth_keys import load_rs256_key
from ehr_sandbox.oauth_records import AuthorizationRecords
from ehr_sandbox.oauth_scopes import grantable
from ehr_sandbox.oauth_tokens import TokenSigner
from ehr_sandbox.settings import RegisteredClient, SandboxSettings


class UnknownClient(ValueError):
    """No client of that id or launch URL is registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """How a token that the EHR issues itself differs from an ordinary one; None means as usual."""

    lifetime_s: int | None = None
    audiences: tuple[str, ...] | None = None
    with_id_token: bool = False


class Authorization:
    """Issues launches and tokens, and checks tokens."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Open or create the keys and records in the state directory."""
        self.settings = settings
        self.faults = FaultDesk(discovery=settings.discovery_faults)
        self.records = AuthorizationRecords(settings.state_dir / "authorization.sqlite3")
        self.signer = TokenSigner(settings=settings, key=load_rs256_key(settings.state_dir / "authorization-signing-key.pem"))

    def issue_launch(self, client_id: str, context: LaunchContext) -> str:
        """A single-use `launch` handle for that client, live for a few minutes."""
        self._client(client_id)
        return self.records.add_launch(client_id, context, time.time() + self.settings.launch_lifetime_s)

    def client_of_launch_url(self, launch_url: str) -> RegisteredClient:
        """The client that registered this launch URL. Raises UnknownClient."""
        for client in self.settings.clients:
            if launch_url in client.launch_urls:
                return client
        raise UnknownClient("no client registered this launch URL")

    def issue_token(
        self, client_id: str, scope: str, context: LaunchContext, options: TokenOptions | None = None
    ) -> IssuedToken:
        """An access token that the EHR issues on its own account: `fhirAuthorization` and the command line.

        Scopes that the server does not know or the client may not have are left out; see `IssuedToken.scope`.
        """
        options = options or TokenOptions()
        client = self._client(client_id)
        context = replace(context, user=context.user or self.settings.default_user)
        grant = Grant(
            grant_id=str(uuid.uuid4()),
            client_id=client_id,
            scope=grantable(scope, client.scopes, context.faults.denied_scopes),
            context=context,
            created_at=time.time(),
        )
        self.records.add_grant(grant)
        issued = self.access_token(grant, " ".join(grant.scope), options)
        if not options.with_id_token:
            return issued
        id_token = self.signer.id_token(grant, int(time.time()), issued.expires_in)
        return replace(issued, id_token=id_token)

    def access_token(self, grant: Grant, scope: str, options: TokenOptions | None = None) -> IssuedToken:
        """A registered access token of the grant, without refresh token and id_token."""
        options = options or TokenOptions()
        now = int(time.time())
        lifetime_s = options.lifetime_s or self.lifetime_s(grant)
        token, jti = self.signer.access_token(grant, scope, now, lifetime_s, options.audiences)
        self.records.add_access_token(jti, grant.grant_id, scope, now + lifetime_s)
        return IssuedToken(access_token=token, expires_in=lifetime_s, scope=scope)

    def lifetime_s(self, grant: Grant) -> int:
        """How long the grant's access tokens live; a fault of the launch wins over one of the client."""
        client = self.settings.client(grant.client_id)
        of_client = client.faults.access_token_lifetime_s if client else None
        return grant.context.faults.access_token_lifetime_s or of_client or self.settings.access_token_lifetime_s

    def grant_of_token(self, token: str, audience: str | None) -> tuple[Grant, dict[str, object]] | None:
        """The live grant and the claims of an access token for that audience; None when it is not good."""
        claims = self.signer.verified(token, audience)
        if claims is None:
            return None
        grant = self.records.grant_of_access_token(str(claims["jti"]))
        return None if grant is None else (grant, claims)

    def _client(self, client_id: str) -> RegisteredClient:
        client = self.settings.client(client_id)
        if client is None:
            raise UnknownClient(f"no client '{client_id}' is registered")
        return client
