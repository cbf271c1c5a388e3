"""Every route of the application with every method and anything in it: never a 500, a stack trace or a token that comes back.

Walks the application's own map of routes, so that a new route is tried, or fails the test until it is described. Each gets, by
every method, the plainest request that there is and ``IMAGING_CDS_FUZZ_EXAMPLES`` (3) made by chance, others in every run;
some hundred of them are for a night. A failure shows the request, and the seed that makes all of them again.

Spec: STYLE 13, 14; smart-imaging.md §13 groups 1, 12, 13, 16, 20, 27.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from http.client import HTTPMessage

import pytest
from hypothesis import HealthCheck, given, seed, settings
from werkzeug.routing import Rule

from tests.examples import examples
from tests.security.route_requests import MARKUP, METHODS, SECRET, Asking, Callers, askings, callers_of, shapes_at
from tests.security.whole_application import METRICS_TOKEN, Sent, WholeApplication, a_whole_application

EXAMPLES = int(os.environ.get("IMAGING_CDS_FUZZ_EXAMPLES", "3"))
SEED = os.environ.get("IMAGING_CDS_FUZZ_SEED") or secrets.token_hex(4)
BROKEN = (500, 502, 503, 504)
VIEWER = frozenset(("smart_app.viewer_file", "smart_app.shell", "smart_app.app_config"))
"""Where the viewer is not installed these say so: 503."""
TRACES = (b"Traceback (most recent call last)", b'File "/', b"werkzeug.exceptions", b"sqlalche")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeApplication]:
    with a_whole_application(tmp_path_factory.mktemp("whole")) as running:
        yield running


def routes(world: WholeApplication) -> list[Rule]:
    return sorted(world.flask.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint))


def faults(world: WholeApplication, rule: Rule, target: str, sent: Sent) -> list[str]:
    """What is wrong with an answer."""
    head = str(sent.headers).encode("latin-1", "replace")
    hands_out = rule.endpoint == "smart_app.token" and sent.status == 200
    secrets = (SECRET, METRICS_TOKEN, *(() if hands_out else (world.token,)))
    told = {
        f"status {sent.status}": sent.status in BROKEN and not (sent.status == 503 and rule.endpoint in VIEWER),
        "a stack trace": any(one in sent.body for one in TRACES),
        "a token comes back": any(one.encode() in head + sent.body for one in secrets),
        "markup comes back": sent.media_type == Callers.PEOPLE and MARKUP.encode() in sent.body,
        # The name of one: within a value, as in the address that a redirect names, it is text.
        "a header was planted": "X-Planted" in sent.headers,
        f"an error as {sent.media_type}": sent.status >= 400 and bool(sent.body) and sent.media_type not in shapes_at(target),
    }
    return [fault for fault, is_so in told.items() if is_so]


def test_every_route_says_who_its_callers_are(world: WholeApplication) -> None:
    described = {rule.endpoint: callers_of(rule) for rule in routes(world)}

    assert len(described) > 60
    assert set(described.values()) == set(Callers)


def test_a_planted_header_is_told_from_the_same_text_in_an_address(world: WholeApplication) -> None:
    planted, told = HTTPMessage(), HTTPMessage()
    planted["X-Planted"] = "yes"
    told["Location"] = "http://app.example/?iss=%0d%0aX-Planted:%20yes"
    rule = routes(world)[0]

    assert faults(world, rule, rule.rule, Sent(308, planted, b"")) == ["a header was planted"]
    assert faults(world, rule, rule.rule, Sent(308, told, b"")) == []


def test_a_method_that_a_route_does_not_know_is_refused_in_its_callers_shape(world: WholeApplication) -> None:
    for rule in routes(world):
        target = rule.rule.replace("<ehr>", "sandbox").replace("<pacs>", "demo")
        if "<" in target:
            continue
        sent = world.send("BREW", target, {"Authorization": f"Bearer {world.token}"})

        assert (rule.rule, sent.status, sent.media_type) == (rule.rule, 405, callers_of(rule).value)
        assert shapes_at(target) >= {callers_of(rule).value}


def test_a_viewers_file_that_is_not_there_is_said_in_plain_words(world: WholeApplication) -> None:
    sent = world.send("GET", "/ohif/no/such.js", {})

    assert sent.status in (404, 503)
    assert sent.media_type in (Callers.FILES, Callers.PEOPLE)


def test_every_route_gets_requests_by_chance_by_methods_that_it_does_not_know_too(world: WholeApplication) -> None:
    every, made = routes(world), set[str]()
    for rule in every:
        each_of(world, rule, "BREW", lambda asking: made.add(str(asking)))

    assert len(made) > len(every) * (1 + EXAMPLES) / 2, "two of one route are now and then alike"


def each_of(world: WholeApplication, rule: Rule, method: str, tried: Callable[[Asking], None]) -> None:
    """Some requests of one method to one route. Hypothesis begins with the plainest one, the same each time."""

    @seed(f"{SEED} {method} {rule.rule} {rule.endpoint}")
    @settings(
        max_examples=examples(1) + EXAMPLES,
        derandomize=False,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(askings(world, rule, method))
    def each(asking: Asking) -> None:
        tried(asking)

    each()


def try_route(world: WholeApplication, rule: Rule, method: str) -> None:
    """All of them are answered as they should be."""

    def answers(asking: Asking) -> None:
        sent = world.send(asking.method, asking.target, asking.headers, asking.body)

        assert faults(world, rule, asking.target, sent) == []

    each_of(world, rule, method, answers)


@pytest.mark.parametrize("method", METHODS)
def test_no_request_to_any_route_breaks_it_or_gives_anything_away(world: WholeApplication, method: str) -> None:
    print(f"IMAGING_CDS_FUZZ_SEED={SEED} makes the same requests again.")
    for rule in routes(world):
        try_route(world, rule, method)
        if not world.is_open():
            world.launch()
