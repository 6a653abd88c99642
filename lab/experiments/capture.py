"""`python -m lab.experiments.capture PORT`: the kernel's time of each TCP segment with content from that port.

Run inside a namespace until its input is closed; one line a segment: CLOCK_REALTIME in nanoseconds, bytes.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from collections.abc import Sequence

IP = 0x0800
TCP = 6
SO_TIMESTAMPNS = 35
BUFFER_BYTES = 64 * 1024 * 1024
SO_RCVBUFFORCE = 33


def main(arguments: Sequence[str]) -> int:
    port = int(arguments[0])
    watch = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IP))
    watch.bind(("lo", IP))
    watch.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    watch.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    out = sys.stdout
    out.write("ready\n")
    out.flush()
    while True:
        ready, _, _ = select.select([watch, sys.stdin], [], [])
        if watch in ready:
            frame, extra, _, _ = watch.recvmsg(80, 64)
            size = content(frame, port)
            if size:
                seconds, nanos = struct.unpack("qq", extra[0][2])
                out.write(f"{seconds * 1_000_000_000 + nanos} {size}\n")
        elif sys.stdin in ready:
            return 0


def content(packet: bytes, port: int) -> int:
    """Bytes of content of an IPv4 TCP segment that comes from the port; 0 for any other."""
    if len(packet) < 40 or packet[9] != TCP:
        return 0
    header = 4 * (packet[0] & 0x0F)
    source = struct.unpack_from("!H", packet, header)[0]
    if source != port:
        return 0
    total = struct.unpack_from("!H", packet, 2)[0]
    return int(total) - header - 4 * (packet[header + 12] >> 4)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
