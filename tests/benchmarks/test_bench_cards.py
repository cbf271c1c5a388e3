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
from tests.benchmarks.peer_servers import SAME_WORK
from tests.benchmarks.report import Report, met
from tests.benchmarks.stack import PATIENT, Stack

OPEN = "card, authentication off"
SECONDS = 0.75
ROUNDS = 4
SIGNED = 500
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
        **{name: (base_url, HEALTHCHAIN_PATH, name) for name, base_url in servers.peer_urls.items()},
        OPEN: (servers.open_url, PATH, "open application"),
    }
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
        static = report.add("card", f"static answer{at_once}", timings["static answer"], concurrency=concurrency)
        open_card = report.compare(static, f"{OPEN}{at_once}", timings[OPEN])
        for name in servers.peer_urls:
            peer = report.compare(static, f"{name}{at_once}", timings[name])
            report.remarks[f"goal 1.5{at_once}, beside “{name}”"] = met(open_card.timing, peer.timing)
        for algorithm in ("RS384", "ES384"):
            report.compare(open_card, f"card, {algorithm}{at_once}", timings[f"card, {algorithm}"])


def test_every_way_answers_with_cards(stack: Stack, servers: CardServers, body: bytes) -> None:
    """What is measured is what is meant: each way gives a card, and where HealthChain carries our work it says what we say."""
    bodies = of_many_patients(body)
    ways = same(stack, servers, bodies) | {"card, ES384": with_jwt(stack, servers, bodies, "ES384", 2)}
    said = {}
    for name, way in ways.items():
        with LeanClient(way.base_url) as client:
            came = json.loads(way.unit(client))["cards"]
        said[name] = [one["detail"] for one in came] if name != "static answer" else ["x"]
    assert all(said.values())
    assert "Lung-RADS" in said[OPEN][0]
    if SAME_WORK in said:
        assert said[SAME_WORK] == said[OPEN]


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
    asked = drive(fhir_base.removesuffix("/fhir"), ask, seconds=2 * SECONDS)
    base = report.add(group, f"the same {len(paths)} questions asked directly, one after another", asked)
    for concurrency in (1, 4):
        timing = with_jwt(stack, servers, bodies, "RS384").run(concurrency, 4 * SECONDS).timing
        name = f"card without prefetch, RS384, {concurrency} at once"
        report.compare(base, name, timing, concurrency=concurrency)
