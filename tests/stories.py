"""The commands of a story, and how one is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.model import NodeName
from orchestrator.core.requests import Kind, Request
from orchestrator.core.situation import Sighting
from tests.world import World


class Story(World):
    """A world to which things happen."""

    def kill_mysqld(self, name: str) -> None:
        self.server_is_gone(self.nodes[NodeName(name)])

    def lose_host(self, name: str) -> None:
        self.nodes[NodeName(name)].up = False

    def restore_host(self, name: str) -> None:
        """Booted: mysqld is down, the gate shut, the address gone."""
        node = self.nodes[NodeName(name)]
        self.server_is_gone(node)
        node.local = replace(node.local, gate_open=False, has_address=False)
        node.up, node.unheard_since, node.sent = True, None, float("-inf")

    def cut_from_zookeeper(self, name: str) -> None:
        self.nodes[NodeName(name)].reaches_zookeeper = False

    def heal(self, name: str) -> None:
        node = self.nodes[NodeName(name)]
        node.reaches_zookeeper = node.receiver_works = True

    def break_replication(self, name: str) -> None:
        self.nodes[NodeName(name)].receiver_works = False

    def restart_mysqld(self, name: str) -> None:
        """Faster than any report: another incarnation, replicating again."""
        node = self.nodes[NodeName(name)]
        node.life += 1
        node.local = replace(node.local, incarnation=f"{name}/{node.life}")

    def ask(self, kind: str, to: str) -> None:
        request = Request(f"r{self.version}", Kind(kind), NodeName(to), "story", "olga", self.cluster.epoch)
        self.requests[request.id] = Sighting(request, 0, self.now)

    def pause(self) -> None:
        self.paused = True

    def lose_leader(self) -> None:
        self.leaders -= 1


COMMANDS: dict[str, Callable[..., None]] = {
    "kill mysqld": Story.kill_mysqld,
    "restart mysqld": Story.restart_mysqld,
    "lose host": Story.lose_host,
    "restore host": Story.restore_host,
    "lose leader": Story.lose_leader,
    "cut from zookeeper": Story.cut_from_zookeeper,
    "break replication": Story.break_replication,
    "heal": Story.heal,
    "pause": Story.pause,
    "ask": Story.ask,
    "run": lambda story, seconds, unit: story.run(float(seconds)),
}


def tell(text: str) -> str:
    """Run its commands; what happened. A line is a command with its arguments, or a comment."""
    story = Story()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        command = next(one for one in COMMANDS if line.startswith(one))
        if command != "run":
            story.lines.append(f"{story.now:.2f} > {line}")
        COMMANDS[command](story, *line.removeprefix(command).split())
    final = " ".join(
        f"{n.name} {n.local.mysqld}{' serves' if n.local.gate_open and not n.local.read_only else ''}"
        f"{' replicates' if story.connected(n) else ''};"
        for n in story.nodes.values()
    )
    return "\n".join([*story.lines, f"{story.now:.2f} == {final}"]) + "\n"
