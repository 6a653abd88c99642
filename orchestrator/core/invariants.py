"""What must hold of every step of the desired record: the same functions in production, simulator and tests."""

from __future__ import annotations

from orchestrator.core.errors import InvariantBroken
from orchestrator.core.model import Cluster, Mode, Phase


def check_step(old: Cluster, new: Cluster) -> None:
    """Raises InvariantBroken naming the rule and both records."""
    for name, holds in _statements(old, new):
        if not holds:
            raise InvariantBroken(f"{name}: from {old} to {new}")


def _statements(old: Cluster, new: Cluster) -> tuple[tuple[str, bool], ...]:
    moved = new.primary != old.primary
    promoted = moved and new.rule in ("F1", "F5", "S2")
    return (
        ("I1: seq grows by one", new.seq == old.seq + 1),
        ("I1: epoch grows by one at most, by force above all that is remembered", _grows(old, new)),
        ("I1: another primary needs another epoch", not moved or new.epoch > old.epoch),
        ("I1: the term never goes back", new.term >= old.term),
        ("I5: nobody is promotable in ASYNC", new.mode is Mode.SYNC or new.promotable is None),
        ("I5: the primary is not its own heir", new.promotable is None or new.promotable.node != new.primary),
        ("I5: automatic promotion needs SYNC and a certificate", not promoted or _certified(old, new)),
        ("I6: another primary needs a fence", not moved or (new.fence is not None and new.fence.node == old.primary)),
        ("I6: opening needs the fence to be proven", not _opens(old, new) or new.fence is not None),
    )


def _grows(old: Cluster, new: Cluster) -> bool:
    return new.epoch in (old.epoch, old.epoch + 1) or (new.rule == "F6" and new.epoch > old.epoch)


def _certified(old: Cluster, new: Cluster) -> bool:
    promotable = old.promotable
    return (
        old.mode is Mode.SYNC
        and promotable is not None
        and promotable.node == new.primary
        and promotable.incarnation == new.heir
    )


def _opens(old: Cluster, new: Cluster) -> bool:
    return new.phase is Phase.PROMOTING and old.phase is not Phase.PROMOTING
