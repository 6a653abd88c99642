"""Prints docs/cli.md from the commands themselves: `make docs`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from orchestrator.cli.exits import MEANINGS, Exit
from orchestrator.cli.main import VERBS, main
from orchestrator.cli.outputs import OUTPUTS

SHARED = ("config", "endpoint", "named", "output", "no_color", "quiet", "verbose")
DAEMONS = ("agent", "orchestrator", "lab")  # --help says the rest
HEAD = """# The command line
Printed from the commands by `make docs`; `make check` fails if it is stale. Do not edit.

A client command talks to any orchestrator, leader or not: the endpoints of client.yaml, of `--endpoint` or of
`KEMBAR_ENDPOINT` are tried in order, the one that answered last first, one with fresh data before one without. `status`
and `check` read ZooKeeper themselves when none answers and client.yaml names its servers, and say so. The token comes
from the file that `KEMBAR_TOKEN_FILE` or client.yaml names, never from the command line. `https://` endpoints must have
a certificate for their address by the `authority` that client.yaml names, or by one that the host knows. client.yaml is
looked for in `~/.config/kembar`, in `/etc/kembar`, and where the lab leaves it.

Data goes to stdout, everything else to stderr. Times are UTC. What `-o json` prints is one object, for `events -f` and
`status --watch` one a line; its shape is promised in [cli.schema.json](cli.schema.json).

A command that moves the primary, repairs data or records a policy shows its pre-checks or what is different, and asks;
the default is no. `--yes` answers for scripts. `pause`, `resume`, `ack`, `verify`, `maintenance off`, `token` and
`alerts test` are done at once. Without a terminal and without `--yes` a command that would ask ends with 5 and prints
itself, ready to be run. `failover` and `adopt` want a name typed, or `--confirm NAME`. `--dry-run` makes all pre-checks
and changes nothing.
"""


def reference() -> str:
    """The whole document."""
    return "\n".join([HEAD, *_shared(), "", *_exits(), "", *(line for name in VERBS for line in _verb(name))])


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command below this one, by its words."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


def _shared() -> Iterator[str]:
    yield "## What all client commands take"
    yield "| option | what |"
    yield "|---|---|"
    status = main.get_command(click.Context(main), "status")
    assert status is not None
    for one in status.params:
        if isinstance(one, click.Option) and one.name in (*SHARED, "timeout"):
            yield _row(one)


def _exits() -> Iterator[str]:
    yield "## Exit codes"
    yield "| code | meaning |"
    yield "|---|---|"
    for code in Exit:
        yield f"| {int(code)} | {MEANINGS[code]} |"
    yield ""
    yield "`kembar check` has those of a monitor: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."


def _verb(name: str) -> Iterator[str]:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    if name in DAEMONS:
        yield from (f"## kembar {name}", "", f"{_text(command)} `kembar {name} --help` says more.", "")
        return
    for words, leaf in leaves(command, (name,)):
        yield f"## kembar {words}"
        yield ""
        yield _text(leaf)
        yield ""
        usage = " ".join(leaf.collect_usage_pieces(click.Context(leaf)))
        yield f"    kembar {words} {usage}".rstrip()
        own = [one for one in leaf.params if isinstance(one, click.Option) and one.name not in SHARED]
        own = [one for one in own if one.name != "timeout" or one.default != 10.0]
        if own:
            yield from ("", "| option | what |", "|---|---|", *map(_row, own))
        if words in OUTPUTS:
            names = ", ".join(one.__name__ for one in OUTPUTS[words])
            yield from ("", f"With `-o json`: {names}.")
        yield ""


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{one}`" for one in (*option.opts, *option.secondary_opts))
    shown = option.make_metavar(click.Context(click.Command("kembar"))) if not option.is_flag else ""
    needed = " Needed." if option.required else ""
    cells = (f"{names} {shown}".strip().replace("|", "\\|"), (option.help or "").replace("|", "\\|") + needed)
    return f"| {' | '.join(cells)} |"


def _text(command: click.Command) -> str:
    """Its docstring, a line a paragraph."""
    return "\n\n".join(" ".join(one.split()) for one in (command.help or "").split("\n\n"))


if __name__ == "__main__":
    click.echo(reference(), nl=False)
