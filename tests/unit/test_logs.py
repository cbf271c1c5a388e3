"""The log of a server process holds our own lines and no library's (smart-imaging group 34)."""

import json
import logging
import subprocess
import sys

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
