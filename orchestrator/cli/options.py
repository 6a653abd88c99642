"""The options that every client command has, and how its answer looks in each format."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import click

from orchestrator.cli.client import Api
from orchestrator.cli.exits import printable
from orchestrator.cli.settings import Settings, find_file, read_settings

Command = TypeVar("Command", bound=Callable[..., Any])
FORMATS = ("table", "wide", "json", "yaml", "tsv")


@dataclass(frozen=True, slots=True)
class Session:
    """One command's API, and how its answer is to look."""

    api: Api
    named: str | None  # the cluster given on the command line or in the environment
    output: str = "table"  # one of FORMATS
    quiet: bool = False
    verbose: bool = False

    @property
    def cluster(self) -> str:
        """The cluster that is meant; may ask the API."""
        return self.api.cluster(self.named)

    @property
    def prose(self) -> bool:
        """Whether the answer is for people."""
        return self.output in ("table", "wide")

    @property
    def wide(self) -> bool:
        return self.output == "wide"

    def say(self, *lines: str, style: Callable[[str], str] = str) -> None:
        """Lines for people: data of the table formats, nothing in the others. `style` is of what they have become."""
        if self.prose and not self.quiet and lines:
            click.echo(style("\n".join(map(printable, lines))))

    def give(self, value: object, rows: list[list[str]] | None = None) -> None:
        """The one object of the formats for programs; `rows`: what it is as a table, with its head."""
        if self.output == "json":
            click.echo(json.dumps(value, ensure_ascii=False))
        elif self.output == "yaml":
            import yaml

            click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, explicit_start=True), nl=False)
        elif self.output == "tsv":
            for row in rows if rows is not None else [list(pair) for pair in _leaves("", value)]:
                click.echo("\t".join(map(printable, row)))
        if self.verbose:
            self._tell()

    def _tell(self) -> None:
        """Who answered, on stderr."""
        for one in self.api.unanswered:
            click.echo(printable(f"no answer: {one}"), err=True)
        if self.api.answered:
            click.echo(f"answered: {self.api.answered}", err=True)


def client_command(command: Command) -> Command:
    """Adds the options that all have; the command takes a Session first."""
    own = {param.name for param in getattr(command, "__click_params__", ())}

    @functools.wraps(command)
    def wrapped(
        config: str | None, endpoint: str | None, named: str | None, output: str, no_color: bool, quiet: bool,
        verbose: bool, **rest: Any,
    ) -> Any:  # fmt: skip
        api = Api(settings_of(config, endpoint))
        if "timeout" not in own:
            api.timeout_s = float(rest.pop("timeout"))
        if no_color or os.environ.get("NO_COLOR"):
            click.get_current_context().color = False
        return command(Session(api, named, output, quiet, verbose), **rest)

    options = [
        click.option("-c", "--config", metavar="FILE", help="client.yaml to use."),
        click.option("--endpoint", envvar="KEMBAR_ENDPOINT", metavar="URL[,URL]", help="Orchestrators, in order."),
        click.option("--cluster", "named", envvar="KEMBAR_CLUSTER", metavar="NAME", help="If there are several."),
        click.option("-o", "--output", type=click.Choice(FORMATS), default="table", help="json: one object."),
        click.option("--no-color", is_flag=True, help="As NO_COLOR in the environment."),
        click.option("-q", "--quiet", is_flag=True, help="No table: the exit code, and errors."),
        click.option("-v", "--verbose", is_flag=True, help="Which orchestrator answered, on stderr."),
    ]
    if "timeout" not in own:
        least = click.FloatRange(0.1, 3600)
        options.append(
            click.option("--timeout", type=least, default=10.0, metavar="S", help="Seconds an answer may take.")
        )
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def settings_of(config: str | None, endpoint: str | None) -> Settings:
    """What client.yaml says, and the endpoints that are given instead. Raises Failed."""
    path = find_file(config, os.environ)
    found = read_settings(path) if path else Settings()
    if endpoint:
        urls = tuple(url.strip() for url in endpoint.split(",") if url.strip())
        return replace(found, endpoints=urls, zookeeper=(), vip="")
    return found


def _leaves(place: str, value: object) -> Iterator[tuple[str, str]]:
    """Each value with its place: nodes.0.name."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _leaves(f"{place}.{key}" if place else str(key), one)
    elif isinstance(value, list) and value:
        for number, one in enumerate(value):
            yield from _leaves(f"{place}.{number}" if place else str(number), one)
    else:
        yield place, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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
