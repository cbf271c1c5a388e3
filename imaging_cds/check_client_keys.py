"""Whether the machines of an installation publish the same client keys, as far as the public address shows it.

Behind it answers one machine or another, so it is asked several times; each should publish what this one does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.errors import ConfigurationError
from imaging_cds.check_probe import Answer, Prober
from imaging_cds.check_report import Area, Finding
from imaging_cds.settings import ApplicationSettings, Component

AREA = Area("Client keys")
TIMES = 6
"""Of two machines that take turns both are seen; where lots are drawn, but for one time in sixty."""


def check_client_keys(settings: ApplicationSettings) -> Iterator[Finding]:
    """Asks our own JWKS address; makes no key where there is none."""
    if Component.SMART_APP not in settings.components:
        return
    try:
        keys = ClientKeys.present(settings.state.state_dir)
    except ConfigurationError as exc:
        yield from (AREA.fault(problem, "Mend this first: nothing is signed without it.") for problem in exc.problems)
        return
    except OSError:
        return  # told with the master key, which lies in the same directory
    if keys is None:
        return  # nothing has started here yet
    url = settings.smart_app.jwks_url
    own = {key.kid for key in keys.published(int(time.time()))}
    prober = Prober(settings.smart_app.origin, clock=lambda: datetime.now(UTC))
    first = _published(prober, url)
    if isinstance(first, Answer):
        yield AREA.note(
            f"This machine's client keys were not compared with those that {url} publishes: {first.said}.",
            "Run it again when the application is up and this machine reaches it by that address.",
        )
        return
    answers = [first, *(_published(prober, url) for _ in range(TIMES - 1))]
    others = [one for one in answers if not isinstance(one, Answer) and one != own]
    if others:
        yield AREA.warning(
            f"{len(others)} of {TIMES} answers of {url} hold other client keys than this machine has.",
            "Machines with different keys are refused by EHRs at random: copy the keys of one to all "
            "(docs/operations.md, Several machines).",
        )
    else:
        yield AREA.ok(f"{url} publishes this machine's client keys ({len(own)}).")


def _published(prober: Prober, url: str) -> set[str] | Answer:
    """The ids of the keys; the answer itself where it is no JWKS."""
    answer = prober.get(url, accept="application/json")
    document = answer.document() if answer.status == 200 else None
    listed = document.get("keys") if document else None
    if not isinstance(listed, list):
        return answer
    return {str(one.get("kid")) for one in listed if isinstance(one, dict)}
