"""Workers: this thread, others, other processes, or those of a dask cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from hubzarr.computing.batches import Batch
from hubzarr.computing.cluster import open_cluster
from hubzarr.computing.packing import packed, work_there
from hubzarr.computing.plans import Plan
from hubzarr.computing.working import Work
from hubzarr.datasets.parallel_owner import Rooms
from hubzarr.errors import InvalidError

__all__ = ["SCHEDULERS", "Pending", "Workers", "known_scheduler", "open_workers"]

#: Names of schedulers, those of Hub 2 too.
SCHEDULERS = {
    "serial": "serial",
    "threads": "threads",
    "threaded": "threads",
    "processes": "processes",
    "processed": "processes",
    "distributed": "distributed",
}


class Pending(Protocol):
    """A batch that is being worked on."""

    def result(self) -> Batch:
        """Wait for it."""
        ...


class Workers(Protocol):
    """Whoever works on batches.

    Attributes
    ----------
    window : int
        Batches that keep all of them busy.
    storing : int
        How many of them store samples by themselves; 0: what they give is for the caller to
        store.
    """

    window: int
    storing: int

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        """Begin a batch."""
        ...


def known_scheduler(scheduler: str) -> str:
    """One of the four schedulers, by any of their names.

    Examples
    --------
    >>> known_scheduler("threaded")
    'threads'
    """
    if scheduler not in SCHEDULERS:
        raise InvalidError(
            f"no scheduler {scheduler!r}; expected serial, threads, processes or distributed"
        )
    return SCHEDULERS[scheduler]


@contextlib.contextmanager
def open_workers(
    scheduler: str, num_workers: int, work: Work, rooms: Rooms | None = None
) -> Iterator[Workers]:
    """Workers for one evaluation. They stop soon after an exception.

    Parameters
    ----------
    scheduler : str
        One of `SCHEDULERS`.
    num_workers : int
        How many; 0: none but this thread, or all of a dask cluster.
    work : Work
        What they do.
    rooms : Rooms, optional
        Where those of a cluster store samples.

    Examples
    --------
    >>> from hubzarr.computing.collecting import Names
    >>> from hubzarr.computing.working import Job
    >>> job = Job((lambda x, out: out.y.append(x + 1),), None, Names(("y",), ("y",)))
    >>> with open_workers("threads", 2, job) as workers:
    ...     workers.submit({}, [1, 2, 3]).result().columns["y"].values
    [2, 3, 4]
    """
    kind = known_scheduler(scheduler)
    if kind == "serial" or (kind != "distributed" and num_workers == 0):
        yield _Serial(work)
    elif kind == "distributed":
        with open_cluster(num_workers, work, rooms) as cluster:
            yield cluster
    else:
        opened = _threads if kind == "threads" else _processes
        with opened(num_workers, work) as workers:
            yield workers


class _Serial:
    """Works when somebody waits for the result."""

    window = 1
    storing = 0

    def __init__(self, work: Work) -> None:
        self._work = work

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        return _Later(partial(self._work.work, plans, items))


class _Later:
    def __init__(self, call: Any) -> None:
        self._call = call

    def result(self) -> Batch:
        batch: Batch = self._call()
        return batch


# -- threads ----------------------------------------------------------------------------


@contextlib.contextmanager
def _threads(num_workers: int, work: Work) -> Iterator[Workers]:
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="hubzarr-compute")
    workers = _Threads(pool, num_workers, work)
    try:
        yield workers
    finally:
        workers.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


class _Threads:
    storing = 0

    def __init__(self, pool: ThreadPoolExecutor, num_workers: int, work: Work) -> None:
        self._pool = pool
        self._work = work
        self.window = 2 * num_workers
        self.stop = threading.Event()

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        return self._pool.submit(self._work.work, plans, items, self.stop)


# -- processes --------------------------------------------------------------------------


@contextlib.contextmanager
def _processes(num_workers: int, work: Work) -> Iterator[Workers]:
    from dask import multiprocessing as dask_processes

    context: Any = dask_processes.get_context  # as the settings of dask say; it carries no types
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=context(),
        initializer=dask_processes.initialize_worker_process,
    )
    try:
        yield _Remote(pool, num_workers, work)
    except BaseException:
        _terminate(pool)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _terminate(pool: ProcessPoolExecutor) -> None:
    """End workers in the middle of what they do, which nobody wants any more."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()


class _Remote:
    """Sends batches to other processes."""

    storing = 0

    def __init__(self, pool: ProcessPoolExecutor, num_workers: int, work: Work) -> None:
        self._pool = pool
        self.window = 2 * num_workers
        self._work = packed(work)
        self._plans: tuple[Any, bytes] = (None, b"")

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        if self._plans[0] is not plans:
            self._plans = plans, packed(plans)
        return self._pool.submit(work_there, self._work, self._plans[1], packed(items))
