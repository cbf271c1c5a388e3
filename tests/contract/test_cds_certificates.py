"""TLS client certificates by a trusted proxy's header (R39): off by default, and never believed from anybody else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from werkzeug.middleware.proxy_fix import ProxyFix

from cds_service.settings import CdsSettings, TrustedCdsClient
from fhir_imaging.store.engine import Store
from tests.cds_actors import EHR, NOW, CdsActor, a_cds_service, a_hook, a_lung_rads, a_store, whole_prefetch

SERVICE = "/cds-services/imaging-findings"
HEADER = "X-Client-Certificate"
PROXY = "10.1.2.3"
SUBJECT = "CN=ehr.example.org,O=Synthetic Hospital"
FINGERPRINT = "AB:" * 31 + "AB"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def a_proxied(store: Store, directory: Path, *certificates: str) -> CdsActor:
    trust = {"certificates": certificates or (FINGERPRINT, SUBJECT), "jwks_file": None}
    return a_cds_service(
        store, directory, trust=trust, certificate_header=HEADER, certificate_proxies=("10.1.2.0/24", "2001:db8::1")
    )


def status(cds: CdsActor, certificate: str | None, *, peer: str = PROXY, **headers: str) -> int:
    sent = headers | ({HEADER: certificate} if certificate is not None else {})
    body = a_hook(whole_prefetch(a_lung_rads("3")))
    response = cds.client.post(SERVICE, json=body, headers=sent, environ_base={"REMOTE_ADDR": peer})
    if response.status_code == 401:
        assert response.get_data() == b"", "a 401 is bare (R38)"
    return response.status_code


@pytest.mark.parametrize("stated", [FINGERPRINT, "ab" * 32, "AB" * 32, SUBJECT, f" {SUBJECT} "])
@pytest.mark.parametrize("peer", [PROXY, "2001:db8::1", "::ffff:10.1.2.9"])
def test_r39_a_certificate_that_the_proxy_names_stands_for_its_client(
    store: Store, tmp_path: Path, stated: str, peer: str
) -> None:
    assert status(a_proxied(store, tmp_path), stated, peer=peer) == 200


@pytest.mark.parametrize("peer", ["10.1.3.3", "127.0.0.1", "2001:db8::2", "", "unix:", "proxy"])
def test_r39_nobody_else_is_believed(store: Store, tmp_path: Path, peer: str) -> None:
    assert status(a_proxied(store, tmp_path), FINGERPRINT, peer=peer) == 401


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "",
        "ac" * 32,
        "CN=ehr.example.org",
        f"{SUBJECT},OU=x",
        f"{SUBJECT},{SUBJECT}",
        ":%%%:",
        ":aGVsbG8=:",
        SUBJECT.upper(),
    ],
)
def test_an_unknown_certificate_is_401(store: Store, tmp_path: Path, stated: str | None) -> None:
    assert status(a_proxied(store, tmp_path), stated) == 401


def test_an_address_that_a_header_claims_is_no_address(store: Store, tmp_path: Path) -> None:
    """Behind ProxyFix, X-Forwarded-For stands in REMOTE_ADDR: the connection's own peer counts."""
    cds = a_proxied(store, tmp_path)
    cds.app.wsgi_app = ProxyFix(cds.app.wsgi_app, x_for=1)  # type: ignore[method-assign]

    assert status(cds, FINGERPRINT, peer="192.0.2.9", **{"X-Forwarded-For": PROXY}) == 401
    assert status(cds, FINGERPRINT, peer=PROXY, **{"X-Forwarded-For": "192.0.2.9"}) == 200


def test_off_by_default(store: Store, tmp_path: Path) -> None:
    assert status(a_cds_service(store, tmp_path), FINGERPRINT) == 401


def test_a_jwt_that_is_sent_must_hold_even_beside_a_certificate(store: Store, tmp_path: Path) -> None:
    assert status(a_proxied(store, tmp_path), FINGERPRINT, Authorization="Bearer a.b.c") == 401


def test_the_clients_own_rights_go_with_its_certificate(store: Store, tmp_path: Path) -> None:
    """Feedback and FHIR servers are the client's, as with a JWT."""
    cds = a_proxied(store, tmp_path)
    assert status(cds, FINGERPRINT) == 200

    with store.read() as connection:
        clients = {row[0] for row in connection.exec_driver_sql("SELECT client FROM cds_issued_card")}
    assert clients == {EHR}


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Synthetic Hospital"), x509.NameAttribute(NameOID.COMMON_NAME, "ehr")]
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(key, SHA256())


def test_a_whole_certificate_is_known_by_fingerprint_or_subject(
    store: Store, tmp_path: Path, certificate: x509.Certificate
) -> None:
    """RFC 9440 ``:base64:``, and nginx's PEM with percent signs; HTTP headers hold no line breaks."""
    der = certificate.public_bytes(Encoding.DER)
    pem = certificate.public_bytes(Encoding.PEM).decode()
    forms = [f":{base64.b64encode(der).decode()}:", quote(pem), pem.strip().replace("\n", " ")]
    fingerprint, subject = certificate.fingerprint(SHA256()).hex(), "CN=ehr,O=Synthetic Hospital"

    for name in (fingerprint, subject):
        cds = a_proxied(store, tmp_path, name)
        assert [status(cds, form) for form in forms] == [200, 200, 200]
    assert status(a_proxied(store, tmp_path, "CN=other"), forms[0]) == 401
    assert status(a_proxied(store, tmp_path, fingerprint), forms[0][:-20] + ":") == 401, "a damaged certificate is none"


def a_client(*certificates: str, iss: str = EHR) -> TrustedCdsClient:
    return TrustedCdsClient(iss=iss, certificates=certificates)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"certificate_header": HEADER}, "together"),
        ({"certificate_proxies": (PROXY,)}, "together"),
        ({"certificate_header": "X Client", "certificate_proxies": (PROXY,)}, "name of an HTTP header"),
        ({"certificate_header": HEADER, "certificate_proxies": ("proxy",)}, "IPv4 or IPv6"),
        ({"trusted_clients": (a_client("ab"),)}, "no certificate_header"),
        (
            {
                "certificate_header": HEADER,
                "certificate_proxies": (PROXY,),
                "trusted_clients": (a_client("CN=a"), a_client("CN=a", iss="https://other.example.org")),
            },
            "one certificate names two",
        ),
    ],
)
def test_certificate_settings_that_cannot_work_are_refused(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        CdsSettings(public_base_url="https://imaging.example.org", **settings)  # type: ignore[arg-type]


def test_a_client_without_any_proof_is_refused() -> None:
    with pytest.raises(ValueError, match="certificates must be given"):
        a_client()
    with pytest.raises(ValueError, match="empty name"):
        a_client(" ")
