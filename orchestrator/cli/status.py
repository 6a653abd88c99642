"""`kembar status`: one screen of one pair, from an orchestrator, or straight from ZooKeeper if none answers."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed, leave, printable
from orchestrator.cli.options import Session, age, client_command, columns, yes_no

COLOURS = {
    "healthy": "green",
    "degraded": "yellow",
    "failing_over": "cyan",
    "no_primary": "red",
    "split_suspected": "red",
}
HEAD = ["NODE", "ROLE", "MYSQL", "RECEIVER", "HEARD", "WRITABLE", "MISSING/ERRANT", "VIP", "GATE", "PROMOTABLE", "SEEN"]
WIDE = ["LEASE", "BACKLOG", "LOAD", "MEMORY", "DISK", "CONNECTIONS", "UPTIME"]


@click.command()
@client_command
@click.option(
    "--watch", is_flag=False, flag_value=2.0, type=click.FloatRange(0.1), metavar="S", help="Again and again."
)
@click.option("--exit-code", is_flag=True, help="3 if the pair is degraded.")
def status(session: Session, watch: float | None, exit_code: bool) -> None:
    """Can clients write, where, and what if that node fails now?"""
    if watch is None:
        shown = read_view(session)
        _show(session, shown)
        leave(code_of(shown, strict=exit_code))
    try:
        while True:
            _look(session)
            time.sleep(watch)
    except KeyboardInterrupt:
        leave(Exit.DONE)


def _look(session: Session) -> None:
    """One of many: while nobody answers it says so, and goes on."""
    try:
        shown = read_view(session)
    except Failed as failed:
        if failed.exit_code != Exit.UNREACHABLE:
            raise
        if session.prose:
            click.clear()
        click.echo(printable(f"UNKNOWN  {failed.format_message()}"), err=True)
        return
    if session.prose:
        click.clear()
    _show(session, shown)


def _show(session: Session, shown: dict[str, Any]) -> None:
    session.say(*screen(shown, wide=session.wide), style=partial(_coloured, shown))
    session.give(shown, table(shown, wide=True))


def read_view(session: Session) -> dict[str, Any]:
    """The view from the API; from ZooKeeper if nobody answers and client.yaml names its servers."""
    settings = session.api.settings
    try:
        found: dict[str, Any] = session.api.freshest(path_of(session.cluster)).body
    except Failed as failed:
        if failed.exit_code != Exit.UNREACHABLE or not settings.zookeeper:
            raise
        click.echo(f"{failed.format_message()}\nread from ZooKeeper instead: no orchestrator was asked", err=True)
        # Loads kazoo, which the usual way does not need.
        from orchestrator.cli.direct import read_view_directly

        named = session.named or settings.cluster
        return read_view_directly(settings.zookeeper, named, settings.vip, settings.zookeeper_files)
    return found


def code_of(shown: dict[str, Any], *, strict: bool) -> Exit:
    """The exit code of a view."""
    if shown["data"]["stale"]:
        return Exit.UNREACHABLE
    if shown["writes"] == "no" or shown["vip"]["disputed"] or shown["state"] == "split_suspected":
        return Exit.NO_PRIMARY
    return Exit.DEGRADED if strict and shown["state"] != "healthy" else Exit.DONE


def screen(shown: dict[str, Any], *, wide: bool = False) -> list[str]:
    """The view as lines of text; `wide` with the server of each node."""
    stale = f"   stale {age(shown['data']['age_s'])}" if shown["data"]["stale"] else ""
    epoch = "-" if shown["epoch"] is None else shown["epoch"]
    first = [
        f"{shown['cluster']}  {_state(shown)}  {shown['verdict']}{stale}",
        f"mode {shown['mode'] or '-'}   auto-failover {shown['auto_failover'].upper()}   "
        f"phase {shown['phase'] or '-'}   epoch {epoch}   VIP {vip_text(shown['vip'])}   {shown['at']}",
    ]
    zookeeper = "connected" if shown["zookeeper"]["connected"] else "not connected"
    who = shown["orchestrator"]
    last = [
        ["zk", f"{zookeeper}   orchestrator {who['leader'] or 'nobody'} leads, {who['instance']} answers"],
        ["risk", shown["risk"]["text"]],
        ["ready", shown["readiness"]["text"]],
        ["last", shown["last_incident"]["text"] if shown["last_incident"] else "nothing yet"],
        *verified_rows(shown["verification"]),
        *([one["kind"], f"{one['text']} is {one['state']}, asked by {one['actor']}"] for one in shown["operations"]),
        *(["pause", f"by {p['actor']}: {p['reason']}, left {age(p['left_s'])}"] for p in [shown["pause"]] if p),
        *(["record", f"{one['path']} cannot be read: {one['why']}"] for one in shown["unreadable"]),
        *(["open", _with_command(one)] for one in shown["returns"]["waits"]),
        *(["open", f"{n['name']}: {text}"] for n in shown["nodes"] for text in (*n["refusals"], *n["troubles"])),
    ]
    if shown["next"]["text"]:
        last.append(["next", _with_command(shown["next"])])
    if runbook := shown["next"].get("runbook", ""):
        last.append(["how", f"kembar runbook {runbook.rpartition('/')[2]}"])
    return [*first, *columns(table(shown, wide=wide)), *columns(last)]


def table(shown: dict[str, Any], *, wide: bool) -> list[list[str]]:
    """The nodes, with a head."""
    rows = [_row(node) + (_server(node) if wide else []) for node in shown["nodes"]]
    return [[*HEAD, *(WIDE if wide else [])], *rows]


def _state(shown: dict[str, Any]) -> str:
    return str(shown["state"]).replace("_", " ").upper()


def _coloured(shown: dict[str, Any], text: str) -> str:
    """With the state, which comes first, in its colour."""
    state = _state(shown)
    return text.replace(state, click.style(state, fg=COLOURS.get(shown["state"]), bold=True), 1)


def verified_rows(shown: dict[str, Any]) -> list[list[str]]:
    """What was compared last, how far one is that goes on, and what differs."""
    last, running = shown["last"], shown["running"]
    rows = []
    if last:
        rows.append(["verified", f"{last['ended']} by {last['actor']}: {last['text']}"])
    if running:
        rows.append(["verify", f"{running['percent']:.1f} % {running['doing']}, asked by {running['actor']}"])
    return [*rows, *(["differs", one["text"]] for one in shown["differing"])]


def _with_command(step: dict[str, str]) -> str:
    return step["text"] + (f"  ->  {step['command']}" if step["command"] else "")


def vip_text(vip: dict[str, Any]) -> str:
    """The address and who holds it."""
    if vip["disputed"]:
        return f"{vip['address']} DISPUTED by {', '.join(vip['agents'])}"
    return f"{vip['address']} on {vip['holder'] or 'no node'}"


def _row(node: dict[str, Any]) -> list[str]:
    missing, errant = ("-" if n is None else str(n) for n in (node["missing"], node["errant"]))
    because = f": {node['not_promotable_because']}" if node["not_promotable_because"] else ""
    seen = age(node["seen_s"])
    return [
        node["name"],
        node["role"],
        node["mysql_version"] or node["mysqld"] or "-",
        node["receiver"] or "-",
        age(node["received_age_s"]),
        yes_no(node["writable"]),
        f"{missing} / {errant}",
        yes_no(node["has_address"]),
        yes_no(node["gate_open"], "open", "shut"),
        yes_no(node["promotable"]) + because,
        f"stale {seen}" if node["stale"] else seen,
    ]


def _server(node: dict[str, Any]) -> list[str]:
    host, backlog = node["host"], node["backlog"]
    return [
        node["lease"],
        "-" if backlog is None else str(backlog),
        f"{host['load_1m']:.2f}",
        f"{host['memory_used_percent']:.0f} %",
        f"{host['disk_used_percent']:.0f} %",
        str(host["connections"]),
        age(host["uptime_s"]),
    ]
