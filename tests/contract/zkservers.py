"""Real ZooKeeper servers on loopback, and a link to one of them that can fail. For the contract tests.

Each server has its own 127.x.y.z, so that ports never collide.
"""

from __future__ import annotations

import secrets
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lab.certificates import Authority
from lab.zookeeper import CLIENT_PORT, SECURE_PORT, Ensemble, command, find_zookeeper, four_letters, mode, prepare
from orchestrator.coordination.tls import Tls
from orchestrator.core.errors import CoordinatorUnavailable

START_S = 120.0


def eventually(fact: Callable[[], bool], within_s: float = 30.0) -> float:
    """Seconds until `fact` holds. Raises AssertionError after `within_s`."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(0.002)
    return time.monotonic() - began


class Servers:
    """An ensemble of three real servers; with an authority they speak TLS only."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        net = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}"
        ensemble = Ensemble(
            {number: f"{net}.{number}" for number in (1, 2, 3)},
            tls=authority.folder if authority else None,
            synced=False,  # nobody loses power here, and a disk that is slow for a moment would cut every client
        )
        self._port, self._context = CLIENT_PORT, None
        if authority is not None:
            self._port, self._context = SECURE_PORT, _certified(authority, ensemble)
        self._folder, self._ensemble = folder, ensemble
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start()

    def _start(self) -> None:
        program = find_zookeeper()
        for number, address in self._ensemble.servers.items():
            config = prepare(self._ensemble, number, self._folder / str(number))
            with (self._folder / f"{number}.log").open("ab") as log:
                self._processes[address] = subprocess.Popen(command(program, config), stdout=log, stderr=log)
        eventually(lambda: all(map(self.mode, self._processes)), START_S)

    def lose_data(self) -> None:
        """All of them, with everything that they ever stored; then they start again."""
        self.close()
        for stored in self._folder.rglob("version-2"):
            shutil.rmtree(stored)
        self._start()

    @property
    def hosts(self) -> list[str]:
        return [f"{address}:{self._port}" for address in self._processes]

    def followers(self) -> list[str]:
        """Both, as soon as all three serve: one that was frozen may have been left by its leader."""
        found: list[str] = []

        def whole() -> bool:
            modes = {address: self.mode(address) for address in self._processes}
            found[:] = [f"{address}:{self._port}" for address, what in modes.items() if what == "follower"]
            return sorted(map(str, modes.values())) == ["follower", "follower", "leader"]

        eventually(whole, START_S)
        return found

    def mode(self, address: str) -> str | None:
        with suppress(CoordinatorUnavailable):
            return mode(four_letters(address, "srvr", port=self._port, context=self._context))
        return None

    def freeze(self, host: str) -> None:
        self._processes[host.rpartition(":")[0]].send_signal(signal.SIGSTOP)

    def thaw(self, host: str) -> None:
        self._processes[host.rpartition(":")[0]].send_signal(signal.SIGCONT)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)


def _certified(authority: Authority, ensemble: Ensemble) -> ssl.SSLContext:
    """Each server gets its certificate; how to ask them for their mode."""
    for number, address in ensemble.servers.items():
        # On loopback the servers see each other come from the first address of all.
        authority.issue(f"zookeeper-{number}", addresses=(address, "127.0.0.1"))
        authority.join(f"zookeeper-{number}")
    authority.issue("onlooker")
    files = [str(authority.folder / name) for name in ("authority.pem", "onlooker.pem", "onlooker.key")]
    return Tls(*files).context()


class Link:
    """A TCP relay to one server. Deaf: what the server says is swallowed. Held: what
    the client says waits. Down: no connection is kept or made."""

    def __init__(self, host: str) -> None:
        address, _, port = host.rpartition(":")
        self._target = (address, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []  # client's side, server's side
        self._deaf = self._held = self._down = self._ending = False
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def deaf(self) -> None:
        self._deaf = True

    def hold(self) -> None:
        self._held = True

    def down(self) -> None:
        with self._lock:
            self._down = True
            self._drop()

    def up(self) -> None:
        self._deaf = self._held = self._down = False

    def say(self, frame: bytes) -> None:
        """Put words into the server's mouth."""
        with self._lock:
            for client, _ in self._pairs:
                client.sendall(frame)

    def close(self) -> None:
        self._ending = True
        self._thread.join()
        with self._lock:
            self._drop()
        self._listener.close()

    def _drop(self) -> None:
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs.clear()

    def _relay(self) -> None:
        while not self._ending:
            with self._lock:
                ends = {end: other for pair in self._pairs for end, other in (pair, pair[::-1])}
                clients = {pair[0] for pair in self._pairs}
            with suppress(OSError, ValueError):  # closed by down() meanwhile
                heard = [end for end in ends if not (self._held and end in clients)]
                for ready in select.select([self._listener, *heard], [], [], 0.01)[0]:
                    if self._held and ready in clients:
                        continue
                    if ready is self._listener:
                        self._accept()
                    else:
                        self._pass(ready, ends[ready], ready in clients)

    def _accept(self) -> None:
        client = self._listener.accept()[0]
        with self._lock:
            if self._down:
                client.close()
                return
            self._pairs.append((client, socket.create_connection(self._target, 5)))

    def _pass(self, ready: socket.socket, other: socket.socket, from_client: bool) -> None:
        data = b""
        with suppress(OSError):
            data = ready.recv(65536)
        with self._lock:
            if data and (from_client or not self._deaf):
                other.sendall(data)
            elif not data:
                gone = [pair for pair in self._pairs if ready in pair]
                self._pairs = [pair for pair in self._pairs if ready not in pair]
                for end in (end for pair in gone for end in pair):
                    end.close()
