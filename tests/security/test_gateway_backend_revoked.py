"""A token of our own that an EHR has revoked is replaced on the next question, and never in a storm (F11; group 23)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Response

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.backend_client import BackendServices
from fhir_imaging.clients.breaker import Breaker, BreakerSettings
from fhir_imaging.clients.smart_metadata import SmartMetadata, SmartMetadataClient
from fhir_imaging.errors import UpstreamError
from fhir_imaging.scopes import parse_scopes
from fhir_imaging.settings import EhrSettings
from imaging_server.access import AccessGrant, BearerToken, FhirPatientId
from imaging_server.guarded_session import GuardedSession
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.settings import PatientIdentifierRule
from tests.conftest import free_port_number, serving
from tests.security.archive_index import MRN, PatientRecord, asking_token, identifier
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_stubs import StubEhr

PATIENT = FhirPatientId("pat-a")
MINUTE_S = 60.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ClientKeys:
    return ClientKeys.of(tmp_path_factory.mktemp("keys") / "state")


def _usual_refusal(token: str) -> int:
    """Callers may not (403); tokens of our own that count no more are none (401)."""
    return 401 if token.startswith("own-token-") else 403


@dataclass
class Site:
    """An EHR whose Patient only our own client may read, and the imaging server's side of it; ``now`` passes when told to."""

    ehr: EhrSettings
    stub: StubEhr
    record: PatientRecord
    authority: BackendAuthority
    numbers: PatientNumbers
    now: float = 1000.0
    refusal_of: Callable[[str], int] = _usual_refusal

    def number(self) -> frozenset[str]:
        """The patient's numbers for a caller who has not asked before."""
        token = BearerToken(f"caller-{time.perf_counter_ns()}")
        grant = AccessGrant(
            ehr=self.ehr.name,
            issuer=self.stub.issuer,
            patient_id=PATIENT,
            scopes=parse_scopes(""),
            user=None,
            client_id=None,
            expires_at=int(time.time()) + 300,
            token_reference="jti",
        )
        return self.numbers.of(Caller(self.ehr, grant, PATIENT, token))

    def revoke_all(self) -> None:
        """Tokens issued so far open nothing any more."""
        revoked = set(self.authority.issued)
        self.record.readers = lambda token: token in set(self.authority.issued) - revoked


@pytest.fixture
def site(tmp_path: Path, keys: ClientKeys) -> Iterator[Site]:
    stub = StubEhr("north")
    with ExitStack() as stack:
        stub.base = stack.enter_context(serving(stub.app(), free_port_number()))
        ehr = stub.settings(backend_client_id=CLIENT)
        allowed = [stub.base]
        session = GuardedSession([ehr], allowed, lambda name: Breaker(name, BreakerSettings()), timeout_s=2)
        stack.callback(session.close)

        def sign(_ehr: EhrSettings, _metadata: SmartMetadata | None, token_url: str) -> str:
            return keys.assertion("ES384", client_id=CLIENT, audience=token_url, now=int(time.time()))

        backend = BackendServices(session, SmartMetadataClient(session), sign, monotonic=lambda: made.now)
        rules = {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}
        record = PatientRecord(stub, [identifier("MRN-A")])
        authority = BackendAuthority(stub, lambda: keys.jwks(int(time.time())))
        made = Site(ehr, stub, record, authority, PatientNumbers(rules, session, backend, keep_s=60))
        made.revoke_all()
        usual = stub.answers["/fhir/Patient/"]

        def answer() -> Response:
            said = usual()
            if said.status_code != 200:
                said.status_code = made.refusal_of(asking_token())
            return said

        stub.answers["/fhir/Patient/"] = answer
        yield made


def test_revoked_token_is_replaced_within_the_next_question(site: Site) -> None:
    assert site.number() == {"MRN-A"}
    site.now += MINUTE_S
    site.revoke_all()

    assert site.number() == {"MRN-A"}
    assert site.number() == {"MRN-A"}
    assert len(site.authority.issued) == 2
    own = [token for token in site.record.reads if token.startswith("own-token-")]
    assert own == [site.authority.issued[n] for n in (0, 0, 1, 1)]


def test_many_questions_refused_at_once_replace_it_once(site: Site) -> None:
    site.number()
    site.now += MINUTE_S
    site.revoke_all()
    site.authority.slow_s = 0.2
    found: list[frozenset[str]] = []
    threads = [threading.Thread(target=lambda: found.append(site.number())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert found == [{"MRN-A"}] * 6
    assert len(site.authority.issued) == 2


def test_client_whose_every_token_is_refused_gets_one_in_ten_seconds(site: Site) -> None:
    """Its registration was withdrawn at the FHIR server: 503 for callers, and no storm at the authorization server."""
    site.record.readers = lambda token: False
    for _ in range(40):
        with pytest.raises(UpstreamError) as refused:
            site.number()
        assert refused.value.status == 401
        site.now += 0.5

    assert len(site.authority.issued) == 2


def test_client_that_the_authorization_server_refuses_asks_once_in_five_seconds(site: Site) -> None:
    site.authority.instead = lambda: Response('{"error": "invalid_client"}', 401, content_type="application/json")
    for _ in range(20):
        with pytest.raises(UpstreamError, match="could not sign in"):
            site.number()
        site.now += 0.5

    assert len(site.authority.forms) == 2


def test_authorization_server_that_is_down_is_left_alone(site: Site) -> None:
    """Its breaker is the one that all questions to it share."""
    site.authority.instead = lambda: Response(status=503)
    for _ in range(9):
        with pytest.raises(UpstreamError):
            site.number()

    assert len(site.authority.forms) == BreakerSettings().outages


def test_a_callers_refused_token_renews_nothing(site: Site) -> None:
    """403 for a caller, and 404 for our own client, say nothing against the token of our own."""
    site.number()
    site.now += MINUTE_S
    site.record.readers = lambda token: False
    site.refusal_of = lambda token: 404 if token.startswith("own-token-") else 403

    assert site.number() == frozenset()
    assert len(site.authority.issued) == 1
