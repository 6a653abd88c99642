"""`python -m lab.evidence FOLDER`: docs/evidence.md from the results of benches and long runs, nothing typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.provenance import commit, machine

AS_THEY_ARE = ("overhead", "page")
HEAD = (
    "| bench | profile | runs | write outage p50 | p95 | p99 | max | acknowledged | lost | duplicates | two answerers |"
)
# What a long run adds up to, by the first word of its file's name.
TOTALS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "sim": lambda one: str(one["line"]),
    "mutants": lambda one: f"found {one['found']} of {one['planted']}",
    "faults": lambda one: (
        f"passed {one['passed']}, failed {one['failed']}, not run {one['not_run']}; "
        f"acknowledged {one['acknowledged']}, lost {one['lost']}, duplicates {one['duplicates']}, "
        f"two answerers {one['two_answerers']}"
    ),
    "soak": lambda one: (
        f"{one['minutes']:g} minutes, profile {one['profile']}: failovers {one['failovers']}, acknowledged "
        f"{one['acknowledged']}, lost {one['lost']}, two answerers {one['two_answerers']}, longest gap "
        f"{one['write_gap_max_ms']} ms; {_growth(one)}"
    ),
}
RETURN_HEAD = (
    "| bench | alone | database MB | runs | seconds p50 | max | stages of the median | merged | quarantined | "
    "unaccounted | checksums equal | GTID sets equal |"
)
PAIRS_HEAD = (
    "| run | date | commit | profile | pairs | deaths | reaction p50 | p99 | cpu % a pair | RSS MB a pair "
    "| ZooKeeper writes/s | its write p50 | leaders | wrong | unasked |"
)
PLAYBOOKS_HEAD = (
    "| step | seconds | tasks that changed | write outage | acknowledged | lost | duplicates | two answerers |"
)
STEP = ("took_s", "changed", "outage_ms", "acknowledged", "lost", "duplicates", "two_answerers")
PHASES = ("detect", "fence", "drain", "promote", "vip", "verify")


def main(arguments: list[str]) -> int:
    """Read every NAME.json of the folder; write the page."""
    folder = Path(arguments[0])
    try:
        results = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
    except ValueError as error:
        sys.stderr.write(f"{error}: this run has left no result, run it again\n")
        return 1
    if not results:
        sys.stderr.write(f"{folder}: no results; run make bench first\n")
        return 1
    Path("docs/evidence.md").write_text("\n".join(page(results, machine(), commit())) + "\n")
    return 0


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def page(results: Mapping[str, Any], host: str, revision: str) -> Iterable[str]:
    """The lines of the page."""
    faults = {name: one for name, one in results.items() if "write_outage_ms" in one}
    version = next((one["mysql_version"] for one in results.values() if "mysql_version" in one), "unknown")
    yield "# Evidence"
    yield ""
    yield f"Written by `make evidence` on {datetime.now(UTC):%Y-%m-%d}, commit {revision}."
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
    yield from _returns({name: one for name, one in results.items() if name.startswith("rejoin-")})
    yield from _runs({name: one for name, one in results.items() if name.partition("-")[0] in TOTALS})
    yield from _pairs({name: one for name, one in results.items() if name.partition("-")[0] == "pairs"})
    if "provision" in results:
        yield from _playbooks(results["provision"])
    for name in AS_THEY_ARE:
        if name in results:
            yield ""
            yield f"## {name.capitalize()}"
            yield ""
            yield "```json"
            yield json.dumps(results[name], indent=1)
            yield "```"


def _returns(results: Mapping[str, Any]) -> Iterable[str]:
    """A row for each kind of return that was measured."""
    if not results:
        return
    yield ""
    yield "## Returns of an old primary"
    yield ""
    yield "From the moment its mysqld is started until it may take over again, in seconds; stages overlap."
    yield "Alone: transactions that only it had. Unaccounted: told to a client, and neither merged nor kept."
    yield ""
    yield RETURN_HEAD
    yield "|" + "---|" * (RETURN_HEAD.count("|") - 1)
    for name, one in results.items():
        size = [one["transactions"], one["database_mb"], one["runs"], one["seconds"]["p50"], one["seconds"]["max"]]
        stages = ", ".join(f"{stage} {seconds}" for stage, seconds in one["phases"].items())
        counts = [one["merged"], one["quarantined"], one["unaccounted"]]
        equal = ["yes" if one[key] else "NO" for key in ("checksums_equal", "gtid_sets_equal")]
        yield f"| {name} | " + " | ".join(map(str, [*size, stages, *counts, *equal])) + " |"


def _runs(results: Mapping[str, Any]) -> Iterable[str]:
    """A row for each long run that has left a result."""
    if not results:
        return
    yield ""
    yield "## Long runs"
    yield ""
    yield "| run | date | commit | machine | totals |"
    yield "|---|---|---|---|---|"
    for name, one in results.items():
        where = [str(one.get(key, "unknown")) for key in ("date", "commit", "machine")]
        yield f"| {name} | " + " | ".join([*where, TOTALS[name.partition("-")[0]](one)]) + " |"


def _pairs(results: Mapping[str, Any]) -> Iterable[str]:
    """A row for each number of pairs that was measured, the fewest first."""
    if not results:
        return
    yield ""
    yield "## Many pairs"
    yield ""
    yield "Real ZooKeeper and orchestrators, simulated agents, all on the machine above. Reaction: from the exit of a"
    yield "primary's mysqld to the decision. Costs are those of the busiest orchestrator, in percent of one core,"
    yield "while nothing happens. Wrong: another decision than it should be. Unasked: one though nobody had died."
    yield ""
    yield PAIRS_HEAD
    yield "|" + "---|" * (PAIRS_HEAD.count("|") - 1)
    for name, one in sorted(results.items(), key=lambda item: (item[1]["profile"], item[1]["pairs"])):
        where = [one[key] for key in ("date", "commit", "profile", "pairs", "runs")]
        costs = [one[key] for key in ("cpu_percent_per_pair", "rss_mb_per_pair", "zookeeper_writes_per_s")]
        leaders = ", ".join(f"{owner} {count}" for owner, count in sorted(one["leaders"].items()))
        rest = [one["zookeeper_write_ms"]["p50"], leaders, one["wrong"], one["unasked"]]
        figures = [*where, one["reaction_ms"]["p50"], one["reaction_ms"]["p99"], *costs, *rest]
        yield f"| {name} | " + " | ".join(map(str, figures)) + " |"


def _playbooks(one: Mapping[str, Any]) -> Iterable[str]:
    """A row for each playbook, and one for each client that wrote meanwhile, in their order."""
    yield ""
    yield "## Playbooks on booted hosts"
    yield ""
    yield f"`make test-provision` on {one['date']}, commit {one['commit']}: three booted Debian hosts, over ssh."
    yield ""
    yield PLAYBOOKS_HEAD
    yield "|" + "---|" * (PLAYBOOKS_HEAD.count("|") - 1)
    for step in one["steps"]:
        yield f"| {step['what']} | " + " | ".join(str(step.get(key, "")) for key in STEP) + " |"


def _growth(one: Mapping[str, Any]) -> str:
    memory = {name: process["rss_mb"] for name, process in one["processes"].items()}
    margins = [node["smallest_ms"] for node in one["lease_margins"].values() if node["renewals"]]
    grown = ", ".join(f"{name} {rss['growth']:+} MB of {rss['first']}" for name, rss in memory.items())
    return f"memory: {grown}; smallest margin of the lease {min(margins, default='unknown')} ms"


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
