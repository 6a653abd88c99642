"""A new node gets the rights of its folder: ZooKeeper itself would leave it to whoever makes it. Owns no connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kazoo.exceptions import ConnectionLoss
from kazoo.protocol import serialization as wire

from orchestrator.coordination.answer import Answer
from orchestrator.coordination.connection import Connection
from orchestrator.core.ports import Create, Op

# Of the folder of each new node, by the node's path.
Rights = Mapping[str, Any]


def makes_nodes(ops: Sequence[Op]) -> bool:
    """Whether a write makes any node."""
    return any(isinstance(op, Create) for op in ops)


def submit_with_rights(
    connection: Connection, ops: Sequence[Op], request_of: Callable[[Rights], Any], then: Callable[[Answer], None]
) -> Answer:
    """One write, sent once the rights of each folder in which it makes a node are read; never blocks.

    The rights are asked for each time: nobody hears of a change, and nodes are made seldom. Where they cannot be read
    nothing was sent, and the answer says why.
    """
    folders = _folders(ops)
    write = Answer(connection.waiter_now(), then)
    found: dict[str, Any] = {}

    def go_on() -> None:
        missing = [folder for folder in folders.values() if folder not in found]
        if not missing:
            connection.send(request_of({path: found[folder] for path, folder in folders.items()}), write)
        elif connection.ask(wire.GetACL(missing[0]), partial(take, missing[0])).refused:
            write.refuse()

    def take(folder: str, answer: Answer) -> None:
        """In the connection thread, in which a connection cannot end between this look and what follows."""
        if answer.error is None and connection.accepting:
            found[folder] = answer.value()[0]
            go_on()
        else:
            write.set_exception(answer.error or ConnectionLoss())

    go_on()
    return write


def _folders(ops: Sequence[Op]) -> dict[str, str]:
    """For each new node the nearest folder that is there before."""
    made = {op.path for op in ops if isinstance(op, Create)}
    found = {}
    for path in made:
        folder = _parent(path)
        while folder in made:
            folder = _parent(folder)
        found[path] = folder
    return found


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
