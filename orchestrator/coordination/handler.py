"""kazoo's surroundings: sockets with short timeouts, and callbacks in the connection thread. Owns no protocol."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.handlers.utils import create_tcp_connection

from orchestrator.coordination.tls import Tls

log = logging.getLogger("kembar.zookeeper")

# kazoo waits a whole session timeout for a SYN, which was 2.48 s until the next server with T=2 (measured).
CONNECT_S = 0.3
# The kernel gives up a connection whose data nobody acknowledges; without it that takes minutes.
USER_TIMEOUT_MS = 500

Socket = Any  # a socket.socket or ssl.SSLSocket


class _Bell(io.FileIO):
    """One end of a pipe as a socket: kazoo puts a byte into it for each request that it is given.

    A pipe holds 65536 of them. kazoo's own socket pair holds 278 (measured), and the connection thread, which alone
    takes them out, would wait for itself for ever if it asked for more at once, as it does for fifteen pairs.
    """

    def send(self, data: bytes) -> int:
        """As of a socket."""
        return self.write(data)

    def recv(self, length: int) -> bytes:
        """As of a socket."""
        return self.read(length)


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """What kazoo asks of its host, without kazoo's two worker threads.

    Results and watch events are handed over in the connection thread itself, which saves a queue and a thread switch
    an answer; hence no callback may block.
    """

    def __init__(self, tls: Tls | None) -> None:
        super().__init__()
        self._tls = tls
        self._polled: list[Socket] = []
        self._poll = select.poll()
        self._socket: Socket | None = None
        self._opened = 0.0
        self.trouble = ""
        self._told: dict[str, str] = {}  # what was logged of each server: all of them are tried several times a second

    def start(self) -> None:
        self._running = True

    def stop(self) -> None:
        self._running = False

    def dispatch_callback(self, callback: Any) -> None:
        """Run a watch in the connection thread."""
        callback.func(*callback.args)

    def create_connection(self, *args: Any, **kwargs: Any) -> Socket:
        """A TCP (or TLS) connection within CONNECT_S. Raises OSError."""
        if self._tls is None:
            kwargs["timeout"] = CONNECT_S
            opened = create_tcp_connection(socket, *args, **kwargs)
        else:  # kazoo's own trusts every authority of the host too, and takes longer to read them than to connect
            opened = self._prove(self._tls, kwargs["address"])
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        self._opened = time.monotonic()
        self._socket = opened
        return opened

    def _prove(self, tls: Tls, address: tuple[str, int]) -> Socket:
        try:
            opened = tls.connect(address, CONNECT_S)
        except (TimeoutError, ConnectionError):  # the server is away, as over plain TCP
            raise
        except OSError as error:
            server = f"{address[0]}:{address[1]}"
            self.trouble = f"{server}: {error}"
            if self._told.get(server) != self.trouble:
                log.error("ZooKeeper: no TLS with %s", self.trouble)
            self._told[server] = self.trouble
            raise
        self.trouble = ""
        self._told.clear()
        return opened

    def opened_for_s(self) -> float:
        """Seconds since the last TCP connection was made; for the deadline of the handshake only."""
        return time.monotonic() - self._opened if self._socket is not None else 0.0

    def peer(self) -> str | None:
        """`IP:port` of the server at the other end, None if there is no connection."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                address, port = self._socket.getpeername()[:2]
                return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return None

    def cut(self) -> None:
        """Shut the connection down, so that kazoo's loop sees its end at once and goes to the next server."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which forgets its TLS first: the connection thread may be reading and writing,
                # and would go on in plain text.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def select(
        self, readers: list[Socket], writers: list[Socket], _: list[Socket], timeout: float | None = None
    ) -> tuple[list[Socket], list[Socket], list[Socket]]:
        """`select` by poll(2), kept while kazoo asks for the same two sockets, as its loop does a dozen times a second.

        kazoo's own makes and closes an epoll descriptor each time, several times a request. Used by one thread only.
        """
        if self._tls is not None:
            # Bytes that TLS has already decrypted are invisible to the kernel.
            pending = [s for s in readers if hasattr(s, "pending") and s.pending() > 0]
            if pending:
                return pending, [], []
        # Rounded up: a wait that ends early would make kazoo's loop spin.
        timeout_ms = None if timeout is None else math.ceil(timeout * 1000)
        if writers:
            return [], writers if _poll(writers, select.POLLOUT).poll(timeout_ms) else [], []
        if readers != self._polled:
            self._polled, self._poll = list(readers), _poll(readers, select.POLLIN)
        ready = [fd for fd, _ in self._poll.poll(timeout_ms)]
        return [s for s in readers if s.fileno() in ready] if ready else [], [], []

    def create_socket_pair(self) -> tuple[_Bell, _Bell]:
        """What kazoo is woken by, the end to read first."""
        read, write = os.pipe()
        return _Bell(read, "rb"), _Bell(write, "wb")

    def spawn(self, func: Callable[..., None], *args: Any, **kwargs: Any) -> threading.Thread:
        """The thread of kazoo's loop."""

        def run() -> None:
            # kazoo has logged it with its traceback and called itself closed; the owner builds a new client.
            with contextlib.suppress(Exception):
                func(*args, **kwargs)

        thread = threading.Thread(target=run, name="zookeeper", daemon=True)
        thread.start()
        return thread


def _poll(sockets: list[Socket], mask: int) -> select.poll:
    poll = select.poll()
    for each in sockets:
        poll.register(each, mask)
    return poll
