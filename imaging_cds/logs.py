"""Logging of a server process: our own loggers to standard error, nobody else's.

Libraries log addresses with their queries (urllib3 names the path of each request that it retries), and a FHIR query names the
patient. So only the ``imaging_cds`` loggers have a handler; what they write holds ids of requests, routes and reasons.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from fhir_imaging.web import LOG_FIELDS, RequestSummary
from fhir_imaging.web import log as request_log

TIME = "%Y-%m-%dT%H:%M:%S"
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
        said = stated if isinstance(stated, dict) else {"message": record.getMessage()}
        if record.exc_info:
            said = {**said, "exception": self.formatException(record.exc_info)}
        return _json_line(record.created, record.levelname, record.name, said)


class RequestLines:
    """Writes the line of each request word for word as the logger would, which asks a dozen functions for each: a third
    of what the decision about a frame cost. Thread-safe; a line goes out in one piece, as several processes write to one place.
    """

    def __init__(self, log_format: LogFormat, *, write: Callable[[bytes], int], clock: Callable[[], float] = time.time) -> None:
        """``write`` takes bytes and says how many it took; ``clock`` has UTC seconds."""
        self._line = _json_request if log_format is LogFormat.JSON else _text_request
        self._write = write
        self._clock = clock

    @classmethod
    def to_standard_error(cls, log_format: LogFormat) -> RequestLines:
        """Beside what ``configure_logging`` sends there."""
        descriptor = sys.stderr.fileno()
        return cls(log_format, write=lambda line: os.write(descriptor, line))

    def __call__(self, one: RequestSummary) -> None:
        """As with any log, a line that cannot be written fails no request."""
        rest = self._line(self._clock(), one).encode("utf-8", "backslashreplace")
        with suppress(OSError):
            while rest:
                rest = rest[self._write(rest) :]


def _text_request(now_s: float, one: RequestSummary) -> str:
    return f"{_second(int(now_s))}Z INFO {request_log.name} {one.line}\n"


def _json_request(now_s: float, one: RequestSummary) -> str:
    return _json_line(now_s, "INFO", request_log.name, one.fields) + "\n"


def _json_line(now_s: float, level: str, logger: str, said: Mapping[str, object]) -> str:
    at = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": at, "level": level, "logger": logger, **said}, default=str)


@lru_cache(maxsize=2)
def _second(now_s: int) -> str:
    return time.strftime(TIME, time.gmtime(now_s))


def formatter_of(log_format: LogFormat) -> logging.Formatter:
    """How a record of the logger is written; times in UTC."""
    if log_format is LogFormat.JSON:
        return JsonLines()
    formatter = logging.Formatter(FORMAT, datefmt=TIME)
    formatter.converter = time.gmtime
    return formatter


def configure_logging(level: int = logging.INFO, *, log_format: LogFormat = LogFormat.TEXT) -> None:
    """Sends the application's log lines to standard error, times in UTC. Call once for a process, before it serves."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter_of(log_format))
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
