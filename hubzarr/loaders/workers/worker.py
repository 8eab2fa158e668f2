"""What a worker does: batches of its share of each epoch, into shared memory."""

from __future__ import annotations

import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

import numpy as np

from hubzarr.config import configure
from hubzarr.loaders.assembling import Skipped
from hubzarr.loaders.options import Options
from hubzarr.loaders.permutation import mixed
from hubzarr.loaders.running import TOGETHER, Reading
from hubzarr.loaders.source import Source
from hubzarr.loaders.workers.messages import (
    Free,
    Given,
    Quit,
    Run,
    portable,
    portable_skipped,
)
from hubzarr.loaders.workers.packing import MARGIN, Packed, WorkerFramework, pack, place
from hubzarr.loaders.workers.segments import Segment

__all__ = ["Job", "work"]

#: Seconds after which a worker looks whether its parent is still there.
LOOK: Final = 1.0


class Job(NamedTuple):
    """What a worker gets when it begins.

    Attributes
    ----------
    source : Source
    options : Options
    worker, workers : int
    slots : int
        Batches that may wait to be taken.
    settings : dict
        Of hubzarr, in this process.
    begin : callable, optional
        The user's function of the worker's number.
    """

    source: Source
    options: Options
    worker: int
    workers: int
    slots: int
    settings: dict[str, Any]
    begin: Callable[[int], Any] | None


def work(connection: Connection, job: Job) -> None:
    """Make batches until told to leave.

    Parameters
    ----------
    connection : Connection
        To the pool.
    job : Job
    """
    # Ctrl-C reaches all processes of a terminal; the parent tells its workers what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_watch, args=(os.getppid(),), name="loader-watch", daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        _Worker(connection, job).run()


def _watch(parent: int) -> None:
    """Leave when the parent was killed, whatever the worker is at."""
    process = parent_process()
    # Brothers may hold what tells that the parent lives; under a fork server, the process that
    # the worker descends from is another one.
    while os.getppid() == parent and (process is None or process.is_alive()):
        time.sleep(LOOK)
    os._exit(1)


class _Left(Exception):
    """The worker was told to leave."""


class _Worker:
    """A worker at work."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection = connection
        self._job = job
        self._to = WorkerFramework(direct=job.options.batch_size is not None)
        self._reading = Reading(job.source, job.options, self._to)
        self._free = deque(range(job.slots))
        self._memory: list[Any] = [np.empty(0, np.uint8)] * job.slots
        self._run: Run | None = None
        self._stopped = False
        self._failed: Exception | None = None
        try:
            configure(**job.settings)
            if job.begin is not None:
                job.begin(job.worker)
        except Exception as error:
            self._failed = error

    def run(self) -> None:
        """Go through epochs until told to leave."""
        try:
            while True:
                while self._run is None:
                    self._listen()
                run, self._run = self._run, None
                self._epoch(run)
        except _Left:
            pass

    def _listen(self) -> None:
        """Take one message of the pool."""
        message = pickle.loads(self._connection.recv_bytes())
        if isinstance(message, Free):
            self._free.append(message.slot)
        elif isinstance(message, Run):
            self._run = message
        elif isinstance(message, Quit):
            raise _Left
        else:
            self._stopped = True

    def _slot(self) -> int | None:
        """A slot whose batch has been taken; None when no more batches are wanted."""
        while not self._free or self._connection.poll(0):
            self._listen()
            if self._stopped or self._run is not None:
                return None
        return self._free.popleft()

    # -- epochs ------------------------------------------------------------------

    def _epoch(self, run: Run) -> None:
        """Give all batches of an epoch, and at last that it has ended."""
        self._stopped = False
        job, error = self._job, self._failed
        _seed(job, run)
        made = self._batches(run)
        while error is None:
            slot = self._slot()
            if slot is None:
                break
            try:
                packed = self._packed(made, slot)
            except Exception as failure:
                error, packed = failure, None
            if packed is None:
                self._free.append(slot)
                break
            self._give(run.serial, slot, *packed)
        made.close()
        end = Given(run.serial, skipped=self._skipped())
        if error is not None:
            led = "".join(traceback.format_exception(error)).rstrip()
            note = f"In worker {job.worker}:\n{led}"
            end = end._replace(error=portable(error), note=note)
        self._send(end)

    def _batches(self, run: Run) -> Generator[Any]:
        """An epoch; it is begun, and the data opened, with the first batch."""
        job = self._job
        yield from self._reading.batches(
            run.epoch, run.position, job.worker, job.workers, ahead_by=0
        )

    def _packed(self, made: Iterator[Any], slot: int) -> tuple[Packed, list[Any], int] | None:
        """The next batch, or some samples."""
        self._to.begin(self._memory[slot])
        items = list(islice(made, TOGETHER if self._job.options.batch_size is None else 1))
        return pack(items, self._memory[slot], self._to.used) if items else None

    def _give(self, serial: int, slot: int, packed: Packed, arrays: list[Any], used: int) -> None:
        """Put arrays into shared memory, of which there may have to be more, and tell the pool."""
        grown = 0
        if used > len(self._memory[slot]):
            grown = int(used * MARGIN)
            segment = Segment(grown)
            self._memory[slot] = segment.memory
        place(packed, arrays, self._memory[slot])
        self._send(Given(serial, packed, slot, grown, self._skipped()))
        if grown:
            segment.send(self._connection)

    def _skipped(self) -> list[Skipped]:
        """Samples that were skipped since this was last asked."""
        found = portable_skipped(self._reading.skipped)
        self._reading.skipped.clear()
        return found

    def _send(self, given: Given) -> None:
        self._connection.send_bytes(pickle.dumps(given, protocol=5))


def _seed(job: Job, run: Run) -> None:
    """Random numbers of transforms differ by worker and epoch, and come again in another run."""
    seed = mixed(job.options.seed & 0xFFFFFFFF, run.epoch, job.options.rank, job.worker)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed & (2**63 - 1))
        # There is a worker for each processor; OpenMP's threads would not survive a fork either.
        torch.set_num_threads(1)
