"""What the authorization server remembers: launches, requests under way, grants, codes and tokens.

Secrets are stored as SHA-256 only. Every single-use value is claimed by one UPDATE, so that of two requests that
race for it exactly one wins, in any number of threads and processes.
"""

import hashlib
import json
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from ehr_sandbox.database import Database
from ehr_sandbox.oauth_context import (
    Grant,
    LaunchContext,
    PendingAuthorization,
    launch_context_from_json,
    pending_from_json,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS launch (
    handle TEXT PRIMARY KEY, client_id TEXT NOT NULL, context TEXT NOT NULL, expires_at REAL NOT NULL, used_at REAL
);
CREATE TABLE IF NOT EXISTS pending (
    id TEXT PRIMARY KEY, request TEXT NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS granted (
    id TEXT PRIMARY KEY, client_id TEXT NOT NULL, user TEXT NOT NULL, scope TEXT NOT NULL, context TEXT NOT NULL,
    nonce TEXT, created_at REAL NOT NULL, revoked_at REAL
);
CREATE TABLE IF NOT EXISTS code (
    hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL, redirect_uri TEXT NOT NULL, code_challenge TEXT NOT NULL,
    expires_at REAL NOT NULL, used_at REAL
);
CREATE TABLE IF NOT EXISTS refresh_token (
    hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL, expires_at REAL NOT NULL, used_at REAL
);
CREATE TABLE IF NOT EXISTS access_token (
    jti TEXT PRIMARY KEY, grant_id TEXT NOT NULL, scope TEXT NOT NULL, expires_at REAL NOT NULL, revoked_at REAL
);
CREATE TABLE IF NOT EXISTS assertion (
    client_id TEXT NOT NULL, jti TEXT NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (client_id, jti)
);
"""

_SWEPT = ("launch", "pending", "code", "refresh_token", "access_token", "assertion")
KEEP_EXPIRED_S = 24 * 3600
"""Used and expired rows stay this long, so that a late second use is still recognised as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRecord:
    """An authorization code: what it is bound to, and whether this caller is the first to use it."""

    grant_id: str
    redirect_uri: str
    code_challenge: str
    expires_at: float
    first_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRecord:
    """A refresh token, and whether this caller is the first to use it."""

    grant_id: str
    expires_at: float
    first_use: bool


def new_secret() -> str:
    """An unguessable value of 256 bits, safe in URLs."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """How a secret is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


class AuthorizationRecords:
    """The authorization server's SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._database = Database(path, _SCHEMA)

    def add_launch(self, client_id: str, context: LaunchContext, expires_at: float) -> str:
        """A new launch handle for that client."""
        handle = new_secret()
        with self._database.writing() as connection:
            _sweep(connection, expires_at - KEEP_EXPIRED_S)
            connection.execute(
                "INSERT INTO launch VALUES (?, ?, ?, ?, NULL)",
                (secret_hash(handle), client_id, json.dumps(context.to_json()), expires_at),
            )
        return handle

    def take_launch(self, handle: str, client_id: str, now: float) -> LaunchContext | None:
        """The context of a live handle of that client, which is thereby used up."""
        with self._database.writing() as connection:
            row = connection.execute(
                "UPDATE launch SET used_at = ? WHERE handle = ? AND client_id = ? AND used_at IS NULL"
                " AND expires_at > ? RETURNING context",
                (now, secret_hash(handle), client_id, now),
            ).fetchone()
        return None if row is None else launch_context_from_json(json.loads(row["context"]))

    def add_pending(self, pending: PendingAuthorization, expires_at: float) -> str:
        """Keep a request under way; the id is the secret of its page."""
        pending_id = new_secret()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO pending VALUES (?, ?, ?)",
                (secret_hash(pending_id), json.dumps(pending.to_json()), expires_at),
            )
        return pending_id

    def read_pending(self, pending_id: str, now: float) -> PendingAuthorization | None:
        """The request under way of that id."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT request FROM pending WHERE id = ? AND expires_at > ?", (secret_hash(pending_id), now)
            ).fetchone()
        return None if row is None else pending_from_json(json.loads(row["request"]))

    def update_pending(self, pending_id: str, pending: PendingAuthorization) -> None:
        """Replace the request, e.g. once the user is known."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE pending SET request = ? WHERE id = ?",
                (json.dumps(pending.to_json()), secret_hash(pending_id)),
            )

    def end_pending(self, pending_id: str) -> bool:
        """Forget the request; False when another answer came first."""
        with self._database.writing() as connection:
            deleted = connection.execute("DELETE FROM pending WHERE id = ?", (secret_hash(pending_id),))
            return deleted.rowcount == 1

    def add_grant(self, grant: Grant) -> None:
        """Remember what the user allowed."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO granted VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    grant.grant_id,
                    grant.client_id,
                    grant.user,
                    " ".join(grant.scope),
                    json.dumps(grant.context.to_json()),
                    grant.nonce,
                    grant.created_at,
                ),
            )

    def live_grant(self, grant_id: str) -> Grant | None:
        """The grant, unless it was revoked."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM granted WHERE id = ? AND revoked_at IS NULL", (grant_id,)).fetchone()
        return None if row is None else _grant(row)

    def live_grants_of(self, user: str, now: float) -> list[Grant]:
        """Grants of a user with a token that still works, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM granted g WHERE user = ? AND revoked_at IS NULL AND ("
                " EXISTS (SELECT 1 FROM access_token a WHERE a.grant_id = g.id AND a.revoked_at IS NULL"
                "  AND a.expires_at > ?)"
                " OR EXISTS (SELECT 1 FROM refresh_token r WHERE r.grant_id = g.id AND r.used_at IS NULL"
                "  AND r.expires_at > ?)) ORDER BY created_at DESC",
                (user, now, now),
            ).fetchall()
        return [_grant(row) for row in rows]

    def revoke_grant(self, grant_id: str, now: float) -> None:
        """End the grant: every token of it stops working."""
        with self._database.writing() as connection:
            connection.execute("UPDATE granted SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (now, grant_id))

    def add_code(self, grant_id: str, redirect_uri: str, code_challenge: str, expires_at: float) -> str:
        """A new authorization code."""
        code = new_secret()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO code VALUES (?, ?, ?, ?, ?, NULL)",
                (secret_hash(code), grant_id, redirect_uri, code_challenge, expires_at),
            )
        return code

    def grant_of_code(self, code: str) -> Grant | None:
        """The grant behind a code, which is not thereby used."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT grant_id FROM code WHERE hash = ?", (secret_hash(code),)).fetchone()
        return None if row is None else self.live_grant(row["grant_id"])

    def use_code(self, code: str, now: float) -> CodeRecord | None:
        """Claim the code; None when it never existed."""
        with self._database.writing() as connection:
            claimed = connection.execute(
                "UPDATE code SET used_at = ? WHERE hash = ? AND used_at IS NULL", (now, secret_hash(code))
            )
            row = connection.execute("SELECT * FROM code WHERE hash = ?", (secret_hash(code),)).fetchone()
        if row is None:
            return None
        return CodeRecord(
            grant_id=row["grant_id"],
            redirect_uri=row["redirect_uri"],
            code_challenge=row["code_challenge"],
            expires_at=row["expires_at"],
            first_use=claimed.rowcount == 1,
        )

    def add_refresh_token(self, grant_id: str, expires_at: float) -> str:
        """A new refresh token."""
        token = new_secret()
        with self._database.writing() as connection:
            connection.execute("INSERT INTO refresh_token VALUES (?, ?, ?, NULL)", (secret_hash(token), grant_id, expires_at))
        return token

    def read_refresh_token(self, token: str) -> RefreshRecord | None:
        """The refresh token without claiming it; `first_use` says whether it is still unused."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM refresh_token WHERE hash = ?", (secret_hash(token),)).fetchone()
        return None if row is None else _refresh(row, first_use=row["used_at"] is None)

    def use_refresh_token(self, token: str, now: float) -> RefreshRecord | None:
        """Claim the refresh token; None when it never existed."""
        with self._database.writing() as connection:
            claimed = connection.execute(
                "UPDATE refresh_token SET used_at = ? WHERE hash = ? AND used_at IS NULL", (now, secret_hash(token))
            )
            row = connection.execute("SELECT * FROM refresh_token WHERE hash = ?", (secret_hash(token),)).fetchone()
        return None if row is None else _refresh(row, first_use=claimed.rowcount == 1)

    def add_access_token(self, jti: str, grant_id: str, scope: str, expires_at: float) -> None:
        """Register an access token by its `jti`."""
        with self._database.writing() as connection:
            connection.execute("INSERT INTO access_token VALUES (?, ?, ?, ?, NULL)", (jti, grant_id, scope, expires_at))

    def grant_of_access_token(self, jti: str) -> Grant | None:
        """The live grant behind an access token that was not revoked."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT g.* FROM access_token a JOIN granted g ON g.id = a.grant_id"
                " WHERE a.jti = ? AND a.revoked_at IS NULL AND g.revoked_at IS NULL",
                (jti,),
            ).fetchone()
        return None if row is None else _grant(row)

    def revoke_access_token(self, jti: str, now: float) -> None:
        """End one access token."""
        with self._database.writing() as connection:
            connection.execute("UPDATE access_token SET revoked_at = ? WHERE jti = ?", (now, jti))

    def remember_assertion(self, client_id: str, jti: str, expires_at: float) -> bool:
        """Note a client assertion; False when its `jti` was seen before."""
        with self._database.writing() as connection:
            inserted = connection.execute("INSERT OR IGNORE INTO assertion VALUES (?, ?, ?)", (client_id, jti, expires_at))
            return inserted.rowcount == 1


def _sweep(connection: sqlite3.Connection, before: float) -> None:
    for table in _SWEPT:
        statement = f"DELETE FROM {table} WHERE expires_at < ?"  # nosec B608 # noqa: S608 - fixed table names
        connection.execute(statement, (before,))


def _grant(row: sqlite3.Row) -> Grant:
    return Grant(
        grant_id=row["id"],
        client_id=row["client_id"],
        scope=tuple(row["scope"].split()),
        context=launch_context_from_json(json.loads(row["context"])),
        created_at=row["created_at"],
        nonce=row["nonce"],
    )


def _refresh(row: sqlite3.Row, *, first_use: bool) -> RefreshRecord:
    return RefreshRecord(grant_id=row["grant_id"], expires_at=row["expires_at"], first_use=first_use)
