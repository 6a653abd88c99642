"""The log of a daemon: one line an event on stderr, written by a thread of its own. Owns format and fields.

A fast path (the renewal of a lease) logs too, and journald may be slow: a record is only queued where it happens.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
import time
from enum import StrEnum
from typing import Any, TextIO

FIELDS = ("cluster", "node", "epoch", "seq", "rule")
QUEUED_MAX = 10_000  # records; a blocked stderr must not eat the memory
FLUSH_S = 0.5


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class Log(logging.handlers.QueueHandler):
    """The root logger's only handler; records that find the queue full are dropped and counted, never waited for."""

    queue: queue.Queue[Any]

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        super().__init__(queue.Queue(QUEUED_MAX))
        self.setFormatter(logging.Formatter())  # message and traceback; basicConfig would put its own prefix in
        self.dropped = 0
        writer = logging.StreamHandler(stream)
        writer.setFormatter(formatter)
        self._listener: logging.handlers.QueueListener | None = logging.handlers.QueueListener(self.queue, writer)
        self._listener.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """Wait until all is written, for FLUSH_S at most."""
        with self.queue.all_tasks_done:
            self.queue.all_tasks_done.wait_for(lambda: not self.queue.unfinished_tasks, FLUSH_S)

    def close(self) -> None:
        """Write the rest and end the thread, unless stderr is blocked: then leave it, it ends with the process."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.flush()
            if not self.queue.unfinished_tasks:
                listener.stop()
        super().close()


def start(kind: LogFormat, level: str = "INFO", stream: TextIO | None = None, **always: str) -> Log:
    """Send the root logger through a queue to `stream` (stderr); `always` are fields of every line, such as node.

    Close the result at the end of the process.
    """
    formatter = JsonLine(always) if kind is LogFormat.JSON else TextLine(always)
    log = Log(stream or sys.stderr, formatter)
    logging.basicConfig(level=level, handlers=[log], force=True)
    return log


class _Line(logging.Formatter):
    def __init__(self, always: dict[str, str]) -> None:
        super().__init__()
        self._always = always

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        own = {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        return {**self._always, **own}


class TextLine(_Line):
    """`2026-01-31T12:00:00.123Z INFO kembar.agent: message cluster=main node=db-a`, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in self._fields(record).items())
        message = " | ".join(record.getMessage().splitlines())  # a traceback too is one event, hence one line
        return f"{_utc(record)} {record.levelname} {record.name}: {message}{fields}"


class JsonLine(_Line):
    """One JSON object with time, level, logger, message and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _utc(record), "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        return json.dumps({**line, **self._fields(record)}, ensure_ascii=False, default=str)


def _utc(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
