"""What a check knows of the imaging server of this installation: whose archives, which rule, which client of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fhir_imaging.clients.backend_client import BackendServices, SignAssertion
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.ehr_servers import certificate_authorities, origins_of
from fhir_imaging.scopes import parse_scopes
from fhir_imaging.settings import EhrSettings, PacsSettings
from imaging_cds.backend_signer import signer_of
from imaging_cds.settings import ApplicationSettings, Component
from imaging_server.access import AccessGrant, BearerToken, read_patient_id
from imaging_server.ownership import Caller
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule

PATIENCE_S = 300
"""How long what is found out counts within one check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingSite:
    """The imaging server as it is configured for one EHR."""

    settings: ImagingServerSettings
    archives: tuple[PacsSettings, ...] = ()
    """Those that this EHR's callers may reach."""
    rule: PatientIdentifierRule | None = None
    """How the archives name this EHR's patients; None where the site does not say."""
    other_ehrs: tuple[EhrSettings, ...] = ()
    """The installation's other EHRs, whose tokens are not this one's."""
    sign: SignAssertion | None = field(default=None, repr=False)
    """Signs for the imaging server's own client at the EHR; None where it has none."""

    @contextmanager
    def session(self, ehr: EhrSettings) -> Iterator[OutboundSession]:
        """A way to the EHR as the imaging server has it."""
        authorities = certificate_authorities([ehr])
        timeout_s = self.settings.ehr_timeout_s
        with OutboundSession(origins_of(ehr), timeout_s=timeout_s, retries=0, authorities=authorities) as session:
            yield session

    def backend(self, session: OutboundSession) -> BackendServices | None:
        """The imaging server's own client; None where the site has none."""
        return BackendServices(session, SmartMetadataClient(session), self.sign) if self.sign else None


def site_of(settings: ApplicationSettings, ehr: EhrSettings) -> ImagingSite | None:
    """The imaging server of an installation for one of its EHRs; None where none runs there."""
    if Component.IMAGING_SERVER not in settings.components:
        return None
    server = settings.imaging_server
    return ImagingSite(
        settings=server,
        archives=tuple(one for one in settings.pacs if server.may_reach(ehr.name, one.name)),
        rule=server.patient_identifiers.get(ehr.name),
        other_ehrs=tuple(one for one in settings.ehr if one.name != ehr.name),
        sign=signer_of(settings) if ehr.backend_client_id else None,
    )


def caller_of(ehr: EhrSettings, patient: str, token: str) -> Caller | None:
    """The holder of a token as the imaging server would see them; None for a patient that is no FHIR id."""
    patient_id = read_patient_id(patient)
    if patient_id is None:
        return None
    grant = AccessGrant(
        ehr=ehr.name,
        issuer=ehr.expected_token_issuer,
        patient_id=patient_id,
        scopes=parse_scopes(""),
        user=None,
        client_id=None,
        expires_at=int(time.time()) + PATIENCE_S,
        token_reference="imaging-cds-check",  # noqa: S106 - it names no token
    )
    return Caller(ehr, grant, patient_id, BearerToken(token))
