"""Logging of a server process: our own loggers to standard error, nobody else's.

Libraries log addresses with their queries (urllib3 names the path of each request that it retries), and a FHIR query names the
patient. So only the ``imaging_cds`` loggers have a handler; what they write holds ids of requests, routes and reasons.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from enum import StrEnum

from fhir_imaging.web import LOG_FIELDS

FORMAT = "%(asctime)sZ %(levelname)s %(name)s %(message)s"


class LogFormat(StrEnum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, and what the record says in fields, else its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line break in it."""
        stated = getattr(record, LOG_FIELDS, None)
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            **(stated if isinstance(stated, dict) else {"message": record.getMessage()}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: int = logging.INFO, *, log_format: LogFormat = LogFormat.TEXT) -> None:
    """Sends the application's log lines to standard error, times in UTC. Call once for a process, before it serves."""
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format is LogFormat.JSON else formatter)
    # No line says which thread or line of code it comes from, so nobody needs to find that out (Logging HOWTO). gunicorn's say
    # which process.
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    own = logging.getLogger("imaging_cds")
    own.handlers = [handler]
    own.setLevel(level)
    own.propagate = False
    # Without any handler Python would print a library's warnings itself.
    logging.getLogger().addHandler(logging.NullHandler())
