"""Asking once for all tasks of a process whether a fork is still open."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hubzarr.errors import StorageError
from hubzarr.session.fork_gate import Gate


def test_one_question_for_all_who_wait() -> None:
    asked = threading.Semaphore(0)
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> bool:
        asked.release()
        return answers.get(timeout=30)

    gate = Gate(ask)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(gate.passes)
        assert asked.acquire(timeout=30)
        others = [pool.submit(gate.passes) for _ in range(8)]
        while len(gate._changed._waiters) < 8:
            time.sleep(0.001)
        answers.put(True)  # to a question that was asked before they came
        assert asked.acquire(timeout=30)
        assert first.result()
        assert not any(other.done() for other in others)
        answers.put(False)
        assert [other.result() for other in others] == [False] * 8
    assert not asked.acquire(blocking=False)


def test_a_question_that_failed_is_asked_again() -> None:
    answers = iter([StorageError("no network"), True])

    def ask() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    gate = Gate(ask)
    with pytest.raises(StorageError):
        gate.passes()
    assert gate.passes()
