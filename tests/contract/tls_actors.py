"""Certificates made for a test, and servers that show them: whose authority, until when, and for which name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask
from werkzeug.serving import make_server

PEM = serialization.Encoding.PEM
HERE = x509.IPAddress(ip_address("127.0.0.1"))


def _name(words: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])


@dataclass(frozen=True)
class TestAuthority:
    """A certificate authority whose own certificate stands in ``file``."""

    __test__ = False
    folder: Path
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def in_folder(cls, folder: Path) -> TestAuthority:
        """A new one."""
        folder.mkdir(exist_ok=True)
        made = cls(folder, ec.generate_private_key(ec.SECP256R1()))
        flags = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            False,
        )
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **flags)
        root = (
            x509.CertificateBuilder()
            .subject_name(made.name)
            .public_key(made.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(made.identifier, critical=False)
        )
        made.file.write_bytes(made._signed(root, timedelta(hours=-1), timedelta(hours=1)))
        return made

    @property
    def file(self) -> Path:
        """What a site would name as certificate_authority."""
        return self.folder / "authority.pem"

    @property
    def name(self) -> x509.Name:
        """Under which it signs."""
        return _name(f"Synthetic authority of {self.folder.name}")

    @property
    def identifier(self) -> x509.SubjectKeyIdentifier:
        """Of its key."""
        return x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())

    def chain(
        self, *, since: timedelta = timedelta(hours=-1), until: timedelta = timedelta(hours=1), of: x509.GeneralName = HERE
    ) -> Path:
        """A server's certificate with its key, valid between two moments from now on, for this name only."""
        key = ec.generate_private_key(ec.SECP256R1())
        server = (
            x509.CertificateBuilder()
            .subject_name(_name("ehr"))
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName([of]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self.identifier), critical=False)
        )
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / "server.pem"
        path.write_bytes(self._signed(server, since, until) + private)
        return path

    def _signed(self, subject: x509.CertificateBuilder, since: timedelta, until: timedelta) -> bytes:
        now = datetime.now(UTC)
        dated = subject.issuer_name(self.name).not_valid_before(now + since).not_valid_after(now + until)
        return dated.serial_number(x509.random_serial_number()).sign(self.key, hashes.SHA256()).public_bytes(PEM)


@contextmanager
def serving_tls(app: Flask, port: int, chain: Path) -> Iterator[str]:
    """The application behind TLS; yields its base URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = make_server("127.0.0.1", port, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
