"""Cards: latency and throughput beside a static answer and HealthChain, and from a FHIR server without prefetch (STYLE 35)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.benchmarks.card_servers import CardServers, card_servers
from tests.benchmarks.hooks import (
    BODY_BYTES,
    PATH,
    SCOPE,
    InTurn,
    full_hook,
    hook,
    of_many_patients,
    questions,
    signed,
)
from tests.benchmarks.lean import LeanClient, posted
from tests.benchmarks.load import Client, Load, Request, Sample, Timing, drive
from tests.benchmarks.peer_servers import PATH as HEALTHCHAIN_PATH
from tests.benchmarks.report import Report
from tests.benchmarks.stack import PATIENT, Stack

SECONDS = 1.5
ROUNDS = 2
SIGNED = 1000
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def servers(stack: Stack) -> Iterator[CardServers]:
    with card_servers(stack) as running:
        yield running


@pytest.fixture(scope="module")
def body(stack: Stack) -> bytes:
    made = full_hook(stack)
    assert 0.95 * BODY_BYTES < len(made) < 1.05 * BODY_BYTES
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to an answer: whom to call, with what, and whose processor time it costs."""

    base_url: str
    unit: Callable[[LeanClient], bytes]
    cpu_s: Callable[[], float]
    most: int = 100_000

    def run(self, concurrency: int, seconds: float = SECONDS) -> Sample:
        load = Load(base_url=self.base_url, connect=LeanClient, unit=self.unit, concurrency=concurrency, cpu_s=self.cpu_s)
        return load.run(seconds=seconds, most=self.most)


def same(stack: Stack, servers: CardServers, bodies: list[bytes]) -> dict[str, Way]:
    """Everybody is posted the same requests, one patient after the other."""
    addresses = {
        "static answer": (stack.static_url, "/static", "static"),
        "HealthChain, fixed card": (servers.peer_url, HEALTHCHAIN_PATH, "HealthChain"),
        "card, authentication off": (servers.open_url, PATH, "open application"),
    }
    if servers.peer.python is None:
        del addresses["HealthChain, fixed card"]
    ways = {}
    for name, (base_url, path, title) in addresses.items():
        requests = InTurn([posted(path, JSON, one) for one in bodies])
        ways[name] = Way(
            base_url=base_url, unit=lambda client, requests=requests: client.send(requests.next()), cpu_s=servers.cpu_of(title)
        )
    return ways


def with_jwt(stack: Stack, servers: CardServers, bodies: list[bytes], algorithm: str, number: int = SIGNED) -> Way:
    """Signed calls; each JWT counts once, so a way is good for one run."""
    tokens, turn = signed(stack, algorithm, number), InTurn(bodies)

    def call(client: LeanClient) -> bytes:
        return client.send(posted(PATH, JSON | {"Authorization": f"Bearer {next(tokens)}"}, turn.next()))

    return Way(base_url=stack.app_url, unit=call, cpu_s=servers.cpu_of("The application"), most=number)


def in_turns(stack: Stack, servers: CardServers, bodies: list[bytes], concurrency: int) -> dict[str, Timing]:
    """Each way for a while, then all again: what else the machine does hits all alike."""
    samples: dict[str, Sample] = {}
    for _ in range(ROUNDS):
        ways = same(stack, servers, bodies)
        for algorithm in ("RS384", "ES384"):
            ways[f"card, {algorithm}"] = with_jwt(stack, servers, bodies, algorithm)
        for name, way in ways.items():
            sample = way.run(concurrency)
            samples[name] = samples[name] + sample if name in samples else sample
    return {name: sample.timing for name, sample in samples.items()}


def test_card_with_prefetch_beside_a_static_answer_and_healthchain(
    stack: Stack, servers: CardServers, report: Report, body: bytes
) -> None:
    """R36: signed by ES384 or RS384, or authentication off; the outbound validator is on, as by default."""
    report.remarks["HealthChain"] = servers.peer.remark
    bodies = of_many_patients(body)
    for way in same(stack, servers, bodies).values():
        way.run(8, 0.5)
    for algorithm in ("RS384", "ES384"):
        with_jwt(stack, servers, bodies, algorithm, 40).run(8)  # both workers have read the keys
    for concurrency in (1, 16):
        timings = in_turns(stack, servers, bodies, concurrency)
        at_once = f", {concurrency} at once"
        below = report.add("card", f"static answer{at_once}", timings.pop("static answer"), concurrency=concurrency)
        for name, timing in timings.items():
            row = report.compare(below, f"{name}{at_once}", timing)
            below = below if name.startswith("card, RS384") else row


def test_every_way_answers_with_cards(stack: Stack, servers: CardServers, body: bytes) -> None:
    """What is measured is what is meant: each way gives a card, ours names the finding."""
    bodies = of_many_patients(body)
    ways = same(stack, servers, bodies)
    for name, way in [*ways.items(), ("card, ES384", with_jwt(stack, servers, bodies, "ES384", 2))]:
        with LeanClient(way.base_url) as client:
            came = json.loads(way.unit(client))
        assert name == "static answer" or came["cards"][0]["summary"]


def without_prefetch(stack: Stack, fhir_server: str) -> bytes:
    token = stack.token(SCOPE)
    grant = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "subject": "imaging-cds", "scope": SCOPE}
    return hook(fhirServer=fhir_server, fhirAuthorization=grant | {"patient": PATIENT})


@pytest.mark.parametrize("group", ["card-far", "card-fetching"])
def test_card_without_prefetch(stack: Stack, servers: CardServers, report: Report, group: str) -> None:
    """R19, R21: the questions go to a server of 50 ms a call, and to the sandbox's, which answers them one core at a time."""
    fhir_base = stack.slow_fhir_base if group == "card-far" else stack.fhir_base
    headers = {"Authorization": f"Bearer {stack.token(SCOPE)}"}
    paths = list(questions().values())

    def ask(client: Client) -> None:
        for path in paths:
            client.send(Request(path=path, headers=headers))

    bodies = [without_prefetch(stack, fhir_base)]
    with_jwt(stack, servers, bodies, "RS384", 8).run(4)
    asked = drive(fhir_base.removesuffix("/fhir"), ask, seconds=SECONDS)
    base = report.add(group, f"the same {len(paths)} questions asked directly, one after another", asked)
    for concurrency in (1, 4):
        timing = with_jwt(stack, servers, bodies, "RS384").run(concurrency, 2 * SECONDS).timing
        name = f"card without prefetch, RS384, {concurrency} at once"
        report.compare(base, name, timing, concurrency=concurrency)
