"""TRANSACTION_PAYLOAD: the events of a compressed transaction, one after the other as they would stand in a file. Pure.

Fields of type, length, value (all but the value length-encoded): 1 size, 2 algorithm, 3 raw size; 0 ends them, and the
compressed bytes follow. The events in there have no checksums (measured on 9.7.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from agents.binlog.fields import Fields, Unreadable
from agents.binlog.parse import HEADER, framed

if TYPE_CHECKING:
    import zstandard

_ALGORITHM, _ZSTD = 2, 0


def unpacked(body: bytes) -> Iterator[bytes]:
    """Each event, with positions counted from 0 and a checksum, decompressed no further than it is read.

    Raises Unreadable, also where the `zstandard` library (extra `compressed`) is not installed.
    """
    fields = Fields(body)
    algorithm = _ZSTD
    while kind := fields.packed():
        value = Fields(fields.string())
        if kind == _ALGORITHM:
            algorithm = value.packed()
    if algorithm != _ZSTD:
        raise Unreadable(f"a transaction compressed by algorithm {algorithm}, which is not known here")
    try:
        import zstandard  # optional: preflight asks for binlog_transaction_compression=OFF
    except ImportError:
        raise Unreadable("a compressed transaction; install the library zstandard on this node") from None
    with zstandard.ZstdDecompressor().stream_reader(BytesIO(body[fields.at :]), read_across_frames=True) as reader:
        try:
            yield from _framed(reader)
        except zstandard.ZstdError as error:
            raise Unreadable(f"a transaction that cannot be decompressed: {error}") from error


def _framed(reader: zstandard.ZstdDecompressionReader) -> Iterator[bytes]:
    position = 0
    while header := reader.read(HEADER.size):
        if len(header) < HEADER.size:
            raise Unreadable("a compressed transaction that ends in the middle of an event")
        at_s, kind, server_id, length, _, flags = HEADER.unpack(header)
        content = reader.read(length - HEADER.size) if length > HEADER.size else b""
        if HEADER.size + len(content) != length:
            raise Unreadable(f"a compressed event that says {length} bytes and has {HEADER.size + len(content)}")
        event = framed(kind, content, position, at_s, server_id, flags)
        yield event
        position += len(event)
