"""What only the cards are measured with: the application with authentication off, HealthChain, and a slow FHIR server."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import tomli_w

from imaging_cds.processes import ProcessGroup, ProcessSpec, python_command
from imaging_cds.settings import CONFIG_VARIABLE
from tests.benchmarks.hooks import fetched, questions
from tests.benchmarks.peer_servers import APPLICATIONS, Peer, healthchain, healthchain_spec
from tests.benchmarks.processor_time import cpu_reader
from tests.benchmarks.stack import READY_TIMEOUT_S, Stack
from tests.conftest import free_port_number

DELAY_MS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CardServers:
    """Addresses, and the processor time that each server has spent, by its title."""

    open_url: str
    peer: Peer
    peer_urls: Mapping[str, str]
    """Of HealthChain's applications, by name; empty where it is not installed."""
    cpu_of: Callable[[str], Callable[[], float]]


@contextmanager
def card_servers(stack: Stack) -> Iterator[CardServers]:
    """Everything running, until the block ends."""
    open_port = free_port_number()
    peer = healthchain()
    specs = [open_application(stack, open_port), slow_fhir(stack)]
    peer_ports = {name: free_port_number() for name in APPLICATIONS if peer.python}
    if peer.python:
        specs += [healthchain_spec(peer.python, name, port, stack.options.directory) for name, port in peer_ports.items()]
    group = ProcessGroup()
    try:
        for spec in specs:
            group.start(spec)
        group.wait_ready(READY_TIMEOUT_S)
        yield CardServers(
            open_url=f"http://localhost:{open_port}",
            peer=peer,
            peer_urls={name: f"http://127.0.0.1:{port}" for name, port in peer_ports.items()},
            cpu_of=lambda title: cpu_reader(group if group.has(title) else stack.group, title),
        )
        group.check()
    finally:
        group.stop()


def open_application(stack: Stack, port: int) -> ProcessSpec:
    """The demo's application once more, without client authentication and with a database of its own."""
    table = tomllib.loads(stack.options.app_config.read_text())
    directory = stack.options.directory
    table["public_base_url"] = f"http://localhost:{port}"
    table["server"]["port"] = port
    table["state"]["state_dir"] = str((directory / "open-app").absolute())
    table["cds"]["client_authentication"] = "off"
    settings = directory / "open-app.toml"
    settings.write_text(tomli_w.dumps(table))
    return ProcessSpec(
        title="open application",
        command=python_command("serve"),
        ready_url=f"http://localhost:{port}/readyz",
        log_file=stack.options.logs / "open-app.log",
        environment={CONFIG_VARIABLE: str(settings.absolute())},
    )


def slow_fhir(stack: Stack) -> ProcessSpec:
    """Patient A's record at a server that takes 50 ms a call."""
    answers, record = fetched(stack), stack.options.directory / "slow-fhir.json"
    record.write_text(json.dumps({path: answers[key] for key, path in questions().items()}))
    told = ("--port", str(stack.slow_fhir_port), "--record", str(record), "--delay-ms", str(DELAY_MS))
    return ProcessSpec(
        title="slow FHIR server",
        command=[sys.executable, "-m", "tests.benchmarks.slow_fhir", *told],
        ready_url=f"{stack.slow_fhir_base}/metadata",
        log_file=stack.options.logs / "slow-fhir.log",
    )
