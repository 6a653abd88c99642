"""`kembar check`: one line and performance data, as Nagios and its kin ask for."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.exits import Failed, printable
from orchestrator.cli.options import Session, client_command
from orchestrator.cli.status import read_view

WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")  # by exit code
OK, WARNING, CRITICAL, UNKNOWN = range(len(WORDS))
BYTES_MAX = 200
STATES = {"healthy": OK, "degraded": WARNING, "unknown": UNKNOWN, "blind": UNKNOWN}  # any other is critical


class Monitored(click.Command):
    """A monitor reads 2 as critical, and 3 where nothing is known: a wrong option or client.yaml is the latter."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.exit_code = UNKNOWN  # type: ignore[misc]  # click reads it from the instance
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Failed as failed:
            click.echo(line(UNKNOWN, failed.format_message(), {}))
            raise SystemExit(UNKNOWN) from None


@click.command(cls=Monitored)
@client_command
def check(session: Session) -> None:
    """One line for a monitor; ends with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN)."""
    try:
        shown = read_view(session)
        code, text, measured = judged(shown), _text(shown), _measured(shown)
    except Failed as failed:
        code, text, measured = UNKNOWN, failed.format_message(), {}
    session.say(line(code, text, measured))
    session.give({"status": WORDS[code], "code": code, "text": text, "measured": measured})
    raise SystemExit(code)


def judged(shown: dict[str, Any]) -> int:
    """The code of a view. Nothing is OK while a failover would not begin, or a person is waited for."""
    if shown["writes"] == "no" or shown["vip"]["disputed"]:
        return CRITICAL
    code = STATES.get(shown["state"], CRITICAL)
    waits = shown["auto_failover"] != "on" or shown["returns"]["waits"] or shown["returns"]["open"]
    return WARNING if code == OK and waits else code


def line(code: int, text: str, measured: dict[str, float]) -> str:
    """At most BYTES_MAX: the text is cut, never the figures."""
    figures = {name.removesuffix("_s"): f"{value:g}" + "s" * name.endswith("_s") for name, value in measured.items()}
    data = " ".join(f"{name}={figure}" for name, figure in figures.items())
    end = f" | {data}" if data else ""
    begin = f"KEMBAR {WORDS[code]} - {printable(text).replace('|', '/')}"
    return begin.encode()[: BYTES_MAX - len(end)].decode(errors="ignore") + end


def _text(shown: dict[str, Any]) -> str:
    held = "" if shown["auto_failover"] == "on" else f", auto-failover {shown['auto_failover']}"
    return f"{shown['cluster']}: {shown['verdict']}{held}"


def _measured(shown: dict[str, Any]) -> dict[str, float]:
    standby: dict[str, Any] = next((one for one in shown["nodes"] if one["name"] == shown["standby"]), {})
    found = {
        "age_s": shown["data"]["age_s"],
        "lag_s": standby.get("received_age_s"),
        "missing": standby.get("missing"),
        "errant": standby.get("errant"),
        "backlog": standby.get("backlog"),
        "open": shown["returns"]["open"],
    }
    return {name: value for name, value in found.items() if value is not None}
