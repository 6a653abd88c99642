"""Where a figure comes from: when, from which commit, on which machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime


def provenance() -> dict[str, str]:
    """Keys `date`, `commit`, `machine`, for the head of a result."""
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "machine": machine()}


def machine() -> str:
    """Cores, memory, kernel and Python in words."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores, {memory_gb:.0f} GB, Linux {kernel}, Python {platform.python_version()}"


def commit() -> str:
    """The short name of the commit of this work tree."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
