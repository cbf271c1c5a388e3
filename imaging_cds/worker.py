"""A worker of the server that stops without losing anybody: gunicorn's threaded one, but for the moment of its end.

gunicorn's own stops taking connections when it is told to end, and yet keeps its listening socket open until its last request
is done. The kernel goes on taking connections meanwhile; nobody answers them, and they are cut when the process ends. A proxy
takes such a server for one that is there but slow, and what it sent (a POST, which must not be sent twice) is lost.
"""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker

STOPPING = "stopping"
"""Whether a worker takes no more callers, in ``app.extensions``; those that are connected already may still ask."""
ENDING_S = 2
"""What a worker has, after its last request's time is over, for ending what runs beside requests; then it is killed."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """Told to stop, it takes those who wait already, refuses everybody else at once, and ends when the last is answered."""

    def init_process(self) -> None:
        """After the fork, so the copy of the settings is this worker's own: the process that started it waits longer."""
        self.cfg.set("graceful_timeout", max(self.cfg.graceful_timeout - ENDING_S, 0))
        super().init_process()

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

    def _take_who_waits(self, listener: Any) -> None:
        """They are connected, and may have sent their request; the last worker to close the socket would cut them off."""
        connections = -1
        while connections != self.nr_conns:
            connections = self.nr_conns
            self.accept(listener)
