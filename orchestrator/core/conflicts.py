"""What may speak against an errant change on the new primary, and which policies may settle it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Conflict(StrEnum):
    """Why a row is not changed. The first two are no conflict: the row is as the change would leave it."""

    IDENTICAL = "identical"
    DELETE_MISSING = "delete_missing"
    INSERT_EXISTS = "insert_exists"
    UPDATE_DIFFERS = "update_differs"
    UPDATE_MISSING = "update_missing"
    DELETE_DIFFERS = "delete_differs"
    UNIQUE_EXISTS = "unique_exists"
    FK_PARENT_MISSING = "fk_parent_missing"
    FK_CHILDREN_EXIST = "fk_children_exist"
    CHECKS_WERE_OFF = "checks_were_off"
    NO_PRIMARY_KEY = "no_primary_key"
    KEY_NOT_COMPARABLE = "key_not_comparable"
    SCHEMA_DIFFERS = "schema_differs"
    UNDECODABLE = "undecodable"
    DEPENDS_ON_QUARANTINED = "depends_on_quarantined"
    NOT_BY_ROWS = "not_by_rows"  # DDL, accounts, and whatever else has no row images
    ALWAYS_QUARANTINE = "always_quarantine"  # no conflict of rows: the policy, or the schema, asks for a person


HARMLESS = frozenset({Conflict.IDENTICAL, Conflict.DELETE_MISSING})
BOTH_THERE = frozenset({Conflict.INSERT_EXISTS, Conflict.UPDATE_DIFFERS})  # whose columns can be told apart


class How(StrEnum):
    """What a policy does about a conflict."""

    QUARANTINE = "quarantine"  # the whole transaction is kept for a person
    DISCARD = "discard"  # the whole transaction is evidence, and nothing else
    SKIP = "skip"  # the primary's row stays
    APPLY = "apply"  # the row becomes the returning node's
    LATEST_WINS = "latest_wins"  # it becomes the one in which a column is greater
    DELTA = "delta"  # what the errant change added to a column is added on the primary
    MAX = "max"
    MIN = "min"


_EITHER = frozenset({How.QUARANTINE, How.DISCARD})
_SKIP = _EITHER | {How.SKIP}
_ROW = _SKIP | {How.APPLY}
_BOTH = _ROW | {How.LATEST_WINS, How.MAX, How.MIN}
# A conflict that is not here is always for a person.
ALLOWED: Mapping[Conflict, frozenset[How]] = {
    Conflict.INSERT_EXISTS: _BOTH,
    Conflict.UPDATE_DIFFERS: _BOTH | {How.DELTA},
    Conflict.UPDATE_MISSING: _ROW,
    Conflict.DELETE_DIFFERS: _ROW,
    Conflict.UNIQUE_EXISTS: _SKIP,
    Conflict.FK_PARENT_MISSING: _SKIP,
    Conflict.FK_CHILDREN_EXIST: _SKIP,
    Conflict.CHECKS_WERE_OFF: _EITHER | {How.APPLY},
    Conflict.NO_PRIMARY_KEY: _SKIP,
}


def allowed(conflict: Conflict) -> frozenset[How]:
    """How that conflict may be settled."""
    return ALLOWED.get(conflict, frozenset({How.QUARANTINE}))
