"""What the units of Kembar's hosts may do, and how exposed systemd finds them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from orchestrator.core.errors import Refused

ROOT = Path(__file__).parents[2]
AGENT = "kembar-agent.service"
UNITS = {
    AGENT: ROOT / "packages/files/kembar-agent/usr/lib/systemd/system" / AGENT,
    "kembar-orchestrator.service": ROOT
    / "packages/files/kembar-orchestrator/usr/lib/systemd/system/kembar-orchestrator.service",
    "zookeeper.service": ROOT / "playbooks/roles/zookeeper/templates/zookeeper.service.j2",
}
_EXPOSURE = re.compile(r"Overall exposure level for \S+: (\d+\.\d+)")


def capabilities(unit: str) -> tuple[str, ...]:
    """Those that are left in its bounding set."""
    (line,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNITS[unit].read_text(), re.M)
    return tuple(line.split())


def exposures() -> dict[str, float]:
    """By `systemd-analyze security`: 0 is a unit that can do nothing, 10 one that can do all. Raises Refused."""
    if shutil.which("systemd-analyze") is None:
        raise Refused("systemd-analyze is not here: apt-get install systemd")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, file in UNITS.items():
            unit = Path(folder, name)
            unit.write_text(re.sub(r"\{\{.*?\}\}", "/x", file.read_text()))
            argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            match = _EXPOSURE.search(done.stdout)
            if match is None:
                raise Refused(f"systemd-analyze says nothing of {name}: {done.stdout}{done.stderr}")
            found[name] = float(match[1])
    return found
