"""Exit codes of the `kembar` command, and the errors that carry them. A promise: numbers never change."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import IO, Any, NoReturn

import click


class Exit(IntEnum):
    """What a script may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DEGRADED = 3
    NO_PRIMARY = 4
    REFUSED = 5
    ABORTED = 6
    RUNNING = 7
    UNREACHABLE = 8
    UNAUTHORISED = 9
    PERSON = 10


MEANINGS = {
    Exit.DONE: "done, or healthy",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage: an option, a value, or client.yaml",
    Exit.DEGRADED: "degraded, where `--exit-code` asks for it",
    Exit.NO_PRIMARY: "no writable primary, or the virtual IP is disputed",
    Exit.REFUSED: "refused by a pre-check, or nobody was there to be asked",
    Exit.ABORTED: "aborted at the prompt",
    Exit.RUNNING: "timed out, and still running: the operation's id and how to follow it are printed",
    Exit.UNREACHABLE: "no orchestrator answers with fresh data, nor does ZooKeeper",
    Exit.UNAUTHORISED: "not authorised",
    Exit.PERSON: "a person must decide",
}


class Failed(click.ClickException):
    """Ends the command with a message on stderr, a hint under it, and its exit code."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = int(code)  # type: ignore[misc]  # click reads it from the instance
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """On stderr, whatever the output format."""
        for line in (*self.format_message().split("\n"), *(f"hint: {self.hint}".split("\n") if self.hint else ())):
            click.echo(printable(line), err=True, file=file)


NAMES_MAX = 20


def which_cluster(known: Sequence[str]) -> Failed:
    """For a command that was told of none of several."""
    more = f", and {len(known) - NAMES_MAX} more" if len(known) > NAMES_MAX else ""
    return Failed(Exit.USAGE, f"which cluster? --cluster {'|'.join(known[:NAMES_MAX]) or 'NAME'}{more}")


def printable(text: str) -> str:
    """As one line that says what it shows: values of rows, and what people wrote, may hold what moves a cursor."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def leave(code: Exit) -> NoReturn:
    """End the command with `code` and no message."""
    sys.exit(int(code))
