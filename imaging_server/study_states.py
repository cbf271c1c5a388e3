"""When this server first saw a study as it is now: the ``meta.lastUpdated`` that no archive keeps.

All workers share one memory of it, so that an app which polls by ``_lastUpdated`` gets each change once, wherever it asks.

Spec: SMART Imaging Access F1 (``_lastUpdated``); FHIR R4 Resource.meta.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.errors import UpstreamError
from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.tables import study_state
from fhir_imaging.uids import StudyInstanceUID

DIGESTS_PER_QUERY = 500


class StudyStates:
    """The memory of one installation. Thread-safe."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def seen_at(self, ehr: str, pacs: str, states: Mapping[StudyInstanceUID, str]) -> dict[StudyInstanceUID, int]:
        """By study, milliseconds UTC since 1970 of when its present state was first seen; now for what is new.

        ``states`` describe each study in any words; only whether they change matters. UpstreamError (503) without a database.
        """
        digest = self._store.sealer.digest
        wanted = {digest("study-state", uid): (uid, digest("study-state-of", state)) for uid, state in states.items()}
        try:
            known = self._known(ehr, pacs, list(wanted))
            changed = {key: new for key, (_, new) in wanted.items() if known.get(key, ("", 0))[0] != new}
            if changed:
                self._note(ehr, pacs, changed)
                known |= self._known(ehr, pacs, list(changed))
        except SQLAlchemyError as exc:
            raise UpstreamError(
                "What has changed could not be looked up. Please try again.",
                server="database",
                retryable=True,
                cause=type(exc).__name__,
            ) from exc
        return {uid: known[key][1] for key, (uid, _) in wanted.items()}

    def _known(self, ehr: str, pacs: str, digests: Sequence[str]) -> dict[str, tuple[str, int]]:
        table = study_state.c
        found: dict[str, tuple[str, int]] = {}
        with self._store.read() as connection:
            for chunk in _chunks(digests):
                query = select(table.study_digest, table.fingerprint, table.seen_at_ms).where(
                    table.ehr == ehr, table.pacs == pacs, table.study_digest.in_(chunk)
                )
                found |= {row.study_digest: (row.fingerprint, row.seen_at_ms) for row in connection.execute(query)}
        return found

    def _note(self, ehr: str, pacs: str, changed: Mapping[str, str]) -> None:
        """One statement; where another worker was first with the same state, its time stands."""
        rows = [
            {"ehr": ehr, "pacs": pacs, "study_digest": key, "fingerprint": new, "seen_at_ms": int(self._clock() * 1000)}
            for key, new in sorted(changed.items())  # in one order, so that two workers never wait for each other
        ]
        statement = upsert(self._store, study_state)
        fresh = {"fingerprint": statement.excluded.fingerprint, "seen_at_ms": statement.excluded.seen_at_ms}
        statement = statement.on_conflict_do_update(
            index_elements=["ehr", "pacs", "study_digest"],
            set_=fresh,
            where=study_state.c.fingerprint != statement.excluded.fingerprint,
        )
        with self._store.write() as connection:
            connection.execute(statement, rows)


def _chunks(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(digests), DIGESTS_PER_QUERY):
        yield digests[start : start + DIGESTS_PER_QUERY]
