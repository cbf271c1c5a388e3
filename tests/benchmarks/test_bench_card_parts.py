"""Where the time of a card goes: each part alone, in one process, without HTTP, for one patient after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import pytest

from cds_service.card_parts import CardContext
from cds_service.evaluate import SERVICES, cards_for
from cds_service.runtime import CdsServices
from cds_service.settings import CdsSettings, TrustedCdsClient
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from tests.benchmarks.hooks import PATH, SERVICE, full_hook, of_many_patients, signed
from tests.benchmarks.load import Sample, Timing
from tests.benchmarks.report import Report
from tests.benchmarks.stack import CALLER, Stack
from tests.cds_actors import a_store

TIMES = 192
T = TypeVar("T")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


class Watch:
    """Durations and processor time by part."""

    def __init__(self) -> None:
        self._seen: dict[str, Sample] = {}

    def time(self, part: str, work: Callable[[], T]) -> T:
        began, spent = time.perf_counter(), time.thread_time()
        done = work()
        took, spent = time.perf_counter() - began, time.thread_time() - spent
        sample = Sample(durations_s=(took,), elapsed_s=took, cpu_s=spent)
        self._seen[part] = self._seen[part] + sample if part in self._seen else sample
        return done

    def timings(self) -> list[tuple[str, Timing]]:
        return [(part, sample.timing) for part, sample in self._seen.items()]


def test_where_the_time_of_a_card_goes(stack: Stack, report: Report, store: Store, tmp_path: Path) -> None:
    services, service, watch = assembled(stack, store, tmp_path), SERVICES[SERVICE], Watch()
    bodies = cycle(of_many_patients(full_hook(stack)))
    tokens = {algorithm: signed(stack, algorithm, TIMES) for algorithm in ("RS384", "ES384")}
    for _ in range(TIMES):
        body = next(bodies)
        request = watch.time("read the request (JSON, protocol)", lambda body=body: service.request_in(json.loads(body)))
        for algorithm, those in tokens.items():
            part = f"client JWT {algorithm}, with the memory of used ids"
            watch.time(part, lambda those=those: services.authenticator.authenticate(f"Bearer {next(those)}", PATH))
        context = CardContext(
            request=request, app_url=stack.app_url, ehr_name="sandbox", now=datetime.now(UTC), new_uuid=services.new_uuid
        )
        cards = watch.time(
            "facts, rules and wording", lambda context=context: cards_for(service, context, None, services.budgets)
        )
        assert cards
        answer: dict[str, object] = {"cards": [one.card for one in cards]}
        watch.time("outbound validator", lambda answer=answer: faults_of(answer))
        watch.time(
            "note the issued cards",
            lambda cards=cards: services.feedback.remember(cards, service_id=SERVICE, client=CALLER, now=services.now()),
        )
    (first, timing), *others = watch.timings()
    base = report.add("card-parts", first, timing)
    for part, timing in others:
        report.compare(base, part, timing)


def assembled(stack: Stack, store: Store, directory: Path) -> CdsServices:
    keys = directory / "keys.json"
    keys.write_text(json.dumps(stack.caller.jwks()))
    trusted = TrustedCdsClient(iss=CALLER, jwks_file=keys)
    return CdsServices.assemble(CdsSettings(public_base_url=stack.app_url, trusted_clients=(trusted,)), (), store)
