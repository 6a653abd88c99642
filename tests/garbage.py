"""What may stand in a node of ZooKeeper instead of its record, for every test that puts it there."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from orchestrator.core.wire import SIZE_MAX

WRONG_VALUES: list[Any] = [None, True, -1, 10**30, 1e999, float("nan"), "x", "", [], {}, ["x"], {"x": 1}, 7, 0.5]
# One of each kind, where running them all would take too long.
KINDS: dict[str, bytes] = {
    "empty": b"",
    "bytes": b"\x00\xff\xfe garbage",
    "half a record": b'{"format":1,"epoch":7,"seq":4',
    "another format": b'{"format":2,"epoch":7,"seq":41,"primary":"db-a","mode":"SYNC","phase":"STEADY"}',
    "no object": b"[1,2,3]",
    "a wrong type": b'{"format":1,"epoch":"7","state":7,"node":7,"active":7,"events":7,"profile":7,"owner":7,"id":7}',
    "nesting": b'{"format":1,"x":' + b"[" * 50_000,
    "too much": b'{"format":1,"x":"' + b"x" * SIZE_MAX + b'"}',
}


def instead_of(record: bytes) -> st.SearchStrategy[bytes | None]:
    """Anything but a whole record: None is a node that is gone. Some of it may still be readable by chance."""
    fields: dict[str, Any] = json.loads(record)

    def with_wrong(name: str, value: Any) -> bytes:
        return json.dumps({**fields, name: value}).encode()

    return (
        st.none()
        | st.binary(max_size=60)
        | st.sampled_from(sorted(KINDS.values()))
        | st.integers(0, len(record) - 1).map(lambda end: record[:end])
        | st.builds(with_wrong, st.sampled_from(sorted(fields)), st.sampled_from(WRONG_VALUES))
        | st.sampled_from(sorted(fields)).map(
            lambda gone: json.dumps({name: value for name, value in fields.items() if name != gone}).encode()
        )
    )
