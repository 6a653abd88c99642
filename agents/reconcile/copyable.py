"""Whether one server may be copied from the other, by what each says of itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agents.dialect import version_of

SPARE_BYTES = 256 << 20  # redo log, undo and what is written meanwhile
SPARE_PART = 10  # and a tenth of the data


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two servers."""

    version: str
    plugin: bool  # the clone plugin is active
    foreign: tuple[str, ...] = ()  # tables of other engines than InnoDB: a copy has them without their rows
    outside: tuple[str, ...] = ()  # settings that put data elsewhere than into the data directory
    readers: tuple[str, ...] = ()  # who reads its binary log
    data_bytes: int = 0
    executed: str = ""


def refusal(own: Side, donor: Side) -> str:
    """Why the one may not be replaced by a copy of the other, by its code; empty if it may."""
    if version_of(own.version)[:2] != version_of(donor.version)[:2]:
        return f"version_differs: {own.version} here, {donor.version} on the primary: bring both to one release series"
    for side, where in ((own, "here"), (donor, "on the primary")):
        if not side.plugin:
            return f"no_clone_plugin: not active {where}: plugin_load_add = mysql_clone.so"
    if donor.foreign:
        return f"non_innodb: a copy would have no rows of {', '.join(donor.foreign)}: ALTER TABLE ... ENGINE = InnoDB"
    if own.outside:
        return f"data_outside: {', '.join(own.outside)}: only a data directory that holds everything can be exchanged"
    if own.readers:
        return f"feeds_replicas: {', '.join(own.readers)} read what only this server has: rebuild or detach them first"
    return ""


def needed_bytes(donor: Side) -> int:
    """What must be free beside the data directory."""
    return donor.data_bytes + donor.data_bytes // SPARE_PART + SPARE_BYTES
