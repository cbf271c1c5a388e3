"""Other names for the same things: keyed, so that nobody without the key can go back, and the same at each export.

Spec: DICOM PS3.15 Annex E (action U: a UID that is consistent within a set of instances), PS3.5 §B.2 (UIDs out of UUIDs).
"""

from __future__ import annotations

import hashlib
import hmac
import uuid

_STANDARD_ROOT = "1.2.840.10008."


class Pseudonyms:
    """Pseudonyms under one ``key`` (bytes that stay at the site). One study exported twice has the same UIDs both times.

    So a structured report that is exported today refers to the images that were exported last year.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the key must have at least 16 bytes")
        self._key = key

    def uid(self, uid: str) -> str:
        """The UID that stands for ``uid``, below 2.25; UIDs of the standard itself (SOP classes, transfer syntaxes) stay."""
        bare = uid.strip().rstrip("\0")
        if not bare or bare.startswith(_STANDARD_ROOT):
            return bare
        digest = self._digest("uid", bare)
        # A UUID of version 8 (RFC 9562): its bits are ours to choose.
        number = uuid.UUID(int=_as_version_8(int.from_bytes(digest[:16], "big")))
        return f"2.25.{number.int}"

    def patient(self, number: str, issuer: str) -> str:
        """The number of the patient in exports: the same person has the same one, whichever study is exported."""
        return "P" + self._digest("patient", issuer, number).hex()[:16].upper()

    def label(self, kind: str, text: str) -> str:
        """A label that is the same where the text was the same (a tracking identifier), and says nothing of it."""
        return f"{kind} {self._digest('label', kind, text).hex()[:8]}"

    def _digest(self, *parts: str) -> bytes:
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).digest()


def _as_version_8(number: int) -> int:
    number &= ~(0xF000 << 64) & ~(0xC000 << 48)
    return number | (8 << 76) | (2 << 62)
