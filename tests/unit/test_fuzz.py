"""The API is asked what its description allows, and what it does not: it answers as described, and never fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from carrier import Carrier
from kept_pairs import OVER, returned
from test_cli import served

from monitoring.backend import Backend
from orchestrator.core.snapshot import Snapshot
from tests.asking import ask_everything


class Brisk(Carrier):
    """Each look at its pair is 20 s later: nothing is waited for, and nobody asks for too much at once."""

    def backend(self) -> Backend:
        def fresh() -> dict[str, Snapshot]:
            self.now_s += 20.0
            return {self.snapshot.name: replace(self.snapshot, taken=self.now_s)}

        return replace(super().backend(), snapshots=fresh)


def test_whatever_is_asked_is_answered(tmp_path: Path) -> None:
    carrier = Brisk(returned(), reports={7: OVER})
    with served(carrier) as url:
        ask_everything(url, "adam-secret", tmp_path)
