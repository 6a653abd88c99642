"""A signal is heard by the main thread, whichever thread takes it."""

from __future__ import annotations

import os
import signal
import threading
from itertools import islice

import pytest

from orchestrator.process.signals import received


def test_one_that_another_thread_took_is_heard():
    """As the second of two is, if it comes before the first was looked at."""
    with received(signal.SIGHUP, signal.SIGTERM) as each:
        thread = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGHUP))
        thread.start()
        thread.join()
        assert next(each) == signal.SIGHUP


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_each_is_told_in_its_turn(first):
    second = signal.SIGTERM if first is signal.SIGHUP else signal.SIGHUP
    with received(signal.SIGHUP, signal.SIGTERM) as each:
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        assert list(islice(each, 2)) == [first, second]


def test_what_was_done_about_them_before_is_done_again():
    before = signal.getsignal(signal.SIGHUP)
    with received(signal.SIGHUP):
        assert signal.getsignal(signal.SIGHUP) != before
    assert signal.getsignal(signal.SIGHUP) == before
