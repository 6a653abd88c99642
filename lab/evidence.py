"""`python -m lab.evidence FOLDER`: docs/evidence.md from the outputs of the benches, nothing typed by hand."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OVERHEAD = "overhead"
HEAD = (
    "| bench | profile | runs | write outage p50 | p95 | p99 | max | acknowledged | lost | duplicates | two answerers |"
)
PHASES = ("detect", "fence", "drain", "promote", "vip", "verify")


def main(arguments: list[str]) -> int:
    """Read every NAME.json of the folder; write the page."""
    folder = Path(arguments[0])
    try:
        results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    except ValueError as error:
        sys.stderr.write(f"{folder}: a bench has left no result ({error}): run make bench again\n")
        return 1
    if not results:
        sys.stderr.write(f"{folder}: no results; run make bench first\n")
        return 1
    Path("docs/evidence.md").write_text("\n".join(page(results, machine(), commit())) + "\n")
    return 0


def page(results: Mapping[str, Any], host: str, revision: str) -> Iterable[str]:
    """The lines of the page."""
    faults = {name: one for name, one in results.items() if name != OVERHEAD}
    version = next((one["mysql_version"] for one in results.values()), "unknown")
    yield "# Evidence"
    yield ""
    yield f"Written by `make evidence` on {datetime.now(UTC):%Y-%m-%d} from `make bench`, commit {revision}."
    yield f"Machine: {host}; MySQL {version}, ZooKeeper on the same machine. All figures are milliseconds."
    yield ""
    yield "The client is in a namespace of its own and commits unique values through the virtual IP; after each run"
    yield "every acknowledged value is looked up there. Write outage: the longest time between two acknowledged writes."
    yield ""
    yield HEAD
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    yield from (_row(name, one) for name, one in faults.items())
    yield ""
    yield "## Where the time goes"
    yield ""
    yield f"| bench | {' | '.join(PHASES)} | server side p50 | ZooKeeper write p50 |"
    yield "|---|" + "---|" * (len(PHASES) + 2)
    yield from (_phases(name, one) for name, one in faults.items() if one["phases_ms"])
    if OVERHEAD in results:
        yield ""
        yield "## Overhead"
        yield ""
        yield "```json"
        yield json.dumps(results[OVERHEAD], indent=1)
        yield "```"


def machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kernel = platform.release().split("-")[0]
    return f"{os.cpu_count()} cores, {memory_gb:.0f} GB, Linux {kernel}, Python {platform.python_version()}"


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _row(name: str, one: Mapping[str, Any]) -> str:
    outage = one["write_outage_ms"]
    figures = [one["profile"], one["runs"], *(outage[key] for key in ("p50", "p95", "p99", "max"))]
    counts = [one[key] for key in ("acknowledged", "lost", "duplicates", "two_answerers")]
    return f"| {name} | " + " | ".join(map(str, [*figures, *counts])) + " |"


def _phases(name: str, one: Mapping[str, Any]) -> str:
    durations = [one["phases_ms"].get(phase, "-") for phase in PHASES]
    rest = [one["server_side_ms"]["p50"], one["zookeeper_write_ms"]["p50"]]
    return f"| {name} | " + " | ".join(map(str, [*durations, *rest])) + " |"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
