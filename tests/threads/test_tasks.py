"""Tasks whose waiters are interrupted at bad moments."""

from __future__ import annotations

import threading

import pytest

from hubzarr.threads import Task


class Interrupted:
    """A lock: whoever takes it is interrupted before doing anything more, once."""

    def __init__(self, lock):
        self.lock = lock
        self.due = True

    def acquire(self, timeout=-1):
        got = self.lock.acquire(timeout=timeout)
        if got and self.due:
            self.due = False
            raise KeyboardInterrupt
        return got

    def release(self):
        self.lock.release()


def test_an_interrupted_waiter_keeps_nobody_else_waiting():
    begun, go, results = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go.wait(20)
        return 7

    task = Task(work)
    task._finished = Interrupted(task._finished)
    runner = threading.Thread(target=task.run, daemon=True)
    runner.start()
    begun.wait(20)
    release = threading.Timer(0.2, go.set)
    release.start()
    with pytest.raises(KeyboardInterrupt):
        task.result()

    def look():
        results.append(task.result())

    others = [threading.Thread(target=look, daemon=True) for _ in range(2)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(20)
    assert results == [7, 7]


def test_waiters_of_the_same_moment_all_go_on():
    task, results = Task(lambda: 7), []
    task._finished = Interrupted(task._finished)

    def look():
        try:
            results.append(task.result())
        except KeyboardInterrupt:
            results.append("interrupted")

    others = [threading.Thread(target=look, daemon=True) for _ in range(3)]
    for thread in others:
        thread.start()
    task.run()
    for thread in others:
        thread.join(20)
    assert sorted(map(str, results)) in (["7", "7", "7"], ["7", "7", "interrupted"])


def test_waiting_has_an_end():
    task = Task(lambda: 7)
    assert not task.wait(0)
    assert not task.wait(0.01)
    assert task.cancel()
    assert task.wait(0)
    assert task.done()
