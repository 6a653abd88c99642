"""What a person is told while nothing happens."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.rules import decide, waiting
from tests.builders import DB_A, DB_B, seen, situation

ERRANT = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:1"
SILENT_S = 60.0


@pytest.mark.parametrize(
    ("primary", "standby", "said"),
    [
        ({"peer_errant": ERRANT}, {}, ERRANT),
        ({}, {"errant": ERRANT}, ERRANT),
        ({}, {"applier_error": "1062 duplicate entry"}, "1062 duplicate entry"),
    ],
)
@pytest.mark.parametrize("age_s", [0.1, SILENT_S])
def test_what_only_a_person_can_end_is_told_though_whoever_said_it_has_fallen_silent(
    primary: dict[str, Any], standby: dict[str, Any], said: str, age_s: float
):
    s = situation(
        seen(DB_A, report_age_s=age_s if primary else 0.1, **primary),
        seen(DB_B, report_age_s=age_s if standby else 0.1, **standby),
        promotable=None,
    )
    assert decide(s).rule not in ("U2", "F1", "F5")
    assert said in waiting(s)
    assert "rebuild db-b from a copy of db-a" in waiting(s)
