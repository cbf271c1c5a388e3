"""The imaging server's own access at an EHR, by SMART Backend Services: for questions that a caller's token may not ask.

Spec: SMART App Launch 2.2 "Backend Services" (client_credentials, private_key_jwt, tokens of at most 300 s); F11.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from fhir_imaging.clients.archive_token_requests import backend_services_request
from fhir_imaging.clients.http import OutboundSession, check_origin
from fhir_imaging.clients.own_token import OwnTokenKeeper
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.clients.token_answers import OwnToken, read_own_token
from fhir_imaging.ehr_servers import origins_of
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import EhrSettings

SignAssertion: TypeAlias = Callable[[EhrSettings, SmartMetadata | None, str], str]
"""A client assertion of ``ehr.backend_client_id`` for one token endpoint, signed with the installation's client keys.

None: nothing is known of the EHR beyond its settings.
"""


class BackendServices:
    """Gets and keeps one token for each EHR; many that want it ask once. Thread-safe.

    ``session`` leaves an authorization server alone that is down.
    """

    def __init__(
        self,
        session: OutboundSession,
        metadata: SmartMetadataClient,
        sign: SignAssertion,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._metadata = metadata
        self._sign = sign
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keepers: dict[str, OwnTokenKeeper] = {}

    def token_of(self, ehr: EhrSettings) -> str | None:
        """As ``BackendTokens.token_of``."""
        keeper = self._keeper(ehr)
        return None if keeper is None else keeper.current()

    def renewed(self, ehr: EhrSettings, refused: str) -> str | None:
        """As ``BackendTokens.renewed``."""
        keeper = self._keeper(ehr)
        return None if keeper is None else keeper.renewed(refused)

    def _keeper(self, ehr: EhrSettings) -> OwnTokenKeeper | None:
        if ehr.backend_client_id is None:
            return None
        with self._lock:
            keeper = self._keepers.get(ehr.name)
            if keeper is None:
                keeper = self._keepers[ehr.name] = OwnTokenKeeper(lambda: self._ask(ehr), monotonic=self._monotonic)
            return keeper

    def _ask(self, ehr: EhrSettings) -> OwnToken:
        metadata = self._needed_metadata(ehr)
        token_url = ehr.backend_token_url or (metadata.token_endpoint if metadata else "")
        check_origin(token_url, origins_of(ehr))
        asked = backend_services_request(ehr.backend_scopes, self._sign(ehr, metadata, token_url))
        response = self._session.post(token_url, data=asked.form, headers=asked.headers, stream=True)
        return read_own_token(response, token_url, "The imaging server could not sign in at the EHR.")

    def _needed_metadata(self, ehr: EhrSettings) -> SmartMetadata | None:
        """What the EHR says of its token endpoint and algorithms; None where the settings name the endpoint and it says none.

        A system that serves Backend Services alone may have no configuration that names an authorization endpoint.
        """
        if ehr.backend_token_url and ehr.assertion_algorithm:
            return None
        try:
            return self._metadata.of(ehr.fhir_base)
        except UpstreamError:
            if ehr.backend_token_url is None:
                raise
            return None
