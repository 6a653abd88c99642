"""Binary log files built byte by byte, as mysqld 9.7.4 writes them; the real server's own are read in test_truncate."""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass, field

from orchestrator.core.gtid import GtidSet

OWN = "11111111-1111-1111-1111-111111111111"
PEER = "22222222-2222-2222-2222-222222222222"


@dataclass
class Log:
    """One file that grows event by event."""

    previous: str = ""
    in_use: bool = True
    data: bytearray = field(default_factory=lambda: bytearray(b"\xfebin"))
    sequence: int = 0

    def __post_init__(self) -> None:
        body = struct.pack("<H50sIB", 4, b"9.7.4", 0, 19) + bytes(40) + b"\x01"
        self.event(15, body)
        self.event(35, _previous(self.previous))
        if self.in_use:
            self.data[4 + 17] |= 1  # mysqld sets the bit without a new checksum

    @property
    def bytes(self) -> bytes:
        return bytes(self.data)

    def event(self, kind: int, body: bytes = b"") -> int:
        """Append it; where it begins."""
        at, length = len(self.data), 19 + len(body) + 4
        whole = struct.pack("<IBIIIH", 0, kind, 1, length, at + length, 0) + body
        self.data += whole + struct.pack("<I", zlib.crc32(whole))
        return at

    def begin(self, number: int, source: str = OWN) -> int:
        """The event that carries the id."""
        self.sequence += 1
        return self.event(
            33, struct.pack("<B16sQBqq", 0, uuid.UUID(source).bytes, number, 2, self.sequence - 1, self.sequence)
        )

    def query(self, text: str) -> int:
        return self.event(2, struct.pack("<IIBHH", 1, 0, 4, 0, 3) + b"\x00\x01\x02" + b"shop\x00" + text.encode())

    def rows(self, number: int, source: str = OWN) -> int:
        """A whole transaction of one row; where it begins."""
        at = self.begin(number, source)
        self.query("BEGIN")
        self.event(19, b"map")
        self.event(30, b"row")
        self.event(16, bytes(8))
        return at


def _previous(text: str) -> bytes:
    sources = GtidSet.parse(text).intervals
    body = struct.pack("<Q", len(sources))
    for source, intervals in sources.items():
        body += struct.pack("<16sQ", uuid.UUID(source).bytes, len(intervals))
        body += b"".join(struct.pack("<QQ", first, last + 1) for first, last in intervals)
    return body
