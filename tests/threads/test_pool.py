"""Work on many items at once: order, errors, interrupts."""

from __future__ import annotations

import signal
import threading

import pytest

from hubzarr.threads import map_all


def test_results_come_in_the_order_of_the_items():
    assert map_all(lambda x: x * x, range(100), 16, batch=3) == [x * x for x in range(100)]


def test_an_error_is_raised_when_all_have_ended():
    began, ended = threading.Semaphore(0), []

    def work(item):
        if item == 0:
            for _ in range(3):
                began.acquire()
            raise ValueError("the first")
        began.release()
        ended.append(item)
        return item

    with pytest.raises(ValueError, match="the first"):
        map_all(work, range(4), 16)
    assert sorted(ended) == [1, 2, 3]


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_does_not_wait_for_a_store_that_never_answers():
    never, began = threading.Event(), threading.Event()

    def work(item):
        if item == 0:
            began.wait()
            signal.raise_signal(signal.SIGINT)
        began.set()
        never.wait()

    try:
        with pytest.raises(KeyboardInterrupt):
            map_all(work, range(4), 16)
    finally:
        never.set()
