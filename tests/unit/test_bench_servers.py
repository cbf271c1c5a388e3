"""What the benchmarks measure with and beside: pins, the slow FHIR server's answers, and the reading of processor time."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from imaging_cds.processes import ProcessGroup, ProcessSpec
from tests.benchmarks.card_servers import cpu_reader
from tests.benchmarks.load import Timing
from tests.benchmarks.peer_servers import PINS, healthchain
from tests.benchmarks.report import met
from tests.benchmarks.slow_fhir import SlowFhir

SECRET = "GET {} HTTP/1.1\r\nAuthorization: Bearer one\r\n\r\n"


def test_the_peer_is_pinned_by_hash_and_names_no_index() -> None:
    lines = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    packages = [line for line in lines if not line.startswith(" ")]

    assert any(line.startswith("healthchain==") for line in packages)
    assert any(line.startswith("uvloop==") for line in packages)
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert all(line.strip().startswith("--hash=sha256:") for line in lines if line.startswith(" "))


def test_a_peer_that_cannot_be_installed_is_left_out_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    peer = healthchain(tmp_path / "file" / "venv")

    assert peer.python is None
    assert peer.remark == "not measured, it could not be installed here (CalledProcessError)"


def a_timing(per_s: float, cpu_ms: float) -> Timing:
    return Timing(p50_ms=1.0, p95_ms=1.0, p99_ms=1.0, per_s=per_s, count=1, cpu_ms=cpu_ms)


def test_the_goal_is_met_only_where_throughput_and_processor_time_both_say_so() -> None:
    ours = a_timing(per_s=300.0, cpu_ms=2.0)

    assert met(ours, a_timing(per_s=200.0, cpu_ms=3.0)).startswith("met: 1.50 times its throughput")
    assert met(ours, a_timing(per_s=100.0, cpu_ms=2.9)).startswith("NOT met: 3.00 times its throughput")
    assert met(ours, a_timing(per_s=201.0, cpu_ms=9.0)).startswith("NOT met: 1.49 times its throughput")


def test_the_slow_fhir_server_knows_a_question_however_its_query_is_written() -> None:
    fhir = SlowFhir({"/fhir/Observation?patient=demo-a&code=a%7Cb": {"id": "found"}}, 0.0)

    assert b"found" in fhir.answer(SECRET.format("/fhir/Observation?code=a|b&patient=demo-a"))
    assert fhir.answer(SECRET.format("/fhir/Patient/demo-a")).startswith(b"HTTP/1.1 404")


def test_the_slow_fhir_server_wants_the_token_of_the_request() -> None:
    fhir = SlowFhir({"/fhir/Patient/demo-a": {}}, 0.0)

    assert fhir.answer("GET /fhir/Patient/demo-a HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 401")


def test_processor_time_of_a_server_is_read_with_its_children(tmp_path: Path) -> None:
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    group = ProcessGroup()
    group.start(
        ProcessSpec(
            title="busy", command=[sys.executable, "-c", burn], ready_url="http://127.0.0.1:9/", log_file=tmp_path / "log"
        )
    )
    try:
        spent_s = cpu_reader(group, "busy")
        deadline = time.monotonic() + 20
        while spent_s() < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        group.stop()
    assert not group.has("busy")
