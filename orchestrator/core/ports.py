"""The ports: what the loops need of the outside world, with the errors each may raise.

Each has one suite in tests/contract/ports, which the real adapter, the simulator's model and the unit tests' fake must
pass alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.model import Instant


class Clock(Protocol):
    """Elapsed seconds of this host since an arbitrary start. Wall time never enters a decision."""

    def holder_now(self) -> Instant:
        """The larger of boot time and raw monotonic time: whoever holds power ages it fast."""

    def waiter_now(self) -> Instant:
        """The smaller of the two: whoever waits for another's power to end waits long."""

    def wall_s(self) -> float:
        """Seconds since the Unix epoch, for people only."""


# --- coordination -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """Refuse the whole write unless `path` is at `version`."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class SetData:
    """Write `data` if `path` is at `version`."""

    path: str
    data: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Create:
    """Make `path`; with `sequence` the server appends a ten-digit number, with `ephemeral` it ends with the session."""

    path: str
    data: bytes
    ephemeral: bool = False
    sequence: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove `path` if it is at `version` (-1: any). Never used on desired, leader, lease, sync or reports."""

    path: str
    version: int


Op = Check | SetData | Create | Delete


@dataclass(frozen=True, slots=True)
class Stored:
    """What a path held: its bytes, version, and two ZooKeeper stat times in milliseconds."""

    data: bytes
    version: int
    created_ms: int = 0
    modified_ms: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A `Stored` with our own clock's reading (waiter's) when this version first reached us."""

    stored: Stored
    first_seen: Instant


class Pending(Protocol):
    """A write on its way. `done()` never blocks."""

    def done(self) -> bool: ...

    def result(self, timeout_s: float) -> tuple[str | int, ...]:
        """One entry an op: the new version (SetData), the path made (Create), 0 (Check, Delete).

        Raises StaleWrite, CoordinatorUnavailable (surely not sent), UnknownOutcome (may have happened; also
        when `timeout_s` passes).
        """


class Coordinator(Protocol):
    """ZooKeeper, by one thread that owns the client. Refuses at once while not connected; never retries a write."""

    @property
    def connected(self) -> bool: ...

    def hearing_since(self) -> Instant:
        """Since when we have heard without a break (waiter's clock); inf while not connected."""

    def submit(self, ops: Sequence[Op], wake: Callable[[], None] | None = None) -> Pending:
        """Send one multi (all or nothing) and return at once; `wake` is called when its answer is in.

        Raises CoordinatorUnavailable if not connected (nothing was sent).
        """

    def read(self, path: str, timeout_s: float = 2.0) -> Stored | None:
        """The node now, None if it does not exist. Raises CoordinatorUnavailable."""

    def children(self, path: str, timeout_s: float = 2.0) -> tuple[str, ...]:
        """Names below `path`, sorted; empty if it does not exist. Raises CoordinatorUnavailable."""


class Mirror(Protocol):
    """Watched copies of some paths, kept fresh by the coordination thread."""

    def snapshot(self) -> Mapping[str, Seen]:
        """What is known now: absent paths are missing. Empty while not connected since the last cut."""


# --- kernel -------------------------------------------------------------------------------------


class Gate(Protocol):
    """The kernel rules before the VIP. Closed means: TCP reset for clients, silence to ARP."""

    def load(self) -> None:
        """(Re)create both tables with empty sets: shut. Only at boot, or when rules are missing and no VIP is here."""

    def intact(self) -> bool:
        """Whether the rules in the kernel are exactly ours: a foreign flush leaves the sets and takes the rules."""

    def is_open(self) -> bool: ...

    def arm(self, ttl_s: float) -> None:
        """Put the permit, which no traffic rule looks at."""

    def open(self, ttl_s: float) -> None:
        """Swap permit for lease in one transaction. Raises GateRefused if the permit has expired."""

    def renew(self, ttl_s: float) -> None:
        """Prolong only what is still alive. Raises GateRefused if it has expired."""

    def shut(self) -> None:
        """Flush lease and permit."""


class VirtualIp(Protocol):
    """The address that clients use, on this host's interface."""

    def present(self) -> bool: ...

    def probe(self) -> None:
        """Ask the network who has the VIP (RFC 5227); returns at once."""

    def foreign_mac(self) -> str | None:
        """Who else has claimed the VIP since `probe`, told once; does not wait."""

    def add(self, lifetime_s: int) -> None:
        """Add the /32 with a lifetime, or refresh the lifetime of one that is there. Idempotent."""

    def drop(self) -> None:
        """Remove the address wherever it is configured on this host. Idempotent."""

    def reset_clients(self) -> None:
        """Destroy every TCP socket whose local address is the VIP, so that clients get a reset. Needs the VIP here."""

    def announce(self) -> None:
        """Send one gratuitous ARP request and one reply."""

    def claimed_by(self, wait_s: float) -> str | None:
        """RFC 5227 probe: the foreign MAC that answers for the VIP within `wait_s`, or None."""


# --- mysqld -------------------------------------------------------------------------------------


class Supervisor(Protocol):
    """The only one who starts mysqld. Two adapters: direct child (lab), systemd (hosts)."""

    def incarnation(self) -> str | None:
        """`boot_id/pid/starttime` of the running mysqld, None when there is none."""

    def exiting(self) -> bool:
        """Whether the process has begun to exit, is a zombie, or dumps core. Cheap: polled every few ms."""

    def await_exiting(self, within_s: float) -> bool:
        """Wait until the process begins to exit, or `within_s` has passed; whether it is exiting."""

    def start(self) -> None:
        """Start mysqld, fenced (offline, read only, replica not started). Returns at once. Raises StepFailed."""

    def kill(self) -> None:
        """SIGKILL by pidfd, and wait (bounded) until exiting. Raises StepFailed if it does not show (D state)."""


class Memory(Protocol):
    """What an agent must never forget, synced to disk before use.

    `new`: nothing was remembered when it was opened: a new host, or one that has lost what it knew.
    """

    @property
    def new(self) -> bool: ...

    def trouble(self) -> str:
        """Why nothing could be remembered now (lost, read-only), empty if it could. What was lost is written again."""

    def epoch(self) -> tuple[int, int]:
        """The highest (epoch, seq) ever followed; (0, 0) on a new host."""

    def remember(self, epoch: int, seq: int) -> None: ...

    def promotion(self) -> Mapping[str, str | int] | None:
        """The promotion file: {epoch, incarnation, gtid, peer_uuid}, or None."""

    def write_promotion(self, promotion: Mapping[str, str | int]) -> None: ...

    def opened(self) -> tuple[int, str] | None:
        """(epoch, incarnation) that was last made writable here, or None."""

    def write_opened(self, epoch: int, incarnation: str) -> None: ...

    def tail(self) -> Mapping[str, str | int] | None:
        """What is known of the end of one mysqld's binary log: {epoch, incarnation, index, state, why}, or None."""

    def write_tail(self, tail: Mapping[str, str | int]) -> None: ...

    def relay_counter(self) -> int:
        """How often this host's relay logs may have been thrown away without a restart; part of the incarnation."""

    def draw_relay_counter(self) -> int:
        """The next counter, on disk before it returns."""
