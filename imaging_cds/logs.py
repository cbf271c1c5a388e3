"""Logging of a server process: our own loggers to standard error, nobody else's.

Libraries log addresses with their queries (urllib3 names the path of each request that it retries), and a FHIR query names the
patient. So only the ``imaging_cds`` loggers have a handler; what they write holds ids of requests, routes and reasons.
"""

from __future__ import annotations

import logging
import sys
import time

FORMAT = "%(asctime)sZ %(levelname)s %(name)s %(message)s"


def configure_logging(level: int = logging.INFO) -> None:
    """Sends the application's log lines to standard error, times in UTC. Call once for a process, before it serves."""
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    own = logging.getLogger("imaging_cds")
    own.handlers = [handler]
    own.setLevel(level)
    own.propagate = False
    # Without any handler Python would print a library's warnings itself.
    logging.getLogger().addHandler(logging.NullHandler())
