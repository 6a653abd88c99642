"""The lab's MySQL accounts: those that the playbooks make, from the very file, and one more for its own clients."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import jinja2

TEMPLATE = Path(__file__).parent.parent / "playbooks/roles/mysql_bootstrap/templates/accounts.sql.j2"
ANYWHERE = "%"


@dataclass(frozen=True, slots=True)
class Passwords:
    """One password per account; a lab makes its own."""

    root: str
    agent: str
    rejoin: str
    repl: str
    clone: str
    app: str

    @classmethod
    def random(cls) -> Self:
        """192 random bits each, in characters that need no quoting."""
        return cls(*(secrets.token_urlsafe(24) for _ in fields(cls)))


def bootstrap_statements(passwords: Passwords, database: str = "shop") -> tuple[str, ...]:
    """The accounts, each with the least it needs, and the two databases. Run with the binary log off, on each node.

    The peer may come from anywhere: a lab's addresses are nobody else's.
    """
    env = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL
    rendered = env.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        mysql_bootstrap_root_password=passwords.root,
        mysql_bootstrap_agent_password=passwords.agent,
        mysql_bootstrap_rejoin_password=passwords.rejoin,
        mysql_bootstrap_replication_password=passwords.repl,
        mysql_bootstrap_clone_password=passwords.clone,
        mysql_bootstrap_pair=[ANYWHERE],
        mysql_bootstrap_schemas=[database],
    )
    return (
        *(line.removesuffix(";") for line in rendered.splitlines() if line),
        f"CREATE USER 'app'@'%' IDENTIFIED WITH caching_sha2_password BY '{passwords.app}'",
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER, CREATE VIEW, SHOW VIEW,"
        f" LOCK TABLES, CREATE TEMPORARY TABLES ON {database}.* TO 'app'@'%'",
    )
