"""What one agent shows of its own node when nobody else answers: a plain page, by the standard library. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from agents.standing import LAG_S, OLD_S, Standing, not_primary, not_standby
from orchestrator.core.model import Report

REFRESH_S = 5


def status_page(now: Standing, cluster: str, at: str) -> str:
    """HTML of the node alone; `at`: UTC, for people. Whatever mysqld or a record said is text."""
    why_not = not_primary(now)
    verdict = f"{now.node} serves as primary" if not why_not else f"{now.node} does not serve as primary: {why_not}"
    report = now.report
    old = report is None or now.age_s > OLD_S
    mark = "?" if old else "x" if why_not else "ok"
    rows = "".join(_row(name, value) for name, value in _facts(now))
    troubles = [] if report is None else [*report.refusals, *report.troubles, *filter(None, [report.applier_error])]
    listed = "".join(f"<li>{escape(one)}</li>" for one in troubles)
    return (
        "<!doctype html>"
        f'<html lang="en"><head><meta charset="utf-8"><title>[{mark}] {escape(cluster)}: {escape(verdict)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="refresh" content="{REFRESH_S}"></head><body><main>'
        f'<h1 id="verdict">[{mark}] {escape(verdict)}</h1>'
        f"<p>This is the agent of {escape(now.node)} alone, at {escape(at)}: it knows its own node, and not how "
        f"the other one is. The page of the pair is at every orchestrator of {escape(cluster)}.</p>"
        f"{_stale(now) if old else ''}"
        f'<table id="node-{escape(now.node)}"><caption>{escape(now.node)}</caption><tbody>{rows}</tbody></table>'
        f"{f'<h2>Wrong with it</h2><ul>{listed}</ul>' if listed else ''}"
        f"<h2>Without an orchestrator</h2><p>What is agreed on goes on: who serves, serves. Nobody is promoted "
        "until an orchestrator leads again: start one, then ask <code>kembar status</code>.</p>"
        '<p>For load balancers: <a href="/primary">/primary</a> <a href="/standby">/standby</a></p>'
        "</main></body></html>"
    )


def _row(name: str, value: str) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'


def _stale(now: Standing) -> str:
    age = "never looked at it" if now.report is None else f"last looked at it {now.age_s:.0f} s ago"
    return f"<p><strong>STALE: the agent {age}: what follows may be long past.</strong></p>"


def _facts(now: Standing) -> Iterator[tuple[str, str]]:
    yield "gate", "open" if now.gate_open else "shut"
    yield "lease", "may act on it" if now.may_act else "may not act on it"
    yield "read from it", not_standby(now, LAG_S) or "yes, as standby"
    if now.report is not None:
        yield from _told(now.report)
        yield "looked at", f"{now.age_s:.1f} s ago"


def _told(report: Report) -> Iterator[tuple[str, str]]:
    host = report.host
    yield "told to be", f"{report.role}, in epoch {report.epoch}"
    yield "mysqld", f"{report.mysqld} {host.mysql_version}".strip()
    yield "writable", "yes" if report.writable else "no"
    yield "VIP here", "yes" if report.has_address else "no"
    receiver = "connected" if report.receiver_connected else "running" if report.receiver_running else "off"
    yield "receiver", f"{receiver}, backlog {report.backlog_transactions} transactions"
    yield "executed", report.executed or "nothing"
    if report.errant:
        yield "errant", report.errant
    yield "load", f"{host.load_1m:.2f}, {host.load_5m:.2f}, {host.load_15m:.2f}"
    yield "memory used", f"{host.memory_used_percent:.0f} %"
    yield "disk used", f"{host.disk_used_percent:.0f} %"
    yield "connections", str(host.connections)
    yield "up", f"{host.uptime_s / 3600:.1f} h"
