"""Load, memory and disk of this host, for the page. Never part of a decision."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from agents.replication import ServerFacts
from orchestrator.core.model import HostFacts


def host_facts(datadir: Path, server: ServerFacts | None) -> HostFacts:
    """What the page shows; `server` None while mysqld does not answer. 0.1 ms (measured): call it every few seconds."""
    return HostFacts(
        load_1m=psutil.getloadavg()[0],
        memory_used_percent=psutil.virtual_memory().percent,
        disk_used_percent=psutil.disk_usage(str(datadir)).percent,
        uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME),
        mysql_version=server.version if server else "",
        connections=server.connections if server else 0,
        commits=server.commits if server else 0,
    )
