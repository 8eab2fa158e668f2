"""Workers: this thread, others, other processes, or those of a dask cluster."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Protocol

from hubzarr.computing.plans import Plan
from hubzarr.computing.working import Batch, Job, portable, work
from hubzarr.errors import InvalidError
from hubzarr.media.extras import need

__all__ = ["SCHEDULERS", "Pending", "Workers", "open_workers"]

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
    """

    window: int

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        """Begin a batch."""
        ...


@contextlib.contextmanager
def open_workers(scheduler: str, num_workers: int, job: Job) -> Iterator[Workers]:
    """Workers for one evaluation. They stop soon after an exception.

    Parameters
    ----------
    scheduler : str
        One of `SCHEDULERS`.
    num_workers : int
        How many; 0: none but this thread, or all of a dask cluster.
    job : Job
        What they do.

    Examples
    --------
    >>> from hubzarr.computing.collecting import Names
    >>> job = Job((lambda x, out: out.y.append(x + 1),), None, Names(("y",), ("y",)))
    >>> with open_workers("threads", 2, job) as workers:
    ...     workers.submit({}, [1, 2, 3]).result().columns["y"].values
    [2, 3, 4]
    """
    if scheduler not in SCHEDULERS:
        raise InvalidError(
            f"no scheduler {scheduler!r}; expected serial, threads, processes or distributed"
        )
    kind = SCHEDULERS[scheduler]
    if kind == "serial" or (kind != "distributed" and num_workers == 0):
        yield _Serial(job)
        return
    opened = {"threads": _threads, "processes": _processes, "distributed": _cluster}[kind]
    with opened(num_workers, job) as workers:
        yield workers


class _Serial:
    """Works when somebody waits for the result."""

    window = 1

    def __init__(self, job: Job) -> None:
        self._job = job

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        return _Later(partial(work, self._job, plans, items))


class _Later:
    def __init__(self, call: Any) -> None:
        self._call = call

    def result(self) -> Batch:
        batch: Batch = self._call()
        return batch


# -- threads ----------------------------------------------------------------------------


@contextlib.contextmanager
def _threads(num_workers: int, job: Job) -> Iterator[Workers]:
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="hubzarr-compute")
    workers = _Threads(pool, num_workers, job)
    try:
        yield workers
    finally:
        workers.stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


class _Threads:
    def __init__(self, pool: ThreadPoolExecutor, num_workers: int, job: Job) -> None:
        self._pool = pool
        self._job = job
        self.window = 2 * num_workers
        self.stop = threading.Event()

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        return self._pool.submit(work, self._job, plans, items, self.stop)


# -- processes --------------------------------------------------------------------------


@contextlib.contextmanager
def _processes(num_workers: int, job: Job) -> Iterator[Workers]:
    from dask import multiprocessing as dask_processes

    context: Any = dask_processes.get_context  # as the settings of dask say; it carries no types
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=context(),
        initializer=dask_processes.initialize_worker_process,
    )
    try:
        yield _Remote(pool.submit, 2 * num_workers, job)
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
    """Sends batches to other processes, as dask does: by value where a name won't do."""

    def __init__(self, submit: Any, window: int, job: Job) -> None:
        self._submit = submit
        self.window = window
        self._job = _packed(job)
        self._plans: tuple[Any, bytes] = (None, b"")

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> Pending:
        if self._plans[0] is not plans:
            self._plans = plans, _packed(plans)
        pending: Pending = self._submit(_work_there, self._job, self._plans[1], _packed(items))
        return pending


def _packed(value: Any) -> bytes:
    import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(value)
    except InvalidError:
        raise
    except Exception as error:
        raise InvalidError(
            f"this can't be sent to other processes: {error}; leave out what does not travel "
            'from the arguments and inputs, or use scheduler="threads"'
        ) from error
    return packed


@lru_cache(maxsize=8)
def _kept(packed: bytes) -> Any:
    return _unpacked(packed)


def _unpacked(packed: bytes) -> Any:
    import cloudpickle

    return cloudpickle.loads(packed)


def _work_there(job: bytes, plans: bytes, items: bytes) -> Batch:
    """Work on a batch in another process."""
    batch = work(_kept(job), _kept(plans), _unpacked(items))
    batch.errors = {i: portable(error) for i, error in batch.errors.items()}
    return batch


# -- dask clusters ----------------------------------------------------------------------


@contextlib.contextmanager
def _cluster(num_workers: int, job: Job) -> Iterator[Workers]:
    """The current client's workers, or those of a local cluster made for this evaluation."""
    distributed = need("distributed", extra="distributed", what="computing on a dask cluster")
    with contextlib.ExitStack() as stack:
        try:
            client = distributed.get_client()
        except ValueError:
            client = stack.enter_context(
                distributed.Client(
                    n_workers=num_workers or None, threads_per_worker=1, dashboard_address=None
                )
            )
        threads = sum(client.nthreads().values())
        pending: list[Any] = []

        def submit(*args: Any) -> Any:
            pending[:] = [future for future in pending if not future.done()]
            pending.append(client.submit(*args, pure=False))
            return pending[-1]

        try:
            yield _Remote(submit, 2 * max(1, min(threads, num_workers or threads)), job)
        except BaseException:
            client.cancel(pending)
            raise
