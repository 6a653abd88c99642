"""One mysqld as its own agent sees and commands it: facts, power, and the parts `channel` and `semisync`.

Called by one thread at a time. Sessions are kept open, since logins can hang while statements still work; every call
ends by its deadline. Nothing here retries beyond its budget, decides, or relaxes anything on its own.
"""

from __future__ import annotations

from agents import dialect
from agents.channel import Channel
from agents.replication import ServerFacts, facts_from
from agents.roles import STATEMENT_S, Roles
from agents.semisync import SemiSync
from agents.session import Access, Session, StatementRefused
from orchestrator.core.errors import StepFailed
from orchestrator.core.ports import Clock

LOCK_WAIT_TIMEOUT = 1205
LOCK_WAIT_S = 1.0  # the shortest that the server can be told
# `enabled=OFF` blocks every SELECT @@GLOBAL for up to 1.0 s (measured), but our own thread waits for its end before.
FACTS_S = 0.7


class Database:
    """The local server. Raises DatabaseUnavailable (no login, no answer) and StepFailed everywhere."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._roles = Roles(access, clock)
        self._facts = Session(access, "kembar_facts", many=True, database=dialect.SCHEMA)
        self._heartbeat = Session(access, "kembar_heartbeat")
        self._query: str | None = None  # of the server that `_facts` is logged in to
        self.channel = Channel(self._roles)
        self.semisync = SemiSync(self._roles)

    def facts(self, within_s: float = FACTS_S) -> ServerFacts:
        """Everything that a tick wants to know, in one round trip: 0.8 ms (measured)."""
        if self._query is None or not self._facts.open:
            self._roles.open(within_s)
            plugins = self._facts.ask(dialect.HAS_SEMISYNC, within_s=within_s)
            self._query = dialect.facts_query(semisync=plugins[0]["active"] == "2")
        channel, errors, status, variables = self._facts.ask_many(self._query, within_s=within_s)
        named = {row["Variable_name"]: row["Value"] for row in status}
        return facts_from(variables[0], named, channel[0] if channel else None, errors)

    def executed(self, within_s: float = STATEMENT_S) -> str:
        """The executed set, read now."""
        return "".join(self._facts.ask(dialect.EXECUTED, within_s=within_s)[0]["executed"].split())

    def variables(self, names: tuple[str, ...], within_s: float = STATEMENT_S) -> dict[str, str]:
        """Global variables by name, ON and OFF in words; one that the server does not know is missing."""
        rows = self._facts.ask(dialect.VARIABLES_NAMED, (names,), within_s=within_s)
        return {row["Variable_name"]: row["Value"] for row in rows}

    def persisted(self, within_s: float = STATEMENT_S) -> frozenset[str]:
        """Names of the variables that SET PERSIST keeps over a restart, whatever the option file says."""
        return frozenset(row["name"] for row in self._facts.ask(dialect.PERSISTED, within_s=within_s))

    def reload_certificates(self, within_s: float = STATEMENT_S) -> str:
        """Have the server read certificate, key and authority again; until when its certificate is good.

        Raises StatementRefused if they do not fit: it goes on with those it has.
        """
        self._facts.ask(dialect.RELOAD_CERTIFICATES, within_s=within_s)
        return self._facts.ask(dialect.CERTIFICATE, within_s=within_s)[0]["Value"]

    def await_executed(self, gtid_set: str, within_s: float) -> bool:
        """Whether everything in the set was executed before `within_s` had passed; waits in the server."""
        rows = self._facts.ask(dialect.AWAIT_EXECUTED, (gtid_set, within_s), within_s=within_s + STATEMENT_S)
        return rows[0]["late"] == "0"

    def heartbeat(self, node: str, n: int, within_s: float = STATEMENT_S) -> None:
        """Commit one row in kembar.heartbeat: returned means that writes work, and in SYNC that the standby has it.

        No answer: DatabaseUnavailable, and the commit may still happen, which harms nobody.
        """
        self._heartbeat.ask(dialect.HEARTBEAT, (node, n), within_s=within_s)

    def clear_role_sessions(self) -> None:
        """End every other session that could still change a role. Raises StepFailed if one stays."""
        self._roles.clear_others()

    def set_offline(self, on: bool, within_s: float = 0.5) -> None:
        """Refuse clients, or take them again; 0.1 ms also while a commit is stalled (measured)."""
        self._roles.run(dialect.set_global("offline_mode", "ON" if on else "OFF"), within_s=within_s)
        if self._power()["offline_mode"] != str(int(on)):
            raise StepFailed(f"offline_mode is not {'ON' if on else 'OFF'} although it was set")

    def set_read_only(self, *, kill_blockers: bool, tries: int = 3) -> None:
        """Stop all writes; each try takes at most 1 s. Raises StepFailed if they cannot be stopped.

        Waits behind every running write, also one stalled in commit, and blocks new ones meanwhile. After a failure
        the server leaves both variables at 0 (measured). `kill_blockers` ends the sessions in its way between tries:
        for a demotion, never for a switchover. A try without any answer is the last one: the server hangs.
        """
        self._roles.clear_others()
        self._roles.run("SET SESSION lock_wait_timeout = 1")
        for left in reversed(range(tries)):
            if self._try_read_only():
                return
            if left and kill_blockers:
                self._kill_blockers()
        raise StepFailed(f"super_read_only=ON waited {tries} times for running writes; they go on")

    def set_writable(self) -> None:
        """Take clients and their writes, and read it back (after semi-sync is settled)."""
        self._roles.clear_others()
        self._roles.run(dialect.set_global("offline_mode", "OFF"))
        self._set_writable()

    def close(self) -> None:
        for session in (self._facts, self._heartbeat, self._roles):
            session.close()

    def _set_writable(self) -> None:
        for name in ("super_read_only", "read_only"):  # the first leaves the second ON (docs)
            self._roles.run(dialect.set_global(name, "OFF"))
        power = self._power()
        if "1" in (power["read_only"], power["super_read_only"]):
            raise StepFailed(f"the server is still read only although it was told not to be: {power}")

    def _try_read_only(self) -> bool:
        try:
            self._roles.run(dialect.set_global("super_read_only", "ON"), within_s=LOCK_WAIT_S + 0.3)
        except StatementRefused as error:
            if error.errno != LOCK_WAIT_TIMEOUT:
                raise
            return False
        return self._power()["super_read_only"] == "1"

    def _kill_blockers(self) -> None:
        for row in self._roles.ask(dialect.WRITE_BLOCKERS):
            self._roles.kill(int(row["PROCESSLIST_ID"]))

    def _power(self) -> dict[str, str]:
        return dict(self._roles.ask(dialect.POWER)[0])
