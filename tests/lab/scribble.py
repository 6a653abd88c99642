"""`python -m tests.lab.scribble write|look PATH HOST:PORT...`: standard input into one node, whatever its version.

Prints, in hexadecimal, what stood there before. Run where ZooKeeper is reached.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from lab import zookeeper
from lab.stand import Stand
from orchestrator.connected import connected
from orchestrator.core.ports import SetData

WITHIN_S = 10.0


def scribbled(stand: Stand, path: str, data: bytes | None = None) -> bytes:
    """Write `data` to the node, unless it is None; what stood there before."""
    hosts = [f"{node.address}:{zookeeper.CLIENT_PORT}" for node in stand.topology.members("zookeeper")]
    what = "look" if data is None else "write"
    argv = stand.exec_argv("witness", [sys.executable, "-m", "tests.lab.scribble", what, path, *hosts])
    done = subprocess.run(argv, input=data or b"", capture_output=True, timeout=3 * WITHIN_S, check=True)
    return bytes.fromhex(done.stdout.decode())


def main(arguments: Sequence[str]) -> int:
    what, path, *hosts = arguments
    with connected(hosts, WITHIN_S) as client:
        before = client.read(path, WITHIN_S)
        assert before is not None
        if what == "write":
            client.submit((SetData(path, sys.stdin.buffer.read(), -1),)).result(WITHIN_S)
    sys.stdout.write(before.data.hex())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
