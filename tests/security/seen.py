"""What became of a removal: which step found out, and what it said."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noticed:
    """The step that was refused, and the words of whoever refused it; `cluster`: what status says then."""

    step: str
    said: str
    cluster: str = ""
