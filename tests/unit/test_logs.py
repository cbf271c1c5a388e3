"""The log of a server process holds our own lines and no library's (smart-imaging group 34)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_imaging.web import LOG_FIELDS, RequestSummary
from imaging_cds.logs import LogFormat, RequestLines, formatter_of
from tests.examples import examples

SCRIPT = """
import logging
from imaging_cds.logs import configure_logging
configure_logging()
logging.getLogger("imaging_cds.request").info("abc GET /s/<session_id>/studies 200 1.0ms")
logging.getLogger("urllib3.connectionpool").warning("Retrying after: /fhir/ImagingStudy?patient=p1")
logging.getLogger().error("anything")
"""


def test_only_our_own_lines_are_written() -> None:
    written = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=30)

    assert "/s/<session_id>/studies" in written.stderr
    assert "imaging_cds.request" in written.stderr
    assert "patient" not in written.stderr
    assert "anything" not in written.stderr
    assert written.stdout == ""
    assert logging.getLogger("imaging_cds").propagate, "this process's own logging is left alone"


SERVER_SCRIPT = """
import logging
from gunicorn.glogging import Logger
from imaging_cds.logs import configure_logging
configure_logging()
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter(Logger.error_fmt))
logging.getLogger("gunicorn.error").addHandler(handler)
logging.getLogger("gunicorn.error").error("a worker ended")
"""


def test_the_servers_own_lines_can_still_say_which_process_wrote_them() -> None:
    written = subprocess.run([sys.executable, "-c", SERVER_SCRIPT], capture_output=True, text=True, check=True, timeout=30)

    assert "a worker ended" in written.stderr
    assert "Logging error" not in written.stderr


JSON_SCRIPT = """
import logging
from imaging_cds.logs import LogFormat, configure_logging
configure_logging(log_format=LogFormat.JSON)
log = logging.getLogger("imaging_cds.request")
log.info("a line for people", extra={"fields": {"request_id": "abc", "status": 200, "route": "/x/<y>"}})
log.error("abc broke\\noff %s", "here")
try:
    raise ValueError("kind")
except ValueError as exc:
    log.error("abc", exc_info=exc)
"""


def test_json_lines_hold_one_object_each_with_the_fields_of_the_record() -> None:
    written = subprocess.run([sys.executable, "-c", JSON_SCRIPT], capture_output=True, text=True, check=True, timeout=30)
    access, error, failure = (json.loads(line) for line in written.stderr.splitlines())

    assert access.pop("time").endswith("Z")
    assert access == {
        "level": "INFO",
        "logger": "imaging_cds.request",
        "request_id": "abc",
        "status": 200,
        "route": "/x/<y>",
    }
    assert error["message"] == "abc broke\noff here"
    assert "ValueError: kind" in failure["exception"]


WORDS = st.text(max_size=12)
SUMMARIES = st.builds(
    RequestSummary,
    reference=WORDS,
    method=st.sampled_from(["GET", "other"]),
    route=WORDS,
    status=st.integers(100, 599),
    duration_s=st.floats(0, 500),
    reason=st.none() | WORDS,
    names=st.dictionaries(st.sampled_from(["ehr", "pacs"]), WORDS),
)
A_REQUEST = RequestSummary(
    reference="abc", method="GET", route="/x/<y>", status=200, duration_s=0.0123, reason=None, names={"ehr": "north"}
)


def by_the_logger(one: RequestSummary, log_format: LogFormat, now_s: float) -> str:
    """What the logger's handler would write."""
    record = logging.makeLogRecord({"name": "imaging_cds.request", "levelname": "INFO", "msg": "%s", "args": (one.line,)})
    record.created = now_s
    setattr(record, LOG_FIELDS, one.fields)
    return formatter_of(log_format).format(record) + "\n"


@settings(max_examples=examples(200))
@given(SUMMARIES, st.sampled_from(LogFormat), st.floats(1, 4e9))
def test_lines_of_requests_are_the_loggers(one: RequestSummary, log_format: LogFormat, now_s: float) -> None:
    written: list[bytes] = []

    def write(line: bytes) -> int:
        written.append(line)
        return len(line)

    RequestLines(log_format, write=write, clock=lambda: now_s)(one)

    assert b"".join(written) == by_the_logger(one, log_format, now_s).encode("utf-8", "backslashreplace")


def test_line_of_a_request_says_what_people_look_for() -> None:
    assert A_REQUEST.line == "abc GET /x/<y> 200 12.3ms ehr=north"
    assert A_REQUEST.fields["duration_ms"] == 12.3


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_line_is_written_to_its_end_however_little_is_taken_at_once(at_once: int) -> None:
    taken = bytearray()

    def write(line: bytes) -> int:
        taken.extend(line[:at_once])
        return min(at_once, len(line))

    RequestLines(LogFormat.TEXT, write=write, clock=lambda: 0.0)(A_REQUEST)

    assert taken.decode() == "1970-01-01T00:00:00Z INFO imaging_cds.request abc GET /x/<y> 200 12.3ms ehr=north\n"


def test_a_log_that_cannot_be_written_fails_no_request() -> None:
    asked: list[bytes] = []

    def write(line: bytes) -> int:
        asked.append(line)
        raise BrokenPipeError

    RequestLines(LogFormat.JSON, write=write)(A_REQUEST)

    assert len(asked) == 1


LINES_SCRIPT = """
from fhir_imaging.web import RequestSummary
from imaging_cds.logs import LogFormat, RequestLines, configure_logging
import logging
configure_logging()
log = logging.getLogger("imaging_cds.server")
lines = RequestLines.to_standard_error(LogFormat.TEXT)
one = RequestSummary(reference="abc", method="GET", route="/x", status=200, duration_s=0, reason=None, names={})
for _ in range(3):
    log.info("before")
    lines(one)
"""


def test_lines_of_requests_stand_where_they_belong_among_the_others() -> None:
    written = subprocess.run([sys.executable, "-c", LINES_SCRIPT], capture_output=True, text=True, check=True, timeout=30)

    said = [line.partition(" INFO ")[2] for line in written.stderr.splitlines()]
    assert said == ["imaging_cds.server before", "imaging_cds.request abc GET /x 200 0.0ms"] * 3
