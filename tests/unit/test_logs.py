"""The log of a server process holds our own lines and no library's (smart-imaging group 34)."""

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
