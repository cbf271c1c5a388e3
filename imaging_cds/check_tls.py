"""Why a server's TLS certificate was not accepted, in words, with what to do about it.

Spec: RFC 5280 §6 (path validation), RFC 9525 (names in certificates); SMART App Launch 2.2 A36.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fhir_imaging.settings import origin_of

NO_TLS = "it speaks no TLS that this machine accepts"
_UNKNOWN = "its TLS certificate is signed by an authority that this machine does not know"


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """What is wrong with the certificate, and who mends it how; ``remedy`` is empty where there is no certificate to mend."""

    what: str
    remedy: str


class Authority(Enum):
    """How the setting ``certificate_authority`` stands to the server that was asked."""

    UNSET = "the site names none"
    COUNTS = "it counts there"
    ELSEWHERE = "it counts for other servers of the EHR only"


def standing(authorities: Mapping[str, Path], url: str) -> Authority:
    """Whether one of the files counts at this address; ``authorities`` are files by origin."""
    if origin_of(url) in authorities:
        return Authority.COUNTS
    return Authority.ELSEWHERE if authorities else Authority.UNSET


def explain_tls(failure: BaseException, url: str, authority: Authority) -> TlsFailure:
    """The failure of a connection by TLS. Of several faults OpenSSL tells the first: authority, then dates, then names."""
    refused = next((one for one in _causes(failure) if isinstance(one, ssl.SSLCertVerificationError)), None)
    if refused is None:
        return TlsFailure(NO_TLS, "")
    if refused.verify_code in _UNKNOWN_AUTHORITY:
        return _unknown_authority(url, authority)
    words = f"its TLS certificate is not accepted ({refused.verify_message})"
    return _FAULTS.get(refused.verify_code, TlsFailure(words, "Whoever runs the server must mend its certificate."))


# OpenSSL's codes, as openssl-verification-options(1) lists them.
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME = TlsFailure(
    "its TLS certificate is made out to another name",
    "Write the address with a name that the certificate holds; else the server needs a certificate that holds this one.",
)
_FAULTS = {
    9: TlsFailure(
        "its TLS certificate is not valid yet",
        "Compare the clocks of both machines; if they agree, whoever runs the server must replace its certificate.",
    ),
    10: TlsFailure("its TLS certificate has expired", "Whoever runs the server must renew its certificate."),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


def _unknown_authority(url: str, authority: Authority) -> TlsFailure:
    if authority is Authority.COUNTS:
        return TlsFailure(
            "its TLS certificate is signed neither by a public authority nor by certificate_authority of this EHR",
            "Write the authority that signs it into that PEM file; the server must send the certificates in between itself.",
        )
    if authority is Authority.ELSEWHERE:
        return TlsFailure(
            _UNKNOWN,
            "certificate_authority counts for the addresses in the settings of this EHR only; if the server is the EHR's too, "
            f'add "{origin_of(url)}" to server_origins.',
        )
    return TlsFailure(
        _UNKNOWN,
        "If it is your own network's, write its PEM file as certificate_authority of this EHR (here --certificate-authority "
        "tries it); if it is a public one, the server must send the certificates in between too.",
    )


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The failure and all that it wraps: requests wraps urllib3's, which wraps that of ssl."""
    yield failure
    inner = (*failure.args, getattr(failure, "reason", None), failure.__cause__)
    for one in inner:
        if isinstance(one, BaseException):
            yield from _causes(one)
