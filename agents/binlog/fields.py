"""The small encodings of the binary log, read one after the other from the bytes of one event. Pure."""

from __future__ import annotations

from orchestrator.core.errors import KembarError

_WIDE = {0xFC: 2, 0xFD: 3, 0xFE: 8}  # first byte of a length-encoded number -> bytes that follow


class Unreadable(KembarError):  # noqa: N818 - as in core.errors
    """Not a binary log that we understand: position and why."""


class Fields:
    """A place in some bytes, which every read moves on. Raises Unreadable where the bytes end too early."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self._data)

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise Unreadable(f"ends at {len(self._data)}, where {count} bytes from {self.at} are needed")
        taken, self.at = self._data[self.at : end], end
        return taken

    def number(self, count: int) -> int:
        """Unsigned, little-endian."""
        return int.from_bytes(self.take(count), "little")

    def packed(self) -> int:
        """A length-encoded number: one byte, or 0xfc, 0xfd, 0xfe and 2, 3, 8 bytes."""
        first = self.number(1)
        if first < 0xFB:
            return first
        if first not in _WIDE:
            raise Unreadable(f"{first:#x} begins no number")
        return self.number(_WIDE[first])

    def string(self) -> bytes:
        """Bytes with their length-encoded count before them."""
        return self.take(self.packed())

    def variable(self) -> int:
        """A number as tagged ids hold it: the low one bits of the first byte count the bytes that follow."""
        first = self.number(1)
        following = 0
        while following < 8 and first >> following & 1:
            following += 1
        if following == 8:
            return self.number(8)
        return (first | self.number(following) << 8) >> (following + 1)

    def signed(self) -> int:
        """A variable number whose lowest bit is the sign."""
        value = self.variable()
        return ~(value >> 1) if value & 1 else value >> 1
