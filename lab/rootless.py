"""The lab of an ordinary user: a user namespace in which that user may do what the lab does as root on its own network.

A holder process keeps the namespaces of one lab; every later verb enters them. Network and /run inside are the lab's
own, processes and files are the user's. The page stays on the host's 127.0.0.1, where nothing inside could listen: the
holder opened that socket before it left the host's network, and hands each connection on to the same port inside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from lab import processes
from lab.files import state_home
from lab.processes import Process
from lab.programs import program
from lab.stand import find_programs, listen
from orchestrator.core.errors import Refused

PORT_GIVEN = "KEMBAR_ROOTLESS_PORT"
READY_S = 20.0
BLOCK_BYTES = 1 << 16
NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--mount")
# A directory is part of a mount namespace, so ours is entered by name.
HERE = ("/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh")


def needed() -> bool:
    """Whether this process may not make namespaces as it is."""
    return os.geteuid() != 0


def page_port(wished: int) -> int:
    """The port of the page: inside, the one on which the holder listens for the host."""
    return int(os.environ.get(PORT_GIVEN) or wished)


def again(lab: str, *, create: bool, port: int = 0, keep: bool = True) -> int | None:
    """Run this very command inside the namespaces of the lab; its exit status.

    None if there are none and none shall be made: then there is nothing to enter. They are ended afterwards with
    `keep` False, and when no lab came of it. Raises Refused where the host does not let users have them.
    """
    holder = find(lab)
    if holder is None:
        if not create:
            return None
        find_programs()  # now: inside there is no way to the network
        holder, port = _hold(lab, port)
        os.environ[PORT_GIVEN] = str(port)
    try:
        return subprocess.run(enter_argv(holder, [sys.executable, *_self()]), check=False).returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        if not keep or not (state_home() / lab).exists():
            end(lab)


def find(lab: str) -> Process | None:
    """The living holder of a lab's namespaces."""
    try:
        holder = Process(**json.loads(_record(lab).read_text()))
    except FileNotFoundError:
        return None
    return holder if holder.lives() else None


def end(lab: str) -> None:
    """End the holder: with the last process the namespaces, their mounts and rules are gone."""
    holder = find(lab)
    if holder is not None:
        processes.send(holder, signal.SIGKILL)
    _record(lab).unlink(missing_ok=True)
    with suppress(OSError):
        _record(lab).parent.rmdir()


def enter_argv(holder: Process, argv: Sequence[str]) -> list[str]:
    """The command that becomes `argv` in the holder's namespaces, in our own directory."""
    where = ("--user", "--preserve-credentials", "--net", "--mount", "-t", str(holder.pid))
    return [str(program("nsenter")), *where, "--", *HERE, str(Path.cwd()), *argv]


def _self() -> list[str]:
    """How this command was called."""
    return [str(Path(sys.argv[0]).absolute()), *sys.argv[1:]]


def _record(lab: str) -> Path:
    return state_home().parent / "rootless" / f"{lab}.json"


def _hold(lab: str, port: int) -> tuple[Process, int]:
    """Start the holder of a lab, which is ready when it says so; itself and the port of the page."""
    read_end, write_end = os.pipe()
    with listen(port) as listening, os.fdopen(read_end, "rb") as ready:
        bound = int(listening.getsockname()[1])
        fds = (listening.fileno(), write_end)
        log = _record(lab).with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            child = subprocess.Popen(
                [*NAMESPACES, sys.executable, "-m", "lab.rootless", *map(str, fds)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=fds,
                start_new_session=True,
            )
        os.close(write_end)
        said = ready.read()  # ends when the holder has said so, or has ended
        holder = Process.of(child.pid)
        if said != b"ready" or holder is None:
            child.kill()
            child.wait()
            why = " ".join(log.read_text(errors="replace").split())[-200:]
            log.unlink()
            with suppress(OSError):
                log.parent.rmdir()
            command = " ".join(_self())
            raise Refused(f"no user namespaces for ordinary users here ({why}): run it as root: sudo {command}")
    log.unlink()
    _record(lab).write_text(json.dumps(asdict(holder)))
    return holder, bound


def main(arguments: Sequence[str]) -> int:
    """`python -m lab.rootless LISTENING_FD READY_FD`, in the new namespaces: make them usable, then hand pages on."""
    listening = socket.socket(fileno=int(arguments[0]))
    # Named namespaces are mounts in /run, which belongs to the host's root.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    subprocess.run([str(program("ip")), "link", "set", "lo", "up"], check=True)
    ready = int(arguments[1])
    os.write(ready, b"ready")
    os.close(ready)
    asyncio.run(_hand_on(listening))
    return 0


async def _hand_on(listening: socket.socket) -> None:
    port = int(listening.getsockname()[1])

    async def serve(outside: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        try:
            inside, ask = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            answer.close()
            return
        await asyncio.gather(_copy(outside, ask), _copy(inside, answer))

    server = await asyncio.start_server(serve, sock=listening)
    async with server:
        await server.serve_forever()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await source.read(BLOCK_BYTES):
            target.write(block)
            await target.drain()
    with suppress(OSError):
        target.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
