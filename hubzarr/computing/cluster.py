"""Workers of a dask cluster, who store the samples that they compute.

A batch is computed in one task, and its samples stay on the worker. A second task tells how
large they are. Then the owner sets room aside for them, in the order of batches, and a third
task stores them there, where they are. What comes back is small. A worker that dies costs time
only: dask computes its batches again, and what it had stored is never referred to.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hubzarr.computing.batches import Batch
from hubzarr.computing.packing import kept, packed, work_there
from hubzarr.computing.plans import Plan
from hubzarr.computing.working import Work
from hubzarr.datasets.parallel import Room, Size, size_of, store
from hubzarr.datasets.parallel_owner import Rooms
from hubzarr.errors import HubzarrError, TransformError
from hubzarr.media.extras import need
from hubzarr.session.forks.forking import open_fork

__all__ = ["open_cluster"]

#: Tasks that store, and so make room in memory, come before those that compute.
_SOONER = 10
#: Warnings are shown at the caller's line.
_PACKAGE = str(Path(__file__).parents[1])


@contextlib.contextmanager
def open_cluster(num_workers: int, work: Work, rooms: Rooms | None) -> Iterator[Cluster]:
    """The current client's workers, or those of a local cluster made for this evaluation.

    Parameters
    ----------
    num_workers : int
        How many threads of them to keep busy; 0: all.
    work : Work
        What they do.
    rooms : Rooms, optional
        Where they store samples; None: they send them to the caller.
    """
    distributed = need("distributed", extra="distributed", what="computing on a dask cluster")
    with contextlib.ExitStack() as stack:
        try:
            client = distributed.get_client()
        except ValueError:
            client = stack.enter_context(
                distributed.Client(
                    n_workers=num_workers or None,
                    threads_per_worker=1,
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": ":0"},  # any port: 8787 may be taken
                )
            )
        threads = max(1, sum(client.nthreads().values()))
        cluster = Cluster(client, min(threads, num_workers or threads), work, rooms)
        try:
            yield cluster
        except BaseException:
            cluster.cancel()
            raise


@dataclass(frozen=True)
class Sizes:
    """What the owner has to know of a batch that lies on a worker.

    Parameters
    ----------
    rows : dict
        Number of samples by name of the tensor.
    ready : dict
        How much they take, for those that are prepared.
    failed : bool
        Whether there were errors.
    """

    rows: dict[str, int]
    ready: dict[str, Size]
    failed: bool

    @staticmethod
    def of(batch: Batch) -> Sizes:
        """The sizes of a batch."""
        columns = batch.columns.items()
        return Sizes(
            {name: len(column.values) for name, column in columns},
            {name: size_of(column.values) for name, column in columns if column.ready},
            bool(batch.errors),
        )


def store_there(fork: bytes, rooms: dict[str, Room], batch: Batch) -> Batch:
    """Store samples of a batch, on the worker that has it, if that one can reach the store."""
    out = replace(batch, columns=dict(batch.columns))
    try:
        opened = kept(fork)
        open_fork(opened)
    except HubzarrError as error:
        return replace(out, hindrance=str(error))
    for name, room in rooms.items():
        column = batch.columns.get(name)
        stored = None if column is None else store(opened, room, column.values)
        if column is not None and stored is not None:
            out.columns[name] = type(column)(stored, column.counts, True)
    return out


@dataclass(eq=False)
class _Batch:
    """A batch on its way.

    Attributes
    ----------
    sent : int
        Bytes of its inputs.
    computed, sizes, answer : Future
        The whole batch; its sizes; what the owner gets, once that is decided on.
    known : Sizes or None
        The sizes, once they came.
    rooms : dict
        Where its samples are stored.
    """

    cluster: Cluster
    sent: int
    computed: Any
    sizes: Any = None
    answer: Any = None
    known: Sizes | None = None
    rooms: dict[str, Room] = field(default_factory=dict)

    def result(self) -> Batch:
        """Wait for it; all earlier batches have to be written by then."""
        return self.cluster.take(self)

    @property
    def futures(self) -> list[Any]:
        """All tasks."""
        return [task for task in (self.computed, self.sizes, self.answer) if task is not None]


class Cluster:
    """Workers of a client.

    Parameters
    ----------
    client : distributed.Client
    threads : int
        How many to keep busy.
    work : Work
    rooms : Rooms or None
    """

    def __init__(self, client: Any, threads: int, work: Work, rooms: Rooms | None) -> None:
        self.window = 2 * threads
        self.storing = 0 if rooms is None else threads
        self._client = client
        self._work = packed(work)
        self._ignore_errors = work.ignore_errors
        self._plans: tuple[Any, bytes] = (None, b"")
        self._rooms = rooms
        self._fork: tuple[Any, bytes] = (None, b"")
        self._queue: deque[_Batch] = deque()

    def submit(self, plans: Mapping[str, Plan], items: Sequence[Any]) -> _Batch:
        """Begin a batch."""
        if self._plans[0] is not plans:
            self._plans = plans, packed(plans)
        sent = packed(items)
        computed = self._client.submit(work_there, self._work, self._plans[1], sent, pure=False)
        batch = _Batch(self, len(sent), computed)
        if self._rooms is None:
            batch.answer = computed
        else:
            batch.sizes = self._client.submit(Sizes.of, computed, pure=False, priority=_SOONER)
        self._queue.append(batch)
        self._decide()
        return batch

    def cancel(self) -> None:
        """Nobody wants what is under way."""
        self._client.cancel([task for batch in self._queue for task in batch.futures])

    def take(self, batch: _Batch) -> Batch:
        """The oldest batch, once it is done."""
        distributed = need("distributed", extra="distributed", what="computing on a dask cluster")
        while batch.answer is None or not batch.answer.done():
            undecided = next((each.sizes for each in self._queue if each.answer is None), None)
            awaited = batch.sizes if batch.answer is None else batch.answer
            both = [awaited] if undecided in (None, awaited) else [awaited, undecided]
            distributed.wait(both, return_when="FIRST_COMPLETED")
            self._decide()
        answer = batch.answer
        if batch.rooms and self._rooms is not None and not self._rooms.hold(batch.rooms):
            answer = batch.computed  # it was stored where it does not belong any more
        try:
            found: Batch = answer.result()
        except distributed.KilledWorker as error:
            raise TransformError(
                f"workers of the cluster died again and again on one batch of inputs: {error}. "
                "They may have too little memory: give them more, or fewer threads"
            ) from error
        self._queue.remove(batch)
        found.sent = batch.sent
        if found.hindrance and self.storing:
            self._give_up(found.hindrance)
        return found

    def _give_up(self, why: str) -> None:
        """Have all samples sent to the owner from now on."""
        self.storing = 0
        warnings.warn(
            f"workers can't store what they compute: {why}. So all of it is sent here and stored "
            "by this process, which takes longer",
            RuntimeWarning,
            skip_file_prefixes=(_PACKAGE,),
        )

    def _decide(self) -> None:
        """Set room aside for batches that were computed, in their order."""
        ahead: Counter[str] | None = Counter()
        for batch in self._queue:
            if batch.sizes is None:
                return
            if batch.known is None and batch.answer is None:
                if not batch.sizes.done():
                    return
                if batch.sizes.status == "finished":
                    batch.known = batch.sizes.result()
                self._decide_on(batch, ahead)
            if batch.known is None or not self._is_settled(batch.known):
                ahead = None
            elif ahead is not None:
                ahead += Counter(batch.known.rows)

    def _is_settled(self, sizes: Sizes) -> bool:
        """Whether no row of a batch can go any more, other than with all of them."""
        return not self._ignore_errors or len(sizes.ready) == len(sizes.rows)

    def _decide_on(self, batch: _Batch, ahead: Counter[str] | None) -> None:
        """Let a batch be stored where it is, or be sent to the owner."""
        batch.answer, sizes = batch.computed, batch.known
        if sizes is None or self._rooms is None or not self.storing:
            return
        if sizes.failed and not self._ignore_errors:
            return
        batch.rooms = self._rooms.aside(sizes.ready, ahead if self._is_settled(sizes) else None)
        if batch.rooms:
            fork = self._rooms.fork(batch.rooms)
            if self._fork[0] is not fork:
                self._fork = fork, packed(fork)
            batch.answer = self._client.submit(
                store_there, self._fork[1], batch.rooms, batch.computed,
                pure=False, priority=_SOONER,
            )  # fmt: skip
