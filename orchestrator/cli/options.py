"""The options that every client command has, and what they lead to."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from orchestrator.cli.client import Api, Settings, find_file, read_settings
from orchestrator.cli.exits import printable

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Session:
    """One command's API, and how its answer is to look."""

    api: Api
    named: str | None  # the cluster given on the command line or in the environment
    as_json: bool

    @property
    def cluster(self) -> str:
        """The cluster that is meant; may ask the API."""
        return self.api.cluster(self.named)

    def say(self, *lines: str, style: Callable[[str], str] = str) -> None:
        """Lines for people: data of the table format, nothing in JSON. `style` is of what they have become."""
        if not self.as_json:
            click.echo(style("\n".join(map(printable, lines))))

    def give(self, value: object) -> None:
        """The one object of the JSON format."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False))


def client_command(command: Command) -> Command:
    """Adds --config, --endpoint, --cluster and --output; the command takes a Session first."""

    @click.option("-c", "--config", metavar="FILE", help="client.yaml to use.")
    @click.option("--endpoint", envvar="KEMBAR_ENDPOINT", metavar="URL[,URL]", help="Orchestrators, tried in order.")
    @click.option("--cluster", "named", envvar="KEMBAR_CLUSTER", metavar="NAME", help="Needed if there are several.")
    @click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="json: one object.")
    @functools.wraps(command)
    def wrapped(config: str | None, endpoint: str | None, named: str | None, output: str, **rest: Any) -> Any:
        return command(Session(Api(_settings(config, endpoint)), named, output == "json"), **rest)

    return wrapped  # type: ignore[return-value]


def _settings(config: str | None, endpoint: str | None) -> Settings:
    path = find_file(config, os.environ)
    found = read_settings(path) if path else Settings()
    if endpoint:
        urls = tuple(url.strip() for url in endpoint.split(",") if url.strip())
        return replace(found, endpoints=urls, zookeeper=(), vip="")
    return found


def columns(rows: list[list[str]], indent: str = "") -> list[str]:
    """Rows as aligned text, without trailing blanks."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def age(seconds: float | None) -> str:
    """A duration as people read it."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}min" if seconds < 7200 else f"{seconds / 3600:.0f}h"


def yes_no(value: bool | None, yes: str = "yes", no: str = "no") -> str:
    """A fact, or a dash if nobody knows."""
    return "-" if value is None else yes if value else no
