"""Man pages and completions, printed from the commands themselves."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import generate_man_page

from orchestrator.cli.main import main

PLACES = {
    "bash": "bash-completion/completions/kembar",
    "zsh": "zsh/vendor-completions/_kembar",
    "fish": "fish/vendor_completions.d/kembar.fish",
}


def man_pages(into: Path, version: str, date: int) -> None:
    """A page for the command and for each of its subcommands: kembar-config-validate.1.gz."""
    into.mkdir(parents=True, exist_ok=True)
    day = datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%d")
    for context in _contexts(main, None, "kembar"):
        page = generate_man_page(context, version=version, date=day)
        name = f"{context.command_path.replace(' ', '-')}.1.gz"
        (into / name).write_bytes(gzip.compress(page.encode(), mtime=0))


def completions(share: Path) -> None:
    """The scripts of three shells; they ask the command itself."""
    for shell, place in PLACES.items():
        kind = get_completion_class(shell)
        assert kind is not None
        script = share / place
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(kind(main, {}, "kembar", "_KEMBAR_COMPLETE").source())


def _contexts(command: click.Command, parent: click.Context | None, name: str) -> Iterator[click.Context]:
    """Of the command and of all below it. One that loads its subcommands when asked is given them first."""
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, click.Group):
        below = {one: found for one in command.list_commands(context) if (found := command.get_command(context, one))}
        command.commands = below
    yield context
    if isinstance(command, click.Group):
        for one, found in below.items():
            yield from _contexts(found, context, one)
