"""A copy of the primary takes the place of the data directory by two renames. Owns the three directories and the plan.

`DATADIR.clone-ID` is the copy, `DATADIR.before-ID` the old one. The plan is on disk before the first rename, and from
then on the directories themselves tell how far it is: whoever finds them goes on, after a kill at any place.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.binlog.archive import sync, sync_folder, write_synced
from orchestrator.core.errors import Refused, StepFailed

PLAN = "swap.json"
# Of this host and not of its rows, so no copy brings them: what SET PERSIST keeps, and the server's own keys.
STAYS = ("mysqld-auto.cnf", "*.pem")


@dataclass(frozen=True, slots=True)
class SwapState:
    """What a tick needs to know of it."""

    planned: int = 0  # the return whose copy is complete and not yet in its place
    begun: bool = False  # there is no data directory: mysqld cannot be started before it is done


class Swap:
    """The repair thread plans and ends it, the tick thread does it while mysqld is dead."""

    def __init__(self, datadir: Path, folder: Path) -> None:
        """`folder`: of the agent, for the plan. Raises Refused for a plan that cannot be read."""
        self._datadir, self._plan = datadir, folder / PLAN
        try:
            found = json.loads(self._plan.read_bytes())
            self._planned, self._server = int(found["id"]), str(found["server"])
        except FileNotFoundError:
            self._planned, self._server = 0, ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(
                f"{self._plan}: cannot be read: {error!r}. See which of {datadir}, {datadir}.clone-* and "
                f"{datadir}.before-* is there, put the one to be used at {datadir}, and remove the file"
            ) from error

    @property
    def state(self) -> SwapState:
        """For any thread, at any time."""
        planned = self._planned
        waits = planned != 0 and self.copy(planned).exists()
        return SwapState(planned, not self._datadir.exists()) if waits else SwapState()

    @property
    def parent(self) -> Path:
        """Where the copy is made."""
        return self._datadir.parent

    @property
    def bar(self) -> str:
        """Why the data directory cannot be exchanged by a rename, whatever is made beside it; empty if it can."""
        for what, so in (("a mount point", self._datadir.is_mount()), ("a symbolic link", self._datadir.is_symlink())):
            if so:
                return f"{self._datadir} is {what}: move the data into a directory below it, and name that as datadir"
        return ""

    def copy(self, number: int) -> Path:
        return self._beside("clone", number)

    def old(self, number: int) -> Path:
        return self._beside("before", number)

    def planned(self, number: int) -> bool:
        return self._planned == number

    def done(self, number: int) -> bool:
        """Whether the copy of this return is the data directory now."""
        return self._planned == number and not self.copy(number).exists() and self._datadir.exists()

    def replaced(self, server: str) -> bool:
        """Whether a server with this uuid is another one than that of the old directory."""
        return server != self._server

    def clear(self, number: int) -> None:
        """Before a copy is made for this return: no unfinished one is left, nor the plan of another. StepFailed."""
        if self.state.begun:
            raise StepFailed(f"{self._datadir} is not there: what was begun is finished first")
        try:
            for copy in self._copies():
                shutil.rmtree(copy)
            if self._planned:
                self._forget()
        except OSError as error:
            raise StepFailed(f"an unfinished copy beside {self._datadir} cannot be removed: {error}") from error
        if self.old(number).exists():
            raise StepFailed(f"{self.old(number)} is there already and nobody knows why: move it away")

    def plan(self, number: int, server: str) -> None:
        """The copy is complete; `server` is the uuid of the one that runs on the old directory. Raises StepFailed."""
        copy = self.copy(number)
        try:
            for pattern in STAYS:
                for file in self._datadir.glob(pattern):
                    _keep(file, copy / file.name)
            sync_folder(copy)
            sync_folder(copy.parent)
            write_synced(self._plan, json.dumps({"id": number, "server": server}).encode())
        except OSError as error:
            raise StepFailed(f"{copy} cannot take the place of {self._datadir}: {error}") from error
        self._planned, self._server = number, server

    def perform(self) -> None:
        """Both renames, or what is left of them. Only while no mysqld runs on the directory. Raises StepFailed."""
        copy, old = self.copy(self._planned), self.old(self._planned)
        try:
            if self._planned and copy.exists():
                if self._datadir.exists():
                    self._datadir.rename(old)
                    sync_folder(self.parent)
                copy.rename(self._datadir)
                sync_folder(self.parent)
        except OSError as error:
            raise StepFailed(f"{copy} cannot take the place of {self._datadir}: {error}") from error

    def end(self, number: int) -> None:
        """The copy is proven: the old directory is removed, then the plan. Again after a kill. Raises StepFailed."""
        if not self.done(number):
            return
        try:
            if self.old(number).exists():
                shutil.rmtree(self.old(number))
                sync_folder(self.parent)
            self._forget()
        except OSError as error:
            raise StepFailed(f"{self.old(number)} cannot be removed: {error}") from error

    def _forget(self) -> None:
        self._plan.unlink(missing_ok=True)
        sync_folder(self._plan.parent)
        self._planned, self._server = 0, ""

    def _copies(self) -> Iterator[Path]:
        yield from self.parent.glob(f"{self._datadir.name}.clone-*")

    def _beside(self, what: str, number: int) -> Path:
        return self._datadir.with_name(f"{self._datadir.name}.{what}-{number}")


def _keep(source: Path, target: Path) -> None:
    """With its owner and mode: mysqld must be able to read it, and nobody else. Raises OSError."""
    shutil.copy2(source, target)
    owner = source.stat()
    os.chown(target, owner.st_uid, owner.st_gid)
    with target.open("rb") as file:
        sync(file)
