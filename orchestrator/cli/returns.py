"""Returns as text: the list, one return with both versions of its kept rows side by side, and what may be decided."""

from __future__ import annotations

from typing import Any

from orchestrator.cli.options import columns

HEAD = ["ID", "NODE", "EPOCH", "RUNG", "STAGE", "MERGE", "TRANSACTIONS", "VERDICTS", "OPEN"]
ABSENT, NULL = "-", "NULL"


def listing(found: dict[str, Any]) -> list[str]:
    """One line a return, and what is to be done."""
    rows = [
        [
            str(one["id"]), one["node"], str(one["epoch"]), one["rung"], one["stage"], one["merge"],
            str(one["transactions"]), _verdicts(one), str(one["undecided"]),
        ]
        for one in found["returns"]
    ]  # fmt: skip
    if not rows:
        return ["nothing has returned yet"]
    following = [f"next  {one['next']}" for one in found["returns"] if one["next"]]
    return [*columns([HEAD, *rows]), *following]


def screen(found: dict[str, Any], *, whole: bool) -> list[str]:
    """One return: what, why, by which way, how long, what is open."""
    at = next((one["at"][11:19] for one in found["stages"]), "")
    took = ", ".join(f"{one['stage']} {one['took_s']:.1f} s" for one in found["stages"] if one["took_s"] is not None)
    counts = [f"{found['transactions']} on {found['node']} only", _verdicts(found), f"{found['undecided']} undecided"]
    rows = [
        ["why errant", found["why_errant"]],
        ["transactions", "   ".join(one for one in counts if one)],
        ["numbers", found["errant"] or "none"],
        *([f"not {reason.partition(': ')[0]}", reason.partition(": ")[2]] for reason in found["reasons"]),
        *([["stopped", found["stopped"]]] if found["stopped"] else []),
        *([["waits", found["waits"]]] if found["waits"] else []),
        *([["stages", took]] if took else []),
        ["evidence", found["sums"] or "none yet"],
    ]
    opened = f"   opened {at}" if at else ""
    head = f"RECONCILE {found['id']}   {found['node']}{opened}   rung {found['rung']}   stage {found['stage']}"
    lines = [f"{head}   merge {found['merge']}   epoch {found['epoch']}", *columns(rows)]
    for one in found["kept"]:
        lines += ["", *differences(one, found["node"], whole=whole)]
    if found["settled"]:
        decided = [
            [one["at"][:19].replace("T", " "), one["gtid"], one["choice"], one["ended"], one["actor"], one["reason"]]
            for one in found["settled"]
        ]
        lines += ["", *columns([["WHEN (UTC)", "TRANSACTION", "CHOICE", "OUTCOME", "BY", "REASON"], *decided])]
    if found["next"]:
        lines += ["", f"next  {found['next']}"]
    return lines


def differences(kept: dict[str, Any], node: str, *, whole: bool) -> list[str]:
    """One kept transaction: each row as it was, as the returned node left it, as the primary has it."""
    lines = [f"{kept['gtid']}   {kept['why']}" + (f"   {kept['detail']}" if kept["detail"] else "")]
    lines += [f"  after {', '.join(kept['after'])}: decide that first"] if kept["after"] else []
    lines += [f"  cannot be applied: {kept['bar']}"] if kept["bar"] else []
    for row in kept["rows"]:
        conflict = f"   {row['conflict']}" if row["conflict"] else ""
        lines.append(f"  row {row['number']}   {row['table']}   {row['key']}   {row['operation']}{conflict}")
        head = ["column", "base", node, "primary"]
        lines += columns([head, *_versions(row, whole=whole)], "    ")
    hidden = kept["row_count"] - len(kept["rows"])
    return [*lines, *([f"  and {hidden} rows more"] if hidden > 0 else [])]


def planned(found: dict[str, Any]) -> list[str]:
    """What a decision would meet now."""
    lines = screen({**found, "kept": [], "next": ""}, whole=False)
    for one in found["kept"]:
        lines += ["", f"{one['gtid']}   {one['why']}"]
        for choice, checks in one["checks"].items():
            failed = [f"{check['name']}: {check['detail']}" for check in checks["checks"] if not check["passed"]]
            lines.append(f"  {choice:<8} {'; '.join(failed) if failed else 'possible'}")
    return [*lines, *(["", f"next  {found['next']}"] if found["next"] else [])]


def _versions(row: dict[str, Any], *, whole: bool) -> list[list[str]]:
    """A line a column; unless all are wanted, only of those in which the versions differ."""
    versions = [row["base"], row["left"], row["present"]]
    names = dict.fromkeys(name for version in versions if version is not None for name in version)
    shown = [[name, *(_value(version, name) for version in versions)] for name in names]
    return [line for line in shown if whole or len(set(line[1:])) > 1] or shown


def _value(version: dict[str, str | None] | None, name: str) -> str:
    if version is None or name not in version:
        return ABSENT
    value = version[name]
    return NULL if value is None else value if value.isprintable() and value else repr(value)


def _verdicts(found: dict[str, Any]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(found["verdicts"].items()))
