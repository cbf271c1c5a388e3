"""A worker of the server, gunicorn's threaded one but for five moments: when a caller comes, is heard, asks again, leaves, and
its own end.

gunicorn's own gives a new connection a thread before the caller has said anything, and waits five seconds there: a dozen silent
callers, which browsers that connect ahead are too, hold everybody up. Here a silent caller has no thread.

It reads heads line by line, and sends an answer's head by itself. Here plain ones are read at once (``plain_requests``), and
their answers' heads go out with their bodies (``one_write``).

After each answer it hands the connection back to its main thread, which waits for the next request and finds a thread for it.
Viewers ask for thousands of frames, one right after the other, and that way there and back was a third of what the process did.
Here the thread itself looks for the next request, for some milliseconds, while there are threads enough for all.

What the application has said the answer to is answered in the main thread, when it comes (``at_once``); what takes an archive's
answer too, in the request's thread.

A caller whose connection ends is given his time beside all others (``leaving``), one who stops in the middle is let go
(``patience``), and of what cannot be read the log has no word of the caller's (``unreadable``). Where no connection can be
taken for want of descriptors, it goes on with those that it has.

Told to end, it stops taking connections, and yet keeps its listening socket open until its last request is done. The kernel
goes on taking connections meanwhile; nobody answers them, and they are cut when the process ends. A proxy takes such a server
for one that is there but slow, and what it sent (a POST, which must not be sent twice) is lost. Here the socket is closed.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from fhir_imaging.web import reference_of
from imaging_cds.at_once import AtOnce
from imaging_cds.leaving import LeavingCallers
from imaging_cds.one_write import head_of, send_all
from imaging_cds.patience import GIVEN_UP, PATIENCE_S, be_patient
from imaging_cds.plain_requests import LONGEST, PlainlyReading, PlainRequest
from imaging_cds.unreadable import answer_of, status_of

STOPPING = "stopping"
"""Whether a worker takes no more callers, in ``app.extensions``; those that are connected already may still ask."""
ENDING_S = 2
"""What a worker has, after its last request's time is over, for ending what runs beside requests; then it is killed."""
_SAYS_SO_EACH_S = 0.5
_LEAVES_S, _LEAVES_AT_THE_END_S = 2.0, 0.5
"""What a caller has who is told that his connection ends."""
_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RESTS_S, _TELLS_EACH_S = 0.05, 10.0
_STAYS_MS = 5
"""How long a thread looks for its caller's next request: a viewer's comes within one or two, a person's next click later."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """Told to stop, it takes those who wait already, refuses everybody else at once, and ends when the last is answered."""

    _with_threads = 0
    """Connections that have a thread or wait for one; only the main thread writes it."""
    _threads = 0
    nr_conns: int
    _said_at = _told_at = float("-inf")

    def init_process(self) -> None:
        """After the fork, so the copy of the settings is this worker's own: the process that started it waits longer."""
        self.cfg.set("graceful_timeout", max(self.cfg.graceful_timeout - ENDING_S, 0))
        self._threads = self.cfg.threads
        self._at_once = AtOnce()
        super().init_process()

    def notify(self) -> None:
        """Tells the process that started this one that it is alive, which needs to hear it once in ``timeout`` seconds."""
        now = time.monotonic()
        if now - self._said_at >= _SAYS_SO_EACH_S:
            self._said_at = now
            super().notify()

    def run(self) -> None:
        """Until it is told to end."""
        self._leaving = LeavingCallers(self.poller, self._is_gone)
        super().run()

    def accept(self, listener: Any) -> None:
        """Takes who waits. Without a descriptor for him it goes on with the others, some of whom will leave."""
        try:
            super().accept(listener)
        except OSError as exc:
            if exc.errno not in _NONE_LEFT:
                raise
            if time.monotonic() - self._told_at >= _TELLS_EACH_S:
                self._told_at = time.monotonic()
                self.log.error("No connection can be taken (%s): raise the limit of open files.", os.strerror(exc.errno))
            time.sleep(_RESTS_S)

    def enqueue_req(self, conn: Any) -> None:
        """In the main thread: a caller who has said something is given a thread, any other is waited for without one."""
        if not conn.initialized:
            be_patient(conn.sock)
        if not (conn.initialized or conn.data_ready or _has_spoken(conn.sock, 0)):
            self._wait_for(conn)
            return
        self._with_threads += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """In the main thread, when a thread has let go of a connection."""
        self._with_threads -= 1
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._leaving.add(conn, _LEAVES_S if self.alive else _LEAVES_AT_THE_END_S)

    def murder_pending(self) -> None:
        """In the main thread, now and then: ends those whose time is over."""
        super().murder_pending()
        self._leaving.end_overdue()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """In a thread: a request that cannot be read, or that the application could not answer."""
        status, reference = status_of(exc), reference_of("")
        if status != 500:
            self.log.warning("%s %d: a request that cannot be read (%s)", reference, status, type(exc).__name__)
        else:
            self.log.error("%s %d: %s", reference, status, type(exc).__name__, exc_info=exc)
        with suppress(OSError):
            client.sendall(answer_of(status, reference))

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """In the main thread: a caller asks again, and has no thread."""
        if not (self.alive and _is_told_of(conn) and self._answers_at_once(conn, client)):
            super().on_client_socket_readable(conn, client)

    def handle(self, conn: Any) -> Any:
        """In a thread: what a caller asks, and what it asks right after that."""
        if conn.parser is None and not self.cfg.is_ssl:
            conn.parser = PlainlyReading(self.cfg, conn.sock, conn.client)
        goes_on = super().handle(conn)
        while goes_on is True and not _is_told_of(conn) and self._is_asked_again(conn):
            goes_on = super().handle(conn)
        return goes_on

    def handle_request(self, req: Any, conn: Any) -> bool:
        """In a thread: one request. Whoever takes nothing of its answer is let go."""
        try:
            return self._handled(req, conn)
        except GIVEN_UP:
            self.log.info("A caller who took nothing for %.0f s is let go.", PATIENCE_S)
            return False

    def _handled(self, req: Any, conn: Any) -> bool:
        """Those without a body, and so without much to go wrong, at less cost."""
        if not isinstance(req, PlainRequest):
            return bool(super().handle_request(req, conn))
        goes_on = self.alive and len(self.keepalived_conns) < self.max_keepalived
        further = self._told_in_turn(req, conn) if goes_on else {}
        if further is None:
            return True
        response, environ = req.created(conn, self.cfg)
        environ |= further
        self._at_once.offer(environ, conn.client, req.fields)
        if not goes_on:
            response.force_close()
        try:
            chunks = self.wsgi(environ, response.start_response)
            try:
                if isinstance(chunks, environ["wsgi.file_wrapper"]):
                    response.write_file(chunks)  # by the kernel, where it can
                else:
                    for chunk in chunks:
                        response.write(chunk)
                response.close()
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
        except OSError:
            raise
        except (Exception, SystemExit):
            if not response.has_begun:
                raise
            self.log.exception("Error handling request")
            raise StopIteration from None  # the connection ends in the middle of the answer
        return not response.should_close()

    def _answers_at_once(self, conn: Any, client: Any) -> bool:
        """Whether what is there to be read was answered, or there is nothing; if not, it is there for the next who reads."""
        try:
            begun = client.recv(LONGEST + 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        found = self._answer_to(begun, conn)
        if found is None:
            conn.parser.unreader.unread(begun)
            return False
        answer, tell = found
        has_room = _sent(client, answer) == len(answer)
        self._tell(tell)  # whoever asked goes on meanwhile
        self.keepalived_conns.remove(conn)
        if has_room:
            conn.set_timeout()
            self.keepalived_conns.append(conn)  # the next to be given up stands first
            return True
        self.poller.unregister(client)  # whoever asks on and on, and reads nothing, is not waited for here
        self.nr_conns -= 1
        conn.close()
        return True

    def _answer_to(self, begun: bytes, conn: Any) -> tuple[bytes, Callable[[], None]] | None:
        try:
            return self._at_once.answer(begun, conn.client, conn.parser.last)
        except Exception:  # the application explains it, and the worker goes on
            self.log.exception("Error answering at once")
            return None

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:  # what cannot be told was answered all the same, and the worker goes on
            self.log.exception("Error telling of an answer")

    def _told_in_turn(self, req: PlainRequest, conn: Any) -> Mapping[str, Any] | None:
        """None when the request was answered as the application lets the server do; else what the application is to be told."""
        words = req.fields.words
        if words is None or words.in_turn is None or req.uri != req.path:
            return {}
        answer = _Sending(conn.sock)
        try:
            return words.in_turn(req.path, req.number, answer.send)
        except OSError:
            raise
        except Exception:
            self.log.exception("Error answering in turn")
            if answer.has_begun:
                raise StopIteration from None
            return {}

    def _is_asked_again(self, conn: Any) -> bool:
        """No caller keeps a thread that another one waits for."""
        return self.alive and self._with_threads < self._threads and _has_spoken(conn.sock, _STAYS_MS)

    def _is_gone(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _wait_for(self, conn: Any) -> None:
        """As gunicorn waits for those who were silent for five seconds."""
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def set_accept_enabled(self, enabled: bool) -> None:
        """Called with False while it is alive too, when it has as many connections as it may have."""
        if enabled or self.alive:
            super().set_accept_enabled(enabled)
            return
        getattr(self.wsgi, "extensions", {})[STOPPING] = True
        for listener in self.sockets:
            self._take_who_waits(listener)
        super().set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)

    def _take_who_waits(self, listener: Any) -> None:
        """They are connected, and may have sent their request; the last worker to close the socket would cut them off."""
        connections = -1
        while connections != self.nr_conns:
            connections = self.nr_conns
            self.accept(listener)


class _Sending:
    """An answer of 200 on its way to a caller."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.has_begun = False

    def send(self, lines: str, body: Sequence[bytes | memoryview]) -> None:
        """``SendAnswer``."""
        self.has_begun = True
        send_all(self._sock, (head_of(lines), *body))


def _is_told_of(conn: Any) -> bool:
    return isinstance(conn.parser, PlainlyReading) and conn.parser.is_told_of


def _sent(client: Any, answer: bytes) -> int:
    try:
        return int(client.send(answer))
    except OSError:
        return 0


def _has_spoken(sock: Any, wait_ms: int) -> bool:
    """Whether there is something to read, or the caller is gone."""
    looked_at = select.poll()
    looked_at.register(sock, select.POLLIN)
    return bool(looked_at.poll(wait_ms))
