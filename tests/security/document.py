"""docs/security.md, from what was seen; and what it says, read back by the test that holds it to the files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tests.security.seen import Noticed

HEAD = """# How little each may do
Printed by `make security` from what real servers said; do not edit. `make check` fails if a privilege, a capability or a unit is missing here, or gone.

Each privilege of each of Kembar's MySQL accounts was taken away, one at a time, and each capability of the agent's unit. What then was refused, by whom, and what the pair said of it, stands beside it. A privilege that nobody misses stops the run: it is exercised here, or not granted. The accounts are those of `playbooks/roles/mysql_bootstrap`, the lab's too; {version}, {seconds:.0f} s.
"""  # noqa: E501
AGENT = """
## kembar_agent, on a running pair

Ticks alone find most of it; else a switchover there and back; else agents that have to log in while every connection is taken. What the pair says is what status shows within three seconds of it.
"""  # noqa: E501
REPAIRS = """
## kembar_rejoin, kembar_clone, kembar_repl, on two servers

Merge, a decision about a kept transaction, a rewind, a comparison, a channel, a copy: the step that comes first is named. What mysqld says, the report of the agent carries, and `kembar status` shows. Where a difference is seen as nothing, nobody refuses: a comparison without the privilege is blind to it, and calls two servers equal. `APPLICATION` is each schema of the applications.
"""  # noqa: E501
CAPABILITIES = """
## Capabilities

An agent whose bounding set lacks one, as root but for that. `kembar-orchestrator` and `zookeeper` have none.
"""
EXPOSURE = """
## Exposure of the units

`systemd-analyze security --offline`; `tests/package` holds the first two to a bound.
"""
ZOOKEEPER = """
## ZooKeeper

Create, delete, read and write at each path and below, as `kembar init` puts it in force; only the provisioning identity may change rights. `tests/contract/test_zookeeper_access.py` has each identity try each operation on a real ensemble.
"""  # noqa: E501
_NOISE = (
    (re.compile(r"^\S+Z [A-Z]+ [\w.]+: "), ""),
    (re.compile(r" cluster=\S+ node=\S+( epoch=\d+)?"), ""),
    (re.compile(r"(?<![\w.])/[^\s:']+/([\w.-]+)"), r"\1"),
    (re.compile(r"%s:\d+"), "%s"),
    (re.compile(r"BINLOG '[^:]*"), "BINLOG"),
)


def cell(text: str) -> str:
    """As one cell of a table, without what differs from run to run."""
    for pattern, instead in _NOISE:
        text = pattern.sub(instead, text)
    return " ".join(text.replace("|", "\\|").split())


def refuser(said: str) -> str:
    """Whose words these are: an error of a server has a number, the kernel's has none."""
    if "not permitted" in said:
        return "kernel"
    return "mysqld" if re.search(r"\b\d{4,5}\b", said) else "nobody"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(cell, line))} |\n" for line in lines)


def printed(
    seen: Mapping[tuple[str, str], Noticed],
    dropped: Mapping[str, Noticed],
    exposed: Mapping[str, float],
    rights: Iterable[Sequence[str]],
    *,
    version: str,
    seconds: float,
) -> str:
    """`seen` by account and privilege, `dropped` by capability; `rights`: at the paths of ZooKeeper."""
    agent = {key: one for key, one in seen.items() if key[0] == "kembar_agent"}
    others = {key: one for key, one in seen.items() if key not in agent}
    lacked = dropped.items()
    return "".join(
        (
            HEAD.format(version=version, seconds=seconds),
            AGENT + "\n",
            table(
                ("account", "privilege", "found by", "by whom", "refused", "the pair"),
                ((*key, one.step, refuser(one.said), one.said, one.cluster) for key, one in agent.items()),
            ),
            REPAIRS + "\n",
            table(
                ("account", "privilege", "found by", "by whom", "refused"),
                ((*key, one.step, refuser(one.said), one.said) for key, one in others.items()),
            ),
            CAPABILITIES + "\n",
            table(
                ("unit", "capability", "found by", "by whom", "refused", "the pair"),
                (("kembar-agent", name, one.step, refuser(one.said), one.said, one.cluster) for name, one in lacked),
            ),
            EXPOSURE + "\n",
            table(("unit", "exposure"), ((name, f"{level:.1f}") for name, level in exposed.items())),
            of_zookeeper(rights),
        )
    )


def of_zookeeper(rights: Iterable[Sequence[str]]) -> str:
    """The section of ZooKeeper."""
    return f"{ZOOKEEPER}\n" + "".join(
        f"| {' | '.join(line)} |\n"
        for line in (("path", "orchestrators", "agents", "its own agent", "readers"), ["---"] * 5, *rights)
    )


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of each table whose first column is so called."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if cells and cells[0] == head:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(cells[0]) != {"-"}:
            found.append(cells)
    return found
