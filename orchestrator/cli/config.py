"""`kembar config`: files on disk, each alone and all against each other; and the recorded policy of the pair."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed, leave
from orchestrator.cli.operation import ask
from orchestrator.cli.options import Session, client_command, columns

SETTINGS = ("reconcile", "preferred", "failovers_per_hour_max", "backlog_transactions_max")
reason_option = click.option("--reason", required=True, help="Recorded with your name.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def config() -> None:
    """Check configuration files; show and change the recorded policy."""


@config.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def validate(files: tuple[Path, ...], output: str) -> None:
    """Report every mistake in agent.yaml, orchestrator.yaml and client.yaml FILES; several are compared too."""
    from orchestrator.cli.validating import mistakes  # loads pydantic, which no client needs

    problems = mistakes(files)
    if output == "json":
        click.echo(json.dumps({"files": [str(path) for path in files], "problems": problems}))
    for line in problems:
        click.echo(line, err=True)
    if not problems and output == "table":
        click.echo(f"{', '.join(str(path) for path in files)}: valid")
    leave(Exit.FAILED if problems else Exit.DONE)


@config.command()
@client_command
@click.option("--origin", "file", type=click.Path(path_type=Path), help="Of each value of this file: who says so.")
def show(session: Session, file: Path | None) -> None:
    """The recorded policy, as `kembar config set --file` takes it; or a file's values, and where each comes from."""
    if file is not None:
        _show_origins(session, file)
        return
    answer = session.api.call("GET", _config_of(session)).body
    if answer["changed"]["actor"]:
        session.say(f"# changed by {answer['changed']['actor']}: {answer['changed']['reason']}")
    session.say(*_spelled(answer).splitlines())
    session.give(answer)


@config.command(name="set")
@client_command
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--file", "path", type=click.Path(path_type=Path), help="YAML as `show` prints it, instead of values.")
@reason_option
@yes_option
@click.option("--dry-run", is_flag=True, help="Only say what would be different.")
def set_(session: Session, values: tuple[str, ...], path: Path | None, reason: str, yes: bool, dry_run: bool) -> None:
    """Record other settings: preferred=db-a, reconcile.limits.rows=5; null gives a default. Needs role admin.

    What a file does not name below `reconcile` gets its default.
    """
    if bool(values) == (path is not None):
        raise click.UsageError("give KEY=VALUE, or --file FILE")
    wanted = _of_file(path) if path is not None else _of_values(values)
    _record(session, wanted, reason, yes=yes, dry_run=dry_run)


@config.command()
@client_command
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def diff(session: Session, path: Path) -> None:
    """What `kembar config set --file FILE` would change; ends with 1 if it is something."""
    before = session.api.call("GET", _config_of(session))
    lines = list(_changes(session, before.body, before.headers["etag"], _of_file(path), "diff")[0])
    session.say(*(lines or ["nothing is different"]))
    session.give({"differences": lines})
    leave(Exit.FAILED if lines else Exit.DONE)


@config.command()
@client_command
@reason_option
@yes_option
def edit(session: Session, reason: str, yes: bool) -> None:
    """Open the recorded policy in your editor, show what is different, ask, and record it."""
    answer = session.api.call("GET", _config_of(session)).body
    text = click.edit(_spelled(answer), extension=".yaml")
    if text is None:
        raise Failed(Exit.ABORTED, "nothing was changed")
    with tempfile.TemporaryDirectory() as folder:
        edited = Path(folder, "policy.yaml")
        edited.write_text(text, encoding="utf-8")
        wanted = _of_file(edited)
    _record(session, wanted, reason, yes=yes, dry_run=False)


def _record(session: Session, wanted: dict[str, Any], reason: str, *, yes: bool, dry_run: bool) -> None:
    """Only at the version that was shown."""
    before = session.api.call("GET", _config_of(session))
    lines, answer = _changes(session, before.body, before.headers["etag"], wanted, reason)
    session.say(*(lines or ["nothing is different from before"]))
    if lines and not dry_run:
        if not yes:
            ask("Record this?")
        body = {"set": wanted, "reason": reason}
        answer = session.api.call("PATCH", _config_of(session), body, {"If-Match": before.headers["etag"]}).body
    session.give(answer)


def _changes(
    session: Session, before: dict[str, Any], tag: str, wanted: dict[str, Any], reason: str
) -> tuple[list[str], dict[str, Any]]:
    """What would be different, as the orchestrator says, which checks it all."""
    body = {"set": wanted, "reason": reason, "dry_run": True}
    after = session.api.call("PATCH", _config_of(session), body, {"If-Match": tag}).body
    return [line for name in SETTINGS for line in _differences(before[name], after[name], name)], after


def _of_file(path: Path) -> dict[str, Any]:
    from orchestrator.cli.validating import policy_of  # loads pydantic, which no other verb of a client needs
    from orchestrator.core.errors import ConfigWrong

    try:
        return policy_of(path)
    except ConfigWrong as wrong:
        raise Failed(Exit.FAILED, str(wrong)) from None


def _of_values(values: tuple[str, ...]) -> dict[str, Any]:
    """`reconcile.limits.rows=5` as {"reconcile": {"limits": {"rows": 5}}}. Raises BadParameter."""
    found: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        *parents, last = key.split(".")
        if not (equals and all((*parents, last))):
            raise click.BadParameter(f"{text!r}: KEY=VALUE is expected, for example preferred=db-a", param_hint="KEY")
        place = found
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise click.BadParameter(f"{text!r}: {name} has a value already", param_hint="KEY")
        place[last] = _value(text, last, value)
    return found


def _value(text: str, key: str, value: str) -> Any:
    try:
        found = yaml.safe_load(value) if value else ""
    except yaml.YAMLError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="KEY") from None
    return value if found is False and key in ("mode", "merge") else found  # `off` is False to YAML


def _show_origins(session: Session, path: Path) -> None:
    from orchestrator.cli.validating import origins
    from orchestrator.core.errors import ConfigWrong

    try:
        found = origins(path)
    except ConfigWrong as wrong:
        raise Failed(Exit.FAILED, str(wrong)) from None
    rows = [["KEY", "VALUE", "SOURCE"], *(list(one) for one in found)]
    session.say(*columns(rows))
    session.give({"values": [{"key": key, "value": value, "source": source} for key, value, source in found]}, rows)


def _config_of(session: Session) -> str:
    return path_of(session.cluster, "config")


def _spelled(answer: dict[str, Any]) -> str:
    return yaml.safe_dump({name: answer[name] for name in SETTINGS}, sort_keys=False)


def _differences(before: Any, after: Any, where: str = "reconcile") -> Iterator[str]:
    """A line for each value that is another one."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{where}.{key}")
    elif before != after:
        yield f"{where}: {json.dumps(before)} -> {json.dumps(after)}"
