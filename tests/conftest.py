"""What every test may use: free ports, real servers, Debian's Chromium; CI skips nothing, and no log tells who or with what."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from pathlib import Path

import hypothesis
import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from imaging_cds.viewer_install import is_installed
from tests.examples import SOAK
from tests.log_watch import LogWatch, leaks_in_files, logging_as_it_was
from tests.ready_templates import compile_once
from tests.side_by_side import cores, workers
from tests.suite_times import SuiteBudgets

CHECKOUT = Path(__file__).parent.parent
VIEWER_DIR = CHECKOUT / ".viewer"
PORT_RANGES, PORTS_OF_WORKER = 8, 2500
hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of an example
hypothesis.settings.load_profile("untimed")
LOG_WATCH = LogWatch()
"""Reads every log line of this process (security group 34)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmarks", action="store_true", help="run tests/benchmarks too")
    parser.addoption("--sync-studies", type=int, default=5000, help="how many studies a benchmark brings over")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``, where xdist is loaded at all."""
    return workers(cores())


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SuiteBudgets(config))
    compile_once()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell starts what runs in the background; programs that tests start would be deaf to Ctrl-C too.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--benchmarks"):
        benchmarks = [item for item in items if "benchmarks" in Path(item.path).parts]
        config.hook.pytest_deselected(items=benchmarks)
        items[:] = [item for item in items if item not in benchmarks]
    if SOAK > 1:
        others = [item for item in items if not _may_soak(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _may_soak(item)]


def _may_soak(item: pytest.Item) -> bool:
    """Whether a test finds more the longer it runs: property tests, and whatever is killed at random moments."""
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False) or "_kill" in item.path.stem


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    # In CI a counterpart that is missing is a fault of the CI, not a reason to pass.
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("IMAGING_CDS_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be skipped here: {report.longrepr}"
    leaks = LOG_WATCH.take() if call.when != "setup" else []
    if leaks and not report.failed:
        report.outcome = "failed"
        report.longrepr = "This must stand in no log:\n" + "\n".join(leaks)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    with logging_as_it_was():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    LOG_WATCH.attach()


@pytest.fixture(scope="session", autouse=True)
def logs_of_all_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the run no log file of a process that a test started holds a token or a patient's name."""
    yield
    leaks = leaks_in_files(tmp_path_factory.getbasetemp())
    assert not leaks, "This must stand in no log:\n" + "\n".join(leaks)


def free_port_number() -> int:
    """A port that nobody listens on, and that no other test of this run gets.

    Below those that the system gives to connections, so that none of these takes it before the server starts.
    """
    for port in _ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As servers do: a connection that ended a moment ago is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports go round for ever")


@cache
def _ports() -> Iterator[int]:
    """The ports of this worker, round and round."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12000 + worker % PORT_RANGES * PORTS_OF_WORKER
    ports = range(first, first + PORTS_OF_WORKER)
    begin = os.getpid() * 37 % PORTS_OF_WORKER  # another run on this machine begins elsewhere
    return cycle([*ports[begin:], *ports[:begin]])


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    return free_port_number()


class _AtOnce(WSGIRequestHandler):
    """Sends an answer's body without waiting for its head to be acknowledged, as gunicorn does: up to 40 ms."""

    disable_nagle_algorithm = True


@contextmanager
def serving(app: Flask, port: int, *, host: str = "127.0.0.1") -> Iterator[str]:
    """The application on a real socket, in a thread; yields its base URL."""
    server = make_server(host, port, app, threaded=True, request_handler=_AtOnce)
    server.daemon_threads = True
    # The default interval of half a second is what every test would wait for at its end.
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Flask, int], str]]:
    """Starts applications for one test and stops them after it."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda app, port: stack.enter_context(serving(app, port))


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Debian's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed. On Debian: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def viewer_dir() -> Path:
    """The installed OHIF viewer."""
    if not is_installed(VIEWER_DIR):
        pytest.skip("The viewer is not installed. Run: .venv/bin/python -m imaging_cds viewer (needs npm)")
    return VIEWER_DIR
