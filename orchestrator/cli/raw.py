"""`kembar api`: one call as it is; `kembar completion`: what a shell needs to complete our words."""

from __future__ import annotations

import json
from typing import Any

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.options import Session, client_command

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SHELLS = ("bash", "zsh", "fish")


@click.command()
@client_command
@click.argument("method", type=click.Choice(METHODS, case_sensitive=False))
@click.argument("path")
@click.option("-d", "--data", default="", metavar="JSON", help="The body.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE", help="For example If-Match:7.")
def api(session: Session, method: str, path: str, data: str, headers: tuple[str, ...]) -> None:
    """Make one call of API v1 with our token, and print what it answers. PATH begins with a slash."""
    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r}: begins with /, for example /api/v1/clusters", param_hint="PATH")
    answer = session.api.call(method, path, _body(data), dict(_header(one) for one in headers)).body
    if session.prose:
        shown = answer if isinstance(answer, str) else json.dumps(answer, indent=2, ensure_ascii=False)
        session.say(*shown.splitlines())
    session.give(answer)


def _body(data: str) -> Any:
    if not data:
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise click.BadParameter(f"{data!r} is no JSON: {error}", param_hint="--data") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name.strip() and colon):
        raise click.BadParameter(f"{text!r}: NAME:VALUE is expected", param_hint="--header")
    return name.strip(), value.strip()


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion of SHELL, to be sourced: kembar completion bash > /etc/bash_completion.d/kembar."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Failed(Exit.USAGE, f"no completion for {shell}", f"known are {', '.join(SHELLS)}")
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "kembar", "_KEMBAR_COMPLETE").source())
