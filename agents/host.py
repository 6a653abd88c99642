"""Load, memory and disk of this host, for the page. Never part of a decision, and never waited for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil

from agents.replication import ServerFacts
from orchestrator.core.model import HostFacts

EVERY_S = 5.0
MIB = 2**20


class HostWatch:
    """Looks every few seconds, in a thread of its own: a file system that hangs holds up no tick."""

    def __init__(self, datadir: Path, interface: str) -> None:
        self._datadir, self._interface = datadir, interface
        self._last = HostFacts()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Until `stop`; a look that hangs for ever is left to the kernel, as no signal ends it."""
        ended = False
        while not ended:
            self._last = look(self._datadir, self._interface, self._last)
            ended = self._stopped.wait(EVERY_S)

    def stop(self) -> None:
        """End `run` after the look that is under way."""
        self._stopped.set()

    def facts(self, server: ServerFacts | None) -> HostFacts:
        """As it was seen last, with what mysqld says; `server` None while it does not answer. Never blocks."""
        if server is None:
            return self._last
        return replace(
            self._last,
            mysql_version=server.version,
            connections=server.connections,
            commits=server.commits,
        )


def look(datadir: Path, interface: str, last: HostFacts) -> HostFacts:
    """This host now. Blocks as long as the file system of `datadir` does; while that fails, its size is as before."""
    load_1m, load_5m, load_15m = psutil.getloadavg()
    memory = psutil.virtual_memory()
    used_percent, total_mib = _disk(datadir) or (last.disk_used_percent, last.disk_total_mib)
    return HostFacts(
        load_1m=round(load_1m, 2),
        load_5m=round(load_5m, 2),
        load_15m=round(load_15m, 2),
        cpus=psutil.cpu_count() or 0,
        memory_used_percent=memory.percent,
        memory_total_mib=memory.total // MIB,
        disk_used_percent=used_percent,
        disk_total_mib=total_mib,
        uptime_s=round(time.clock_gettime(time.CLOCK_BOOTTIME), 1),
        hardware=_hardware(interface),
    )


def _disk(datadir: Path) -> tuple[float, int] | None:
    """None while it cannot be asked: a copy is being put in its place, or the disk fails, which its probe tells."""
    try:
        usage = psutil.disk_usage(str(datadir))
    except OSError:
        return None
    return usage.percent, usage.total // MIB


def _hardware(interface: str) -> str:
    """The address under which this host answers for the VIP; empty if the interface has none."""
    addresses = psutil.net_if_addrs().get(interface, [])
    return next((one.address.lower() for one in addresses if one.family == psutil.AF_LINK), "")
