"""Our imaging server between the sandbox EHR and the sandbox PACS with the demo's patients, and the tokens to check it with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ehr_sandbox.authorization import TokenOptions
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.oauth_records import Grant
from ehr_sandbox.settings import SandboxSettings
from fhir_imaging.settings import EhrSettings, Ownership
from imaging_cds.check_gateway_subject import TokenKind
from tests.demo_hospital import PATIENT, DemoHospital, a_demo_hospital, signed_by

SCOPE = "patient/ImagingStudy.rs patient/Patient.r patient/Endpoint.rs"


class CheckedDemo(DemoHospital):
    """``sandbox`` is the EHR of the images by its own ImagingStudy; ``archived`` has studies by the archive's word only."""

    @property
    def fhir(self) -> str:
        """Our own imaging FHIR endpoint."""
        return f"{self.app_url}/imaging/archived/fhir"

    def token(self, patient: str | None = PATIENT, scope: str = SCOPE, **options: Any) -> str:
        """A token with exactly this scope, as an EHR with other habits might grant it."""
        grant = Grant(
            grant_id=str(uuid.uuid4()),
            client_id="imaging-cds",
            scope=tuple(scope.split()),
            context=LaunchContext(patient=patient, user=self.sandbox.default_user),
            created_at=time.time(),
        )
        self.authorization.records.add_grant(grant)
        return self.authorization.access_token(grant, scope, TokenOptions(**options)).access_token

    def tokens(self) -> dict[TokenKind, str]:
        """One of each kind."""
        return {
            TokenKind.GOOD: self.token(),
            TokenKind.ENDED: self.token(lifetime_s=-600),
            TokenKind.FOREIGN: self.token(audiences=("https://other.example/fhir",)),
            TokenKind.UNSCOPED: self.token(scope="patient/Patient.r"),
            TokenKind.PATIENTLESS: self.token(None),
            TokenKind.SYSTEM: self.token(None, scope="system/ImagingStudy.rs"),
            TokenKind.MIXED: self.token(scope="patient/Observation.rs patient/Patient.r system/ImagingStudy.rs"),
            TokenKind.WIDE: self.token(scope="patient/ImagingStudy.cruds patient/Patient.r"),
            TokenKind.FILTERED: self.token(scope="patient/ImagingStudy.rs?modality=MR patient/Patient.r"),
            TokenKind.SECOND: self.token(),
            TokenKind.IN_QUERY: self.token(),
        }


def _ways(sandbox: SandboxSettings) -> tuple[EhrSettings, ...]:
    return signed_by(sandbox, "sandbox"), signed_by(sandbox, "archived", ownership=Ownership.IDENTIFIER)


@contextmanager
def a_checked_demo(directory: Path) -> Iterator[CheckedDemo]:
    """Everything on real sockets."""
    with a_demo_hospital(CheckedDemo, directory, _ways) as running:
        yield running
