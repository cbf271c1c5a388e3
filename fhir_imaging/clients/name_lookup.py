"""Host names into addresses within a time: the system's resolver takes none, and may keep its caller for half a minute.

The lookup runs in a thread of its own, the caller waits as long as it may. Lookups of one host are shared while they last, so a
dead resolver holds one thread for each configured host and no more; nothing is remembered afterwards.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock, Thread

Resolver = Callable[[str, int], Sequence[str]]
"""The addresses of a host, the preferred first; OSError (``socket.gaierror``) where it has none."""

Beginner = Callable[[Callable[[], None]], None]
"""Begins a piece of work beside the caller; RuntimeError where the machine has no thread left."""


def in_its_own_thread(work: Callable[[], None]) -> None:
    """No pool's thread: the process would wait for that one when it ends."""
    Thread(target=work, name="name-lookup", daemon=True).start()


def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the operating system says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def is_address(host: str) -> bool:
    """Whether the host is an address already, for which nobody has to be asked."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


class NameLookups:
    """Lookups that may be waited for; thread-safe."""

    def __init__(self, resolver: Resolver = system_addresses, begin: Beginner = in_its_own_thread) -> None:
        self._resolver = resolver
        self._begin = begin
        self._lock = Lock()
        self._asked: dict[tuple[str, int], Future[Sequence[str]]] = {}

    def addresses(self, host: str, port: int, timeout_s: float | None) -> Sequence[str]:
        """The host's addresses; TimeoutError when they are not there in time, OSError or UnicodeError where there are none."""
        return self._lookup(host, port).result(timeout_s)

    def _lookup(self, host: str, port: int) -> Future[Sequence[str]]:
        key = host, port
        with self._lock:
            known = self._asked.get(key)
            if known is not None:
                return known
            asked: Future[Sequence[str]] = Future()
            self._asked[key] = asked
        try:
            self._begin(partial(self._answer, key, asked))
        except RuntimeError as failure:
            # No thread is to be had just now: nobody would ever answer those who come later.
            self._forget(key)
            asked.set_exception(OSError(f"no lookup could begin: {failure}"))
        return asked

    def _answer(self, key: tuple[str, int], asked: Future[Sequence[str]]) -> None:
        try:
            addresses = self._resolver(*key)
        except (OSError, UnicodeError) as failure:
            self._forget(key)
            asked.set_exception(failure)
        else:
            self._forget(key)
            asked.set_result(addresses)

    def _forget(self, key: tuple[str, int]) -> None:
        with self._lock:
            self._asked.pop(key, None)
