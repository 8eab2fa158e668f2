"""Races for the same name: threads against threads, processes against processes."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from hubzarr.errors import HubzarrError
from hubzarr.storage.base import Storage

__all__ = ["CannotRaceError", "race_processes", "race_threads", "verdict_of"]

#: For each round, who of the racers won.
type Rounds = list[list[int]]

_WAIT: Final = 60.0
_POLL: Final = 0.5


class CannotRaceError(Exception):
    """Processes could not be started here: that says nothing about the store."""


def race_threads(storage: Storage, folder: str, racers: int, rounds: int) -> Rounds:
    """Who of several threads creates an object, in each round.

    Raises
    ------
    HubzarrError
        What the first racer met that could not try.
    """
    won: Rounds = [[] for _ in range(rounds)]
    failures: list[BaseException] = []
    start = threading.Barrier(racers)

    def race(racer: int) -> None:
        try:
            for number in range(rounds):
                start.wait(_WAIT)
                if storage.create(f"{folder}/{number}", _content(racer)):
                    won[number].append(racer)
        except threading.BrokenBarrierError:
            pass  # whoever broke it says why
        except BaseException as error:
            failures.append(error)
            start.abort()

    threads = [threading.Thread(target=race, args=(n,), daemon=True) for n in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return won


def race_processes(
    open_again: Any, arguments: tuple[Any, ...], folder: str, racers: int, rounds: int
) -> Rounds:
    """The same for processes; each opens the storage by ``open_again(*arguments)``.

    They are started anew, not forked: a fork would share connections and threads.
    """
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(racers), context.Queue()
    processes = [
        context.Process(
            target=_race,
            args=(open_again, arguments, folder, racer, rounds, start, answers),
            daemon=True,
        )
        for racer in range(racers)
    ]
    try:
        with _NoInterrupts():  # Ctrl-C reaches children too, and is ours to handle
            for process in processes:
                process.start()
        return _collected(answers, processes, rounds)
    except (OSError, ImportError) as error:  # no semaphores, no more processes
        raise CannotRaceError(str(error)) from error
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join(5)
        answers.close()
        answers.cancel_join_thread()


def verdict_of(storage: Storage, folder: str, won: Rounds) -> str:
    """What is wrong with the outcome of a race; '' when nothing is."""
    winners = Counter(len(round_) for round_ in won)
    several = max(winners)
    if several > 1:
        return f"up to {several} racers won the same name"
    if winners[0]:
        return f"nobody won {winners[0]} of {len(won)} rounds"
    for number, (winner,) in enumerate(won):
        if storage.get(f"{folder}/{number}") != _content(winner):
            return "the object is not the winner's"
    return ""


class _NoInterrupts:
    """Children started here ignore Ctrl-C, as they inherit it."""

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        self._before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def _race(
    open_again: Any,
    arguments: tuple[Any, ...],
    folder: str,
    racer: int,
    rounds: int,
    start: Any,
    answers: Any,
) -> None:
    """What one process does."""
    try:
        storage = open_again(*arguments)
        for number in range(rounds):
            start.wait(_WAIT)
            won = storage.create(f"{folder}/{number}", _content(racer))
            answers.put((racer, number, won, ""))
    except HubzarrError as error:
        answers.put((racer, -1, False, error.message))
        start.abort()
    except BaseException as error:
        answers.put((racer, -1, False, f"{type(error).__name__}: {error}"))
        start.abort()


def _collected(answers: Any, processes: Sequence[Any], rounds: int) -> Rounds:
    won: Rounds = [[] for _ in range(rounds)]
    deadline = time.monotonic() + _WAIT
    left = len(processes) * rounds
    while left:
        ended = any(process.exitcode for process in processes)
        try:
            racer, number, first, problem = answers.get(timeout=_POLL)
        except queue.Empty:
            if ended or time.monotonic() > deadline:
                said = "ended early" if ended else f"gave no answer in {_WAIT:.0f} s"
                raise CannotRaceError(f"a process {said}") from None
            continue
        if problem:
            raise HubzarrError(problem)
        left -= 1
        if first:
            won[number].append(racer)
    return won


def _content(racer: int) -> bytes:
    return b"racer %d" % racer
