"""What one process stores for a chunk: nothing that any thread wrote is left out."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import StorageError
from hubzarr.session.fork_gate import Gate
from hubzarr.session.fork_versions import ChunkVersions, Write


def counted(objects: dict[int, tuple[Write, set[int]]]) -> set[int]:
    """All that the owner sees: of objects made on top of each other, it takes the last."""
    out: set[int] = set()
    last: set[int] = set()
    for turn in sorted(objects):
        write, content = objects[turn]
        if write.apart:
            out |= last
        last = content
    return out | last


@settings(max_examples=400)
@given(st.lists(st.integers(0, 3), max_size=40), st.sets(st.integers(0, 40)))
def test_nothing_is_left_out(order: list[int], failing: set[int]) -> None:
    """Threads that read, begin to store what they read with a mark of their own, and end.

    `order` says whose turn it is; writes with a mark in `failing` fail.
    """
    turns: list[int] = []
    versions = ChunkVersions(lambda group, turn, write_id: turns.append(write_id))
    visible: dict[int, set[int]] = {0: set()}
    objects: dict[int, tuple[Write, set[int]]] = {}
    reading: dict[int, set[int]] = {}
    storing: dict[int, tuple[AbstractContextManager[Write], Write, int, int]] = {}
    marks = iter(range(100))
    done: set[int] = set()
    begun = 0

    def end(thread: int) -> None:
        context, write, turn, mark = storing.pop(thread)
        content = reading.pop(thread) | {mark}
        if mark in failing:
            error = StorageError("the disk is full")
            context.__exit__(StorageError, error, None)
            return
        visible[write.write_id] = content
        objects[turn] = write, content
        done.add(mark)
        context.__exit__(None, None, None)

    for thread in order:
        if thread in storing:
            end(thread)
        elif thread in reading:
            context = versions.writing(0, "chunk")
            storing[thread] = context, context.__enter__(), begun, next(marks)
            begun += 1
        else:
            reading[thread] = visible[versions.read("chunk")]
    for thread in list(storing):
        end(thread)
    assert counted(objects) >= done
    assert len(set(turns)) == begun


def test_chunks_share_write_ids() -> None:
    signed: list[tuple[int, int]] = []
    versions = ChunkVersions(lambda group, turn, write_id: signed.append((group, turn)))
    keys: list[Hashable] = [*range(50), 7, 7, 8]
    for key in keys:
        with versions.writing(0, key):
            pass
    with versions.writing(1, "another array"):
        pass
    assert signed == [(0, 0), (0, 1), (0, 2), (1, 0)]


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
