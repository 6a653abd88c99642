"""A file system of its own, in memory and soon full, under a folder of one database host; nobody else sees it.

The mount is in a mount namespace that a waiting process keeps; agent and mysqld of the host run in it. It ends with
that process, and what was written comes back to the folder before.
"""

from __future__ import annotations

import errno
import shutil
import signal
from pathlib import Path

from lab import faults, processes
from lab.processes import Process
from lab.stand import KEMBAR, Stand, wait_for
from lab.topology import Node
from orchestrator.core.errors import StepFailed

SPARE_MIB = 64
BALLAST = "ballast"
BLOCK = bytes(1 << 20)
READY_S = 60.0
# $1 the folder, $2 where it stays reachable, $3 the size, $4 the file that says that all is there.
KEEP = """
mount --make-rprivate / && mount --bind "$1" "$2" && mount -t tmpfs -o "size=$3m,mode=700" tmpfs "$1" &&
cp -a "$2/." "$1/" && touch "$4" && exec sleep infinity
"""


class SmallDisk:
    """Put under `folder` of a host whose agent and mysqld are started anew in it, and taken away again."""

    def __init__(self, stand: Stand, node: Node, folder: Path) -> None:
        self._stand, self._node, self._folder = stand, node, folder
        self._name = f"disk-of-{node.name}"
        self._keeper: Process | None = None

    def put(self) -> None:
        """Raises StepFailed."""
        place = self._stand.files.root / "disk"
        place.mkdir()
        ready = self._stand.files.root / "disk-ready"
        faults.end_database(self._stand, self._node)
        size_mib = SPARE_MIB + sum(one.stat().st_blocks for one in self._folder.rglob("*")) * 512 // len(BLOCK)
        argv = ["unshare", "--mount", "sh", "-c", KEEP, "sh"]
        argv += [str(self._folder), str(place), str(size_mib), str(ready)]
        self._stand.spawn(self._name, self._node, argv)
        self._keeper = processes.recorded(self._stand.files.root)[self._name]
        wait_for(ready.exists, READY_S, f"no disk for {self._node.name}: see {self._stand.files.log(self._name)}")
        ready.unlink()
        inside = ["nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", "--"]
        agent = [*inside, *KEMBAR, "agent", "-c", str(self._stand.files.agent_config(self._node))]
        self._stand.spawn(f"agent-{self._node.name}", self._node, agent)

    def fill(self) -> None:
        """Until not a byte is left."""
        with (self._inside() / BALLAST).open("wb", buffering=0) as file:
            for block in (BLOCK, BLOCK[:512]):
                try:
                    while True:
                        file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def relieve(self) -> None:
        """Everything that `fill` took is free again."""
        (self._inside() / BALLAST).unlink(missing_ok=True)

    def take_away(self) -> None:
        """The host as before, with what it wrote meanwhile. Raises StepFailed."""
        if self._keeper is None:
            return
        self.relieve()
        faults.end_database(self._stand, self._node)
        # The folder itself stays: a mount in another namespace is on it.
        for old in self._folder.iterdir():
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        shutil.copytree(self._inside(), self._folder, symlinks=True, dirs_exist_ok=True)
        keeper, self._keeper = self._keeper, None
        processes.send(keeper, signal.SIGKILL)
        wait_for(lambda: not keeper.lives(), faults.ENDED_S, f"{self._name} does not end")
        (self._stand.files.root / "disk").rmdir()
        faults.boot(self._stand, self._node)

    def _inside(self) -> Path:
        """The folder as the host sees it."""
        if self._keeper is None:
            raise StepFailed(f"{self._node.name} has no disk of its own")
        return Path(f"/proc/{self._keeper.pid}/root{self._folder}")
