"""What each account may do, read from the statements by which playbooks and lab make it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.accounts import Passwords, bootstrap_statements

SCHEMA = "shop"
_GRANT = re.compile(r"GRANT (?P<what>.+) ON (?P<on>\S+) TO '(?P<user>kembar_\w+)'@'(?P<host>[^']+)'")


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of one account; `hosts` are those from which it may log in."""

    user: str
    privilege: str
    on: str
    hosts: tuple[str, ...]

    @property
    def named(self) -> str:
        """As a reader of the document knows it: a schema of the applications is any of them."""
        return f"{self.privilege} ON {self.on.replace(f'{SCHEMA}.', 'APPLICATION.')}"

    def give(self) -> str:
        return f"GRANT {self.privilege} ON {self.on} TO {self._accounts}"

    def take(self) -> str:
        return f"REVOKE {self.privilege} ON {self.on} FROM {self._accounts}"

    @property
    def _accounts(self) -> str:
        return ", ".join(f"'{self.user}'@'{host}'" for host in self.hosts)


def grants() -> tuple[Grant, ...]:
    """All of them, in the order of the statements."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for statement in bootstrap_statements(Passwords(*["x"] * 6), SCHEMA):
        if match := _GRANT.fullmatch(statement):
            for privilege in match["what"].split(", "):
                found.setdefault((match["user"], privilege, match["on"]), []).append(match["host"])
    return tuple(Grant(*key, tuple(hosts)) for key, hosts in found.items())
