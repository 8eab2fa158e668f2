"""Asking once for all tasks of a process whether a fork is still open."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hubzarr.errors import StorageError
from hubzarr.session.forks.gate import Gate


def test_one_question_for_all_who_wait() -> None:
    asked = threading.Semaphore(0)
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> bool:
        asked.release()
        return answers.get(timeout=30)

    gate = Gate(ask, 0)
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


def test_an_answer_holds_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = [100.0, 1e9]
    monkeypatch.setattr(time, "monotonic", lambda: clocks[0])
    monkeypatch.setattr(time, "time", lambda: clocks[1])
    asked: list[float] = []

    def ask() -> bool:
        asked.append(clocks[0])
        clocks[0] += 0.1  # the answer may be as old as the question
        clocks[1] += 0.1
        return len(asked) < 5

    gate = Gate(ask, 0.2)
    assert gate.passes()
    clocks[0] += 0.09
    assert gate.passes()
    assert len(asked) == 1
    clocks[0] += 0.02
    assert gate.passes()
    assert len(asked) == 2
    clocks[1] += 60  # the machine slept, or its clock was set
    assert gate.passes()
    clocks[1] -= 60
    assert gate.passes()
    assert len(asked) == 4
    clocks[0] += 1
    assert not gate.passes()
    clocks[0] += 1
    assert not gate.passes()
    assert len(asked) == 5


def test_a_question_that_failed_is_asked_again() -> None:
    answers = iter([StorageError("no network"), True])

    def ask() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    gate = Gate(ask, 0)
    with pytest.raises(StorageError):
        gate.passes()
    assert gate.passes()
