"""`kembar config`: files on disk, each alone and all against each other; and the recorded policy of returns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import BaseModel

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed, leave
from orchestrator.cli.options import Session, client_command
from orchestrator.cli.settings import KEYS, read_settings
from orchestrator.config.load import Document, Loc, read
from orchestrator.config.orchestrator import OrchestratorConfig, load_tokens
from orchestrator.config.returns import PolicyFile
from orchestrator.config.shared import Membership, differences
from orchestrator.core.errors import ConfigWrong
from orchestrator.core.wire import plain


@dataclass(frozen=True, slots=True)
class Member:
    """What one file says of one cluster, and at which keys."""

    document: Document
    membership: Membership
    keys: Mapping[str, Loc]


@click.group()
def config() -> None:
    """Check configuration files; show and change how a return is repaired."""


@config.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def validate(files: tuple[Path, ...], output: str) -> None:
    """Report every mistake in agent.yaml, orchestrator.yaml and client.yaml FILES; several are compared too."""
    problems: list[str] = []
    members: list[Member] = []
    for path in files:
        try:
            members += _checked(path)
        except ConfigWrong as wrong:
            problems += wrong.problems
        except Failed as failed:
            problems += failed.message.splitlines()
    problems += _between(members)
    if output == "json":
        click.echo(json.dumps({"files": [str(path) for path in files], "problems": problems}))
    for line in problems:
        click.echo(line, err=True)
    if not problems and output == "table":
        click.echo(f"{', '.join(str(path) for path in files)}: valid")
    leave(Exit.FAILED if problems else Exit.DONE)


@config.command()
@client_command
def show(session: Session) -> None:
    """The recorded policy of returns, as `kembar config set` takes it."""
    answer = session.api.call("GET", _policy_of(session)).body
    changed = answer["changed"]
    if changed["actor"]:
        session.say(f"# changed by {changed['actor']}: {changed['reason']}")
    session.say(*yaml.safe_dump({"reconcile": answer["reconcile"]}, sort_keys=False).splitlines())
    session.give(answer)


@config.command(name="set")
@client_command
@click.option("--file", "path", required=True, type=click.Path(path_type=Path), help="YAML with the section reconcile.")
@click.option("--reason", required=True, help="Recorded with your name.")
def set_(session: Session, path: Path, reason: str) -> None:
    """Record another policy of returns. What the file does not name gets its default; needs role admin."""
    try:
        wanted = read(path, {}).validated(PolicyFile).reconcile
    except ConfigWrong as wrong:
        raise Failed(Exit.FAILED, str(wrong)) from None
    before = session.api.call("GET", _policy_of(session))
    body = {"reconcile": plain(wanted), "reason": reason}
    answer = session.api.call("PUT", _policy_of(session), body, {"If-Match": before.headers["etag"]}).body
    lines = list(_differences(before.body["reconcile"], answer["reconcile"]))
    for line in lines or ["nothing is different from before"]:
        session.say(line)
    session.give(answer)


def _policy_of(session: Session) -> str:
    return path_of(session.cluster, "policy", "reconcile")


def _differences(before: Any, after: Any, where: str = "reconcile") -> Iterator[str]:
    """A line for each value that is another one."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{where}.{key}")
    elif before != after:
        yield f"{where}: {json.dumps(before)} -> {json.dumps(after)}"


def _checked(path: Path) -> list[Member]:
    """The clusters that a valid file speaks of. What a file is, its keys say."""
    document = read(path, os.environ)
    found = set(document.value) if isinstance(document.value, dict) else set()
    if found and found <= set(KEYS):
        read_settings(path)
        return []
    if "clusters" in found:
        whole = document.validated(OrchestratorConfig)
        if whole.tokens_file is not None:
            load_tokens(whole.tokens_file)
        return [_member(document, whole, i) for i in range(len(whole.clusters))]
    # By name: the command line may not know the agents' package.
    model: type[BaseModel] = import_module("agents.config").AgentConfig
    membership: Membership = document.validated(model).membership  # type: ignore[attr-defined]
    keys: dict[str, Loc] = {
        "pair": ("peer",),
        "vip": ("vip",),
        "zookeeper": ("zookeeper", "hosts"),
        "policy": ("profile",),
    }
    return [Member(document, membership, keys)]


def _member(document: Document, whole: OrchestratorConfig, i: int) -> Member:
    here: Loc = ("clusters", i)
    keys = {"pair": (*here, "nodes"), "vip": (*here, "vip"), "policy": (*here, "profile")}
    return Member(document, whole.membership(whole.clusters[i]), {**keys, "zookeeper": ("zookeeper", "hosts")})


def _between(members: list[Member]) -> list[str]:
    """Every later file of a cluster against the first one."""
    first: dict[str, Member] = {}
    problems = []
    for one in members:
        reference = first.setdefault(one.membership.cluster, one)
        for part in differences(one.membership, reference.membership):
            text = f"{part} differs from {reference.document.path}"
            problems.append(one.document.problem(one.keys[part], text, "all files of a cluster agree"))
    return problems
