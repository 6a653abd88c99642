"""What the two agents of a pair ask of each other: HTTPS on which each proves who it is. Owns no file and no server.

Both sides must show a certificate of the cluster's own authority; whoever does not is refused before anything is read.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from orchestrator.core.errors import KembarError, StepFailed, Unavailable

BLOCK_BYTES = 1 << 20
ANSWER_S = 15.0
BODY_MAX_BYTES = 1 << 20
KEPT_FREE_BYTES = 1 << 30  # or a twentieth of the disk, if that is less
REASON_MAX_BYTES = 1 << 10
SHUTDOWN_S = 0.5

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Files in PEM: the authority that both agents trust, and what proves this one."""

    authority: Path
    certificate: Path
    key: Path

    def context(self, *, server: bool) -> ssl.SSLContext:
        """Mutual, TLS 1.3. Raises OSError (ssl.SSLError among them) for files that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context


class PeerServer:
    """Serves until told to stop. `run` blocks: the composition root gives it a thread.

    `file` gives the path of a file that may be read, None if there is none of that name; `answers` by name take and
    give plain JSON and may block.
    """

    def __init__(
        self, address: str, port: int, identity: Identity, file: Callable[[str, str], Path | None],
        answers: Mapping[str, Answer],
    ) -> None:  # fmt: skip
        self._address, self._port, self._identity = address, port, identity
        self._file, self._answers = file, answers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    def stop(self) -> None:
        """End `run`; from any thread."""
        self._ending.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    async def _serve(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/v1/evidence/{folder}/{name}", self._give)
        app.router.add_post("/v1/{question}", self._reply)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            context = self._identity.context(server=True)
            await web.TCPSite(runner, self._address, self._port, ssl_context=context, reuse_address=True).start()
            if not self._ending.is_set():
                await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _give(self, request: web.Request) -> web.StreamResponse:
        found = self._file(request.match_info["folder"], request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return web.FileResponse(found)

    async def _reply(self, request: web.Request) -> web.Response:
        answer = self._answers.get(request.match_info["question"])
        if answer is None:
            raise web.HTTPNotFound
        asked = await request.json()
        try:
            return web.json_response(await asyncio.to_thread(answer, asked))
        except KembarError as error:
            return web.Response(status=http.HTTPStatus.CONFLICT, text=str(error))


class Peer:
    """The other agent, as a client sees it. Used by one thread."""

    def __init__(self, address: str, port: int, identity: Identity) -> None:
        self._address, self._port, self._identity = address, port, identity

    def fetch(self, folder: str, name: str, target: Path) -> None:
        """A file of the other side's evidence, synced by nobody. Raises Unavailable, StepFailed, OSError.

        It never takes the last room of a host that serves: `no_space_for_evidence`, and nothing is left of it.
        """
        with self._asked("GET", f"/v1/evidence/{folder}/{name}") as answer, target.open("wb") as file:
            try:
                _fits(target, answer.length or 0)
                while block := self._read(answer):
                    file.write(block)
            except (KembarError, OSError):
                target.unlink()
                raise

    def ask(self, question: str, what: Mapping[str, Any]) -> dict[str, Any]:
        """Plain JSON, there and back. Raises Unavailable, StepFailed."""
        with self._asked("POST", f"/v1/{question}", json.dumps(what).encode()) as answer:
            whole = b"".join(iter(lambda: self._read(answer), b""))
        try:
            found = json.loads(whole)
        except ValueError as error:
            raise self._unavailable(error) from error
        if not isinstance(found, dict):
            raise StepFailed(f"the agent at {self._address} answers no object to {question}")
        return found

    @contextmanager
    def _asked(self, method: str, path: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        context = self._identity.context(server=False)
        connection = http.client.HTTPSConnection(self._address, self._port, timeout=ANSWER_S, context=context)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            answer = self._answer(connection, method, path, body, headers)
            if answer.status != http.HTTPStatus.OK:
                why = self._read(answer)[:REASON_MAX_BYTES].decode(errors="replace")
                raise StepFailed(f"the agent at {self._address} answers {answer.status} to {method} {path}: {why}")
            yield answer
        finally:
            connection.close()

    def _answer(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:  # fmt: skip
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.read(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"the agent at {self._address}:{self._port}: {error}")


def _fits(target: Path, length_bytes: int) -> None:
    disk = shutil.disk_usage(target.parent)
    left = min(disk.total // 20, KEPT_FREE_BYTES)
    if disk.free - length_bytes < left:
        raise StepFailed(
            f"no_space_for_evidence: {target.name} of {length_bytes >> 20} MiB does not fit into {target.parent}, of "
            f"which {disk.free >> 20} MiB are free and {left >> 20} MiB stay free for mysqld: make room there"
        )
