"""A FHIR server that takes its time with each call and answers any number of them in parallel, as a remote one does.

``python -m tests.benchmarks.slow_fhir --port N --record FILE`` serves the bodies of FILE, an object from path (with its query)
to body, until it is stopped. A call without a bearer token gets 401: the request's fhirAuthorization must have been used.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

BASE = "/fhir"
Question = tuple[str, tuple[tuple[str, str], ...]]


def question(path: str) -> Question:
    """What a path asks, however its query is written."""
    parts = urlsplit(path)
    return parts.path, tuple(sorted(parse_qsl(parts.query)))


class SlowFhir:
    """The answers, ready to be sent."""

    def __init__(self, record: dict[str, object], delay_s: float) -> None:
        self._answers = {question(path): answered(200, body) for path, body in record.items()}
        self._delay_s = delay_s

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One kept connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await asyncio.sleep(self._delay_s)
                writer.write(self.answer(head))
                await writer.drain()
        writer.close()

    def answer(self, head: str) -> bytes:
        """The answer to one request, by its line and headers."""
        path = head.split(" ", 2)[1]
        if path == f"{BASE}/metadata":
            return answered(200, {"resourceType": "CapabilityStatement"})
        if "\r\nauthorization: bearer " not in head.lower():
            return answered(401, {"resourceType": "OperationOutcome"})
        return self._answers.get(question(path)) or answered(404, {"resourceType": "OperationOutcome"})


def answered(status: int, body: object) -> bytes:
    """A whole HTTP answer."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} .\r\nContent-Type: application/fhir+json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def serve(port: int, fhir: SlowFhir) -> None:
    """Until the process is stopped."""
    server = await asyncio.start_server(fhir.talk, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serves it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    told = parser.parse_args()
    asyncio.run(serve(told.port, SlowFhir(json.loads(told.record.read_text()), told.delay_ms / 1000)))


if __name__ == "__main__":
    main()
