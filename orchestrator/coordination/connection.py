"""kazoo's client, made to refuse at once while not connected. Owns one session and what was heard on it."""

from __future__ import annotations

import logging
import math
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionDropped
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.serialization import Sync
from kazoo.protocol.states import KeeperState
from kazoo.retry import KazooRetry

from orchestrator.coordination.answer import Answer
from orchestrator.coordination.handler import CONNECT_S, Handler
from orchestrator.coordination.tls import Tls
from orchestrator.core.model import Instant

# kazoo warns at every attempt while ZooKeeper is away; the client logs each change of state once instead.
_KAZOO_LOG = logging.getLogger("kembar.kazoo")
_KAZOO_LOG.setLevel(logging.ERROR)


class _Session(ConnectionHandler):  # type: ignore[misc]
    """kazoo's connection loop, which keeps only the requested session timeout; this keeps the granted one."""

    granted_s: float | None = None

    def _connect(self, *args: Any, **kwargs: Any) -> tuple[float, float]:
        read_timeout, connect_timeout = super()._connect(*args, **kwargs)
        # kazoo reads for two thirds of what the server granted (source), in milliseconds here.
        self.granted_s = read_timeout * 1.5 / 1000
        return read_timeout, connect_timeout

    # kazoo asks the kernel whether a socket is ready before each of its parts. The answer is nearly always yes, and an
    # agent has 2 % of a core, so these two try first and let kazoo wait for the rest.

    def _read(self, length: int, timeout: float) -> bytes:
        with self._socket_error_handling():
            try:
                start: bytes = self._socket.recv(length)
            except (BlockingIOError, ssl.SSLWantReadError):
                start = b""
            else:
                if not start:
                    raise ConnectionDropped("the server closed the connection")
        return start if len(start) == length else start + super()._read(length - len(start), timeout)

    def _write(self, message: bytes, timeout: float) -> None:
        with self._socket_error_handling():
            try:
                sent = self._socket.send(message)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                sent = 0
        if sent < len(message):
            super()._write(message[sent:], timeout)


