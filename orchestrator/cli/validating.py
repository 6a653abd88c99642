"""Configuration files on disk: each alone, all against each other, and where each value comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from orchestrator.cli.exits import Failed
from orchestrator.cli.settings import KEYS, read_settings
from orchestrator.config.load import Document, Loc, dotted, read
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


def mistakes(files: tuple[Path, ...]) -> list[str]:
    """Every one of them, a line each."""
    problems: list[str] = []
    members: list[Member] = []
    for path in files:
        try:
            members += _checked(path)
        except ConfigWrong as wrong:
            problems += wrong.problems
        except Failed as failed:
            problems += failed.message.splitlines()
    return problems + _between(members)


def origins(path: Path) -> list[tuple[str, str, str]]:
    """Key, value and source (file:line:col, environment, default) of every value. Raises ConfigWrong."""
    document = read(path, os.environ)
    whole = document.validated(model_of(document))
    return list(_leaves(document, (), whole.model_dump(mode="json")))


def policy_of(path: Path) -> dict[str, Any]:
    """What `kembar config set --file` takes, as the API does. Raises ConfigWrong."""
    found = read(path, {}).validated(PolicyFile)
    named = {name: plain(getattr(found, name)) for name in type(found).model_fields}
    return {name: value for name, value in named.items() if value is not None}


def model_of(document: Document) -> type[BaseModel]:
    """What a file is, its keys say."""
    if isinstance(document.value, dict) and "clusters" in document.value:
        return OrchestratorConfig
    # By name: the command line may not know the agents' package.
    model: type[BaseModel] = import_module("agents.config").AgentConfig
    return model


def _leaves(document: Document, loc: Loc, value: Any) -> Iterator[tuple[str, str, str]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if children and value:
        for key, one in children:
            yield from _leaves(document, (*loc, key), one)
    else:
        yield dotted(loc), str(value), document.origin(loc)


def _checked(path: Path) -> list[Member]:
    """The clusters that a valid file speaks of."""
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
    membership: Membership = document.validated(model_of(document)).membership  # type: ignore[attr-defined]
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
