"""Whether a step of the wall clock lets a stalled commit go (L1).

Two clocks: libfaketime's, which moves what the server reads but not a wait that has begun, and our own library, whose
waits end when its clock passes their end, as the kernel's do when the clock is set. The machine's clock stays as it is.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.experiments.servers import Call, Pair, Say, Setup, eventually, replicating
from lab.fetch import fetch
from lab.mysqld import find_mysqld
from orchestrator.core.errors import Refused

OBSERVE_S = 3.0
DAY_S = 86400
MAX_MS = 4294967295

# Waits in slices, so that a step is noticed within one of them.
STEPPED_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#define SLICE_NS 20000000L

static long offset_s(void) {
    long found = 0;
    FILE *file = fopen(getenv("KEMBAR_CLOCK"), "re");
    if (file) { if (fscanf(file, "%ld", &found) != 1) found = 0; fclose(file); }
    return found;
}
static int real_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(clock, at);
}
int clock_gettime(clockid_t clock, struct timespec *at) {
    int done = real_gettime(clock, at);
    if (!done && clock == CLOCK_REALTIME) at->tv_sec += offset_s();
    return done;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    for (;;) {
        struct timespec now, slice;
        clock_gettime(CLOCK_REALTIME, &now);
        if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec))
            return ETIMEDOUT;
        real_gettime(CLOCK_REALTIME, &slice);
        slice.tv_nsec += SLICE_NS;
        if (slice.tv_nsec >= 1000000000L) { slice.tv_sec++; slice.tv_nsec -= 1000000000L; }
        int done = real(cond, mutex, &slice);
        if (done != ETIMEDOUT) return done;
    }
}
"""


@dataclass
class Stepped:
    """A preloaded clock, and how far it is ahead of the real one."""

    before: tuple[str, ...]
    file: Path
    spell: Callable[[int], str]
    ahead_s: int = 0

    def step(self, seconds: int) -> None:
        """From where it is: a step back to where it was would be another experiment."""
        self.ahead_s += seconds
        self.file.write_text(self.spell(self.ahead_s))


@contextmanager
def faketime() -> Iterator[Stepped]:
    folder = fetch(("libfaketime",), suite="unstable", closure=False)
    library = next(folder.glob("usr/lib/*/faketime/libfaketimeMT.so.1"))
    with tempfile.TemporaryDirectory(prefix="kembar-exp-clock-", dir="/var/tmp") as made:
        file = Path(made) / "offset"
        words = ("env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_CACHE_DURATION=1")
        stepped = Stepped((*words, "FAKETIME_DONT_FAKE_MONOTONIC=1"), file, lambda seconds: f"+{seconds}s\n")
        stepped.step(0)
        yield stepped


@contextmanager
def own() -> Iterator[Stepped]:
    with tempfile.TemporaryDirectory(prefix="kembar-exp-clock-", dir="/var/tmp") as made:
        source, library, file = (Path(made) / name for name in ("clock.c", "clock.so", "offset"))
        source.write_text(STEPPED_CLOCK)
        try:
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Refused(f"no C compiler that can build a clock: {error}") from error
        stepped = Stepped(
            ("env", f"LD_PRELOAD={library}", f"KEMBAR_CLOCK={file}"), file, lambda seconds: f"{seconds}\n"
        )
        stepped.step(0)
        yield stepped


CLOCKS = {"libfaketime": faketime, "a clock whose waits follow it": own}
# Timeout of semi-sync in milliseconds, and the step in seconds.
STEPS: Mapping[str, tuple[int, int]] = {
    "timeout 60 s, step 0": (60_000, 0),
    "timeout 60 s, step +120 s": (60_000, 120),
    "timeout 60 s, step -120 s": (60_000, -120),
    "timeout 49.7 days, step +6 hours": (MAX_MS, 6 * 3600),
    "timeout 49.7 days, step +40 days": (MAX_MS, 40 * DAY_S),
    "timeout 49.7 days, step +60 days": (MAX_MS, 60 * DAY_S),
}


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` stalled commits for each clock and step: whether its client heard OK within 3 s of the step."""
    found: dict[str, Any] = {}
    for clock, make in CLOCKS.items():
        with make() as stepped, replicating(Setup(before=stepped.before)) as pair:
            for name, (timeout_ms, step_s) in STEPS.items():
                seen = [_strike(pair, stepped, timeout_ms, step_s) for _ in range(runs)]
                found[f"{clock}: {name}"] = {key: dict(Counter(one[key] for one in seen)) for key in seen[0]}
                say(f"{clock}: {name}: {found[f'{clock}: {name}']}")
    return {"mysql_version": find_mysqld().version, "steps": found}


def _strike(pair: Pair, stepped: Stepped, timeout_ms: int, step_s: int) -> dict[str, str]:
    primary = pair.primary
    pair.armed()
    primary.sql(f"SET GLOBAL rpl_semi_sync_source_timeout = {timeout_ms}")
    client = primary.session("app")
    client.login(5)
    try:
        with pair.standby.frozen():
            commit = Call(lambda: client.ask("INSERT INTO shop.t (v) VALUES (1)", within_s=60))
            eventually(lambda: primary.status("Rpl_semi_sync_source_wait_sessions") == "1", 10, "a stalled commit")
            time.sleep(0.2)
            stepped.step(step_s)
            commit.ended(OBSERVE_S)
            outcome = commit.outcome
            on = primary.status("Rpl_semi_sync_source_status")
            primary.sql("SET GLOBAL rpl_semi_sync_source_enabled = OFF", within_s=20)
    finally:
        client.close()
    return {"client": outcome, "semi-sync afterwards": on}