class Connection(KazooClient):  # type: ignore[misc]
    """One kazoo client, of which nothing is ever sent later than in the connection in which it was asked for.

    `on_change(connected)` runs in the connection thread. `waiter_now` stamps what is heard; silence longer than
    `gap_s` is a break in hearing even if the connection outlives it (this process may have been paused).
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        session_s: float,
        gap_s: float,
        waiter_now: Callable[[], Instant],
        on_change: Callable[[Connection, bool], None],
        tls: Tls | None,
    ) -> None:
        handler = Handler(tls)
        super().__init__(
            hosts=",".join(hosts),
            timeout=session_s,
            handler=handler,
            # A server that just fell silent must not be the next one, so the order is drawn once, by the caller.
            randomize_hosts=False,
            connection_retry=KazooRetry(max_tries=-1, delay=0.02, max_delay=0.2, sleep_func=handler.sleep_func),
            logger=_KAZOO_LOG,
            use_ssl=tls is not None,  # the handler makes the connection; kazoo then waits as TLS needs it
        )
        self._connection = _Session(self, self._conn_retry.copy(), logger=_KAZOO_LOG)
        self._gap_s = gap_s
        self.waiter_now = waiter_now
        self._on_change = on_change
        self._order = threading.Lock()
        self._accepting = False
        self._ended = False  # kazoo's own state says CLOSED before the first connection too
        self._unanswered: deque[Answer] = deque()
        self._pinged: Answer | None = None
        self._heard: tuple[Instant, Instant] = (math.inf, -math.inf)  # without a break since, last

    # --- asked by any thread

    @property
    def accepting(self) -> bool:
        """Whether a request would be sent now."""
        return self._accepting

    @property
    def ended(self) -> bool:
        """Whether kazoo's loop has given up for good (AUTH_FAILED, xid mismatch, closed)."""
        return self._ended

    @property
    def session_id(self) -> int | None:
        """Of the session in use, as ephemeral nodes name it."""
        return self._session_id if self._accepting else None

    @property
    def trouble(self) -> str:
        """Why the last connection was not made, as far as TLS is to blame; else empty."""
        return str(self.handler.trouble)

    @property
    def server(self) -> str | None:
        """`IP:port` of the server in use."""
        return self.handler.peer() if self._accepting else None

    @property
    def granted_s(self) -> float | None:
        """The session timeout that the server granted, None before the first connection."""
        return self._connection.granted_s

    def ask(self, request: Any, then: Callable[[Answer], None] | None = None) -> Answer:
        """Queue one request of kazoo's; `refused` is set if there is no connection to send it on."""
        answer = Answer(self.waiter_now(), then)
        self.send(request, answer)
        return answer

    def send(self, request: Any, answer: Answer) -> None:
        """As ask, for an answer that somebody waits for already."""
        self._call(request, answer)

    def hearing_since(self) -> Instant:
        """Since when the ensemble's leader has answered us without a break; inf if it does not now."""
        since, last = self._heard
        return since if self.waiter_now() - last <= self._gap_s else math.inf

    # --- by the owner's thread

    def silent_s(self, now: Instant) -> float:
        """Age of the oldest request that has no answer yet, 0 if there is none."""
        with self._order:
            oldest = self._oldest()
        return now - oldest.sent if oldest else 0.0

    def unheard_s(self, now: Instant) -> float:
        """Seconds since the ensemble's leader last answered us."""
        return now - self._heard[1]

    def ping(self) -> None:
        """Ask for something that only the ensemble's leader can answer, unless that is asked already.

        A follower cut off from its leader answers reads and kazoo's pings for up to syncLimit ticks (source); `sync`
        it has to pass on.
        """
        if self._pinged is None or self._pinged.done():
            self._pinged = self.ask(Sync("/"), self.note_heard)

    def handshake_overdue(self) -> bool:
        """Whether TCP is there, but no session: a frozen server accepts connections and never speaks."""
        return not self._accepting and self.handler.opened_for_s() > CONNECT_S

    def cut(self) -> None:
        """End this TCP connection; kazoo goes to the next server, and every request in flight is lost."""
        self.handler.cut()

    def dismiss(self, within_s: float) -> None:
        """End the session and the thread, politely for `within_s`, then by cutting."""
        # stop() waits for the answer of a server that may be frozen, so it gets a thread and a deadline.
        stopping = threading.Thread(target=self.stop, name="zookeeper-stop", daemon=True)
        stopping.start()
        stopping.join(within_s)
        while stopping.is_alive():
            self.cut()
            stopping.join(CONNECT_S)
        self.close()

    # --- by the connection thread

    def note_heard(self, answer: Answer) -> None:
        """Take an answer that needed the ensemble's leader as a sign of life."""
        since, last = self._heard
        if answer.error is None and self._accepting:
            now = self.waiter_now()
            self._heard = (since if now - last <= self._gap_s else now, now)

    def _oldest(self) -> Answer | None:
        while self._unanswered and self._unanswered[0].done():
            self._unanswered.popleft()
        return self._unanswered[0] if self._unanswered else None

    def _call(self, request: Any, answer: Any) -> Any:
        # Since 2.7 kazoo queues while SUSPENDED and sends after reconnection, 2.24 s later in one test (measured).
        # Under this lock a request is either queued on a live connection, whose end drains the queue, or refused.
        with self._order:
            if not self._accepting:
                answer.refuse()
                return False
            self._oldest()
            self._unanswered.append(answer)
            return super()._call(request, answer)

    def _session_callback(self, state: Any) -> None:
        connected = state == KeeperState.CONNECTED
        was = self._accepting
        if not connected:
            # Before kazoo drains its queues, and without the lock over the callbacks of that.
            with self._order:
                self._accepting = False
            self._heard = (math.inf, -math.inf)
        super()._session_callback(state)
        if connected and not was:
            now = self.waiter_now()
            self._heard = (now, now)
            with self._order:
                self._accepting = True
        if state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED):
            self._ended = True
        if connected != was:
            self._on_change(self, connected)
