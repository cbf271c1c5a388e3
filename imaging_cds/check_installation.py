"""Whether this machine's master key is the one that the database was sealed with. Nothing is made and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store, is_begun
from fhir_imaging.store.key_mark import KeyState, in_words
from fhir_imaging.store.keys import MASTER_KEY_FILE
from imaging_cds.check_report import Area, Finding

AREA = Area("Database and master key")


def check_installation(state: StateSettings) -> Iterator[Finding]:
    """What a start would say of them."""
    try:
        if not is_begun(state):
            yield AREA.note(
                "There is no database, or no state directory, on this machine yet; the first start makes them.",
                "Where other machines of this installation run already, copy their key files first "
                "(docs/operations.md, Several machines).",
            )
            return
        with closing(Store.open(state)) as store:
            yield _looked_at(store, state)
    except ConfigurationError as exc:
        yield from (AREA.fault(problem, "Mend this first: nothing starts without it.") for problem in exc.problems)
    except UpstreamError as exc:
        yield AREA.fault(str(exc), "Look at the database server and at state.database_url.")
    except OSError as exc:
        yield AREA.fault(
            f"{state.state_dir} cannot be read: {exc.strerror}.", "Run this as the service's user, who must own the directory."
        )


def _looked_at(store: Store, state: StateSettings) -> Finding:
    try:
        store.check_revision()
    except ConfigurationError as exc:
        return AREA.warning(" ".join(exc.problems), "serve does it at its start; the synchronisation waits for it.")
    found = store.key_state()
    if found is KeyState.SAME:
        return AREA.ok(f"{MASTER_KEY_FILE} is the key that the database was sealed with.")
    if found is KeyState.UNMARKED:
        return AREA.ok(f"{MASTER_KEY_FILE} opens what the database holds; the next start marks the database with it.")
    if found is KeyState.NEW:
        return AREA.ok(f"Nothing is sealed in the database yet; the first start marks it with {MASTER_KEY_FILE}.")
    return AREA.fault(*in_words(found, state.state_dir))
