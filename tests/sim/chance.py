"""Randomness of the simulator: one stream for each purpose, named by a text."""

from __future__ import annotations

from hashlib import sha512
from random import Random


def seeded(text: str) -> Random:
    """What Random(text) gives; PyPy would take the digest of the text in Python."""
    data = text.encode()
    return Random(int.from_bytes(data + sha512(data).digest(), "big"))
