"""Worker processes and the batches that come from them, in the order of the epoch."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from hubzarr.config import get_config
from hubzarr.errors import InvalidError, InvalidTypeError, TransformError
from hubzarr.loaders.assembling import Skipped
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.options import Options
from hubzarr.loaders.source import Source
from hubzarr.loaders.workers.interrupts import interrupts_later
from hubzarr.loaders.workers.messages import Free, Given, Quit, Run, Stop
from hubzarr.loaders.workers.packing import Bytes, received, unpack
from hubzarr.loaders.workers.segments import Segment
from hubzarr.loaders.workers.worker import Job, work

__all__ = ["WorkerPool"]

#: Seconds that workers have to leave by themselves, and to end once they were told to.
GRACE: Final = 0.5
#: Settings that workers take over.
_SETTINGS: Final = ("cache_bytes", "cache_dir", "cache_size", "offline")


#: Pools whose workers are there.
_open: weakref.WeakSet[WorkerPool] = weakref.WeakSet()
#: Set when this process ends.
_leaving = threading.Event()


@atexit.register
def _close_all() -> None:
    """End workers while Python still can: a loop that was left midway is closed too late."""
    _leaving.set()
    for pool in list(_open):
        pool.close(at_once=True)


class _Worker:
    """A worker as the pool sees it."""

    def __init__(self, process: Any, connection: Connection, slots: int) -> None:
        self.process = process
        self.connection = connection
        self.memory: list[Bytes] = [np.empty(0, np.uint8)] * slots

    def send(self, message: Any) -> None:
        try:
            self.connection.send_bytes(pickle.dumps(message))
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> Given:
        """What the worker has next."""
        try:
            given: Given = pickle.loads(self.connection.recv_bytes())
            if given.grown:
                segment = Segment.receive(self.connection, given.grown)
                self.memory[given.slot] = segment.memory
        except (EOFError, OSError) as error:
            raise self._ended() from error
        return given

    def _ended(self) -> TransformError:
        self.process.join(1)
        code = self.process.exitcode
        how = "ended" if code is None else f"ended with exit code {code}"
        if code is not None and code < 0:
            how = f"was ended by signal {signal.Signals(-code).name}"
        return TransformError(
            f"worker process {self.process.pid} of the loader {how}. If nobody ended it, memory "
            "ran out (fewer workers, smaller batches, a smaller window= help), or a library "
            "crashed (num_workers=0 shows where)"
        )


class WorkerPool:
    """Processes that make the batches of one reader, one loop at a time.

    Parameters
    ----------
    source : Source
    options : Options
    workers : int
    context : str, optional
        How processes start: "fork", "spawn" or "forkserver"; Python's default otherwise.
    begin : callable, optional
        Called in each worker with its number before anything else.
    """

    def __init__(
        self, source: Source, options: Options, workers: int, context: str | None = None,
        begin: Callable[[int], Any] | None = None,
    ) -> None:  # fmt: skip
        self._owner = os.getpid()
        self._serial = 0
        self._workers: list[_Worker] = []
        self._closed = False
        config = get_config()
        settings = {name: getattr(config, name) for name in _SETTINGS}
        settings["threads"] = max(1, config.threads // workers)
        slots = max(1, options.prefetch) + 1
        _open.add(self)
        try:
            for number in range(workers):
                job = Job(source, options, number, workers, slots, settings, begin)
                with interrupts_later():
                    self._workers.append(_started(_context(context), job))
        except BaseException:
            self.close(at_once=True)
            raise

    @property
    def usable(self) -> bool:
        """Whether it is open, and this process did not inherit it by a fork."""
        return not self._closed and self._owner == os.getpid()

    def run(
        self, epoch: int, position: int, to: Framework, skipped: list[Skipped]
    ) -> Iterator[tuple[int, Any]]:
        """Batches of an epoch in their order, with the number of steps up to each.

        Parameters
        ----------
        epoch, position : int
        to : Framework
            What batches are made of here.
        skipped : list
            Samples that workers skipped or replaced are added to it.
        """
        self._serial += 1
        ended = False
        try:
            for worker in self._workers:
                worker.send(Run(self._serial, epoch, position))
            for steps, batch in self._in_order(to, skipped):
                yield steps, to.finish(received(batch, to))
            ended = True
        except GeneratorExit:
            raise
        except Exception:
            if _leaving.is_set():  # a daemon thread, which has nobody to tell any more
                raise SystemExit from None
            raise
        except BaseException:  # Ctrl-C
            self.close(at_once=True)
            raise
        finally:
            if not ended and not self._closed:
                self._stop()

    def _in_order(self, to: Framework, skipped: list[Skipped]) -> Iterator[tuple[int, Any]]:
        """Step s comes from worker s modulo their number, unless all its samples are broken."""
        waiting: list[deque[tuple[int, Any]]] = [deque() for _ in self._workers]
        ended = [False] * len(waiting)
        step = 0
        while not all(ended) or any(waiting):
            number = step % len(waiting)
            here = waiting[number]
            if not here and not ended[number]:
                given = self._next(self._workers[number])
                skipped.extend(given.skipped)
                if given.error is not None:
                    given.error.add_note(given.note)
                    raise given.error
                if given.items is None:
                    ended[number] = True
                else:
                    here.extend(self._taken(self._workers[number], given, to))
            if here and here[0][0] <= step + 1:
                yield here.popleft()
            step += 1

    def _next(self, worker: _Worker) -> Given:
        """What a worker has for this loop; what it had for an earlier one is dropped."""
        while True:
            given = worker.receive()
            if given.serial == self._serial:
                return given
            if given.items is not None:
                worker.send(Free(given.slot))

    def _taken(self, worker: _Worker, given: Given, to: Framework) -> Any:
        """The batches of a message, out of shared memory."""
        if given.items is None:
            return []
        try:
            return unpack(given.items, worker.memory[given.slot], to)
        finally:
            worker.send(Free(given.slot))

    def _stop(self) -> None:
        """Workers need not go on with the epoch; where one has ended, all do."""
        try:
            for worker in self._workers:
                worker.send(Stop())
        except TransformError:
            self.close()
            return
        if not all(worker.process.is_alive() for worker in self._workers):
            self.close()

    def close(self, at_once: bool = False) -> None:
        """End the workers.

        Parameters
        ----------
        at_once : bool
            Without giving them time to leave by themselves.
        """
        if not self.usable:
            return
        self._closed = True
        for worker in self._workers:
            try:
                worker.connection.send_bytes(pickle.dumps(Quit()))
            except OSError:
                pass
        _end([worker.process for worker in self._workers], 0 if at_once else GRACE)
        for worker in self._workers:
            worker.connection.close()
            worker.memory.clear()


def _end(processes: list[Any], grace: float) -> None:
    """Wait for processes, then end them."""
    for how in ("none", "terminate", "kill"):
        for process in processes:
            if how != "none" and process.is_alive():
                getattr(process, how)()
        until = time.monotonic() + grace
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
        grace = GRACE
    for process in processes:
        if not process.is_alive():
            process.close()


def _context(name: str | None) -> Any:
    known = multiprocessing.get_all_start_methods()
    if name is not None and name not in known:
        raise InvalidError(
            f"multiprocessing_context={name!r}: expected one of {', '.join(map(repr, known))}"
        )
    return multiprocessing.get_context(name)


def _started(context: Any, job: Job) -> _Worker:
    ours, theirs = context.Pipe()
    try:
        process = context.Process(
            target=work, args=(theirs, job), name=f"loader-worker-{job.worker}", daemon=True
        )
        process.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        ours.close()
        raise InvalidTypeError(
            f"a worker process can't be started by {context.get_start_method()!r}: {error}. "
            "transform and worker_init_fn have to be functions of a module, not lambdas or "
            "functions within functions; multiprocessing_context='fork' takes any"
        ) from error
    finally:
        theirs.close()
    return _Worker(process, ours, job.slots)
