"""A TCP relay that delays what one side says, or drops every connection: a slow or a broken link on loopback."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

POLL_S = 0.005
CHUNK = 65536


@dataclass
class _Way:
    """One direction of one connection, with what is on its way: (due, bytes)."""

    source: socket.socket
    target: socket.socket
    delayed: bool
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)


class Relay:
    """Listens on a free port of 127.0.0.1; `delay_s` from now on holds back what the connecting side says."""

    def __init__(self, host: str, port: int) -> None:
        self.delay_s = 0.0
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._ways: list[_Way] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def drop(self) -> float:
        """Shut every connection down now; the time of it (CLOCK_MONOTONIC)."""
        with self._lock:
            now = time.monotonic()
            for way in self._ways:
                with suppress(OSError):
                    way.source.shutdown(socket.SHUT_RDWR)
        return now

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._listener.close()
        for way in self._ways:
            way.source.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            ready, _, _ = select.select([self._listener, *(way.source for way in self._ways)], [], [], POLL_S)
            if self._listener in ready:
                self._accept()
            for way in list(self._ways):
                if way.source in ready:
                    self._read(way)
                self._write(way)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._ways += [_Way(client, server, True), _Way(server, client, False)]

    def _read(self, way: _Way) -> None:
        data = b""
        with suppress(OSError):
            data = way.source.recv(CHUNK)
        if data:
            way.queue.append((time.monotonic() + (self.delay_s if way.delayed else 0.0), data))
        else:
            self._forget(way)

    def _write(self, way: _Way) -> None:
        while way.queue and way.queue[0][0] <= time.monotonic():
            try:
                way.target.sendall(way.queue.popleft()[1])
            except OSError:
                self._forget(way)
                return

    def _forget(self, way: _Way) -> None:
        ends = {way.source, way.target}
        with self._lock:
            self._ways = [one for one in self._ways if one.source not in ends]
        for end in ends:
            end.close()
