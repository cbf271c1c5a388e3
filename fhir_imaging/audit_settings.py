"""Where audit records go beside the database, and what happens when they cannot get there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit


class OnFailure(StrEnum):
    """What becomes of a new access while more than ``max_pending`` records wait for a sink."""

    REFUSE = "refuse"
    CONTINUE = "continue"


class FhirCreate(StrEnum):
    """How an AuditEvent is created so that sending it again makes no second one (FHIR R4 RESTful API)."""

    PUT = "put"
    POST = "post"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """The audit trail. Every record is in the database before the answer goes out; copies go to a file and a FHIR server."""

    wait_for_disk: bool = True
    """With SQLite, a record is on the disk before the answer goes out (some milliseconds for each; without it a power cut, but
    no crash of ours, may lose the last records); PostgreSQL goes by its own ``synchronous_commit`` instead."""
    file: Path | None = None
    """A file that gets every event as one line of JSON (BALP AuditEvent), appended to, mode 0600."""
    file_fsync: bool = True
    """Waits until the disk has the lines before they count as delivered."""
    fhir_base: str | None = None
    """Base of a FHIR R4 server that gets every event as an AuditEvent."""
    fhir_create: FhirCreate = FhirCreate.PUT
    """``put`` sends each event under an id of ours, ``post`` by conditional create (If-None-Exist with a tag); both can be
    repeated without making a second one."""
    fhir_user: str | None = None
    """For HTTP Basic at that server."""
    fhir_password: str | None = field(default=None, repr=False)
    """For HTTP Basic at that server."""
    fhir_bearer_token: str | None = field(default=None, repr=False)
    """A fixed bearer token in place of a user."""
    fhir_token_url: str | None = None
    """OAuth token endpoint for that server; we get our own bearer token there."""
    fhir_client_id: str | None = None
    """Our client at ``fhir_token_url``."""
    fhir_client_secret: str | None = field(default=None, repr=False)
    """Secret of that client; not set = it signs with this installation's client keys (SMART Backend Services)."""
    fhir_scope: str = "system/AuditEvent.cu"
    """Scope to ask for at ``fhir_token_url``."""
    fhir_certificate_authority: Path | None = None
    """PEM file of the authority that signs the certificates of that server and its ``fhir_token_url``, where no public one
    does."""
    on_failure: OnFailure = OnFailure.REFUSE
    """While more than ``max_pending`` records wait for a sink: ``refuse`` answers new accesses with 503, ``continue`` lets them
    go on, recorded in the database, with an error in the log."""
    max_pending: int = 10_000
    """How many accesses may wait for one sink; refusals do not count, nor events that it rejects while it takes others."""
    keep_days: int | None = None
    """Removes records from the database after so many days, once every sink has them; not set = they are kept for ever."""

    def __post_init__(self) -> None:
        """ValueError for credentials that contradict each other, and for limits that cannot be kept."""
        given = [self.fhir_user, self.fhir_bearer_token, self.fhir_token_url]
        if sum(one is not None for one in given) > 1:
            raise ValueError("give one of fhir_user, fhir_bearer_token and fhir_token_url")
        if (self.fhir_user is None) != (self.fhir_password is None):
            raise ValueError("fhir_user and fhir_password belong together")
        if (self.fhir_token_url is None) != (self.fhir_client_id is None):
            raise ValueError("fhir_token_url and fhir_client_id belong together")
        if self.fhir_base is None and any(one is not None for one in given):
            raise ValueError("a credential without fhir_base")
        for address in (self.fhir_base, self.fhir_token_url):
            parts = urlsplit(address or "")
            if "@" in parts.netloc or parts.query or parts.fragment:
                raise ValueError("fhir_base and fhir_token_url are addresses without user, query or fragment")
        if self.fhir_client_secret is not None and self.fhir_token_url is None:
            raise ValueError("fhir_client_secret says nothing without fhir_token_url")
        if self.max_pending < 1:
            raise ValueError("max_pending must be at least 1")
        if self.keep_days is not None and self.keep_days < 1:
            raise ValueError("keep_days must be at least 1")

    @property
    def sinks(self) -> tuple[str, ...]:
        """Names of the sinks beside the database."""
        return tuple(name for name, address in ((FILE_SINK, self.file), (FHIR_SINK, self.fhir_base)) if address is not None)


FILE_SINK, FHIR_SINK = "file", "fhir"
