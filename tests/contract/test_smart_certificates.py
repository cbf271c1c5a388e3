"""EHRs whose certificates a hospital's own authority signs: trusted where the site says so, and there only (APP-A36)."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask
from werkzeug.serving import make_server

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.ehr_servers import certificate_authorities
from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import EhrSettings
from tests.conftest import free_port_number


@dataclass(frozen=True)
class HospitalAuthority:
    """A certificate authority, and a server certificate of its for 127.0.0.1."""

    authority: Path
    chain: Path


def a_name(words: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])


def signed(subject: x509.CertificateBuilder, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.now(UTC)
    dated = subject.issuer_name(issuer).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    return dated.serial_number(x509.random_serial_number()).sign(key, hashes.SHA256())


@pytest.fixture
def hospital(tmp_path: Path) -> HospitalAuthority:
    return an_authority(tmp_path)


def an_authority(folder: Path) -> HospitalAuthority:
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = a_name(f"Synthetic authority of {folder.name}")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    server = (
        x509.CertificateBuilder()
        .subject_name(a_name("ehr"))
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    authority, chain = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(signed(root, name, root_key).public_bytes(pem))
    chain.write_bytes(signed(server, name, root_key).public_bytes(pem) + private)
    return HospitalAuthority(authority, chain)


@contextmanager
def served(hospital: HospitalAuthority) -> Iterator[str]:
    """A server with the hospital's certificate."""
    app = Flask("behind_tls")
    app.add_url_rule("/fhir/metadata", view_func=lambda: {"resourceType": "CapabilityStatement"})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(hospital.chain)
    port = free_port_number()
    server = make_server("127.0.0.1", port, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_not_reached(session: OutboundSession, base_url: str) -> bool:
    with session, pytest.raises(UpstreamError, match="could not be reached"):
        session.get(f"{base_url}/fhir/metadata")
    return True


def an_ehr(base_url: str, **more: Path) -> EhrSettings:
    return EhrSettings(name="ehr", fhir_base=f"{base_url}/fhir", **more)  # type: ignore[arg-type]


def test_app_a36_a_hospitals_own_authority_counts_where_the_site_names_it(hospital: HospitalAuthority) -> None:
    with served(hospital) as base_url:
        ehr = an_ehr(base_url, certificate_authority=hospital.authority)
        with OutboundSession([ehr.fhir_base], authorities=certificate_authorities([ehr])) as session:
            plain = session.get(f"{ehr.fhir_base}/metadata")
            asked = session.ask(f"{ehr.fhir_base}/metadata", headers={}, timeout_s=5)
            body = asked.json()

    assert plain.status_code == asked.status_code == 200
    assert body["resourceType"] == "CapabilityStatement"


def test_app_a36_without_that_word_nothing_is_sent_there(hospital: HospitalAuthority) -> None:
    with served(hospital) as base_url:
        assert is_not_reached(OutboundSession([base_url], retries=0), base_url)


def test_a_public_authority_still_counts_beside_it(hospital: HospitalAuthority, tmp_path: Path) -> None:
    """Another authority stands for the public ones here: a sign-in at a public host must go on working."""
    (tmp_path / "second").mkdir()
    other = an_authority(tmp_path / "second")
    for server in (hospital, other):
        with served(server) as base_url:
            known = certificate_authorities([an_ehr(base_url, certificate_authority=hospital.authority)])
            with OutboundSession([base_url], authorities=known) as session:
                session.verify = str(other.authority)

                assert session.get(f"{base_url}/fhir/metadata").status_code == 200


def test_the_authority_counts_for_its_own_ehr_only(hospital: HospitalAuthority) -> None:
    with served(hospital) as base_url:
        other = an_ehr("https://other.example", certificate_authority=hospital.authority)
        session = OutboundSession([base_url], retries=0, authorities=certificate_authorities([other]))

        assert is_not_reached(session, base_url)


def test_the_authority_counts_for_no_server_whose_address_only_begins_alike(hospital: HospitalAuthority) -> None:
    """The EHR's port is the first digits of the other server's; a name and a longer name are told apart alike."""
    with served(hospital) as base_url:
        other = an_ehr(base_url[:-1], certificate_authority=hospital.authority)
        session = OutboundSession([base_url, other.fhir_base], retries=0, authorities=certificate_authorities([other]))

        assert is_not_reached(session, base_url)


def test_an_origin_is_the_same_however_it_is_written(hospital: HospitalAuthority) -> None:
    known = {"https://EHR.example:443": hospital.authority}
    with OutboundSession(["https://ehr.example"], authorities=known) as session:
        own, public = session.get_adapter("https://ehr.example/fhir"), session.get_adapter("https://ehr.example.org/fhir")

        assert own is not public
        assert session.get_adapter("https://ehr.example:443/fhir") is own


def test_every_server_of_the_ehr_is_meant_and_no_other() -> None:
    ehr = an_ehr("https://ehr.example", certificate_authority=Path("authority.pem"))
    ehr = replace(ehr, server_origins=("https://login.example",), imaging_base="https://images.example/fhir")

    origins = {"https://ehr.example", "https://login.example", "https://images.example"}
    assert set(certificate_authorities([ehr, an_ehr("https://second.example")])) == origins


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_that_holds_no_certificate_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ConfigurationError, match="certificate_authority"):
        OutboundSession(["https://ehr.example"], authorities={"https://ehr.example": path})
