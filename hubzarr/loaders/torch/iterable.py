"""`IterableDataset`: batches in the loader's order, for a ``DataLoader`` of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
import torch.distributed
import torch.utils.data

from hubzarr.errors import InvalidError
from hubzarr.loaders.options import checked
from hubzarr.loaders.permutation import mixed
from hubzarr.loaders.running import Reading
from hubzarr.loaders.samples import Loadable, source_of
from hubzarr.loaders.state import resumed, state_of
from hubzarr.loaders.torch.framework import TorchFramework
from hubzarr.loaders.torch.ranks import rank_and_world, with_rank

__all__ = ["IterableDataset"]

#: Workers of a loader, at most.
_WORKERS: Final = 1024
#: Of the numbers that are kept for each worker: what comes next (with the mark of the loop over
#: a ``DataLoader`` that it was set in), and the epoch with which that loop began.
_NEXT, _POSITION, _SKIP, _FIRST = range(4)
#: Bits of an epoch; those above it are the mark.
_EPOCH_BITS: Final = 32


class IterableDataset(torch.utils.data.IterableDataset):  # type: ignore[misc]
    """Batches of samples: a ``torch.utils.data.IterableDataset``.

    It gives whole batches, so the ``DataLoader`` is to make none of its own:
    ``DataLoader(dataset, batch_size=None, num_workers=2)``. Its workers share the batches out
    among themselves. Each iteration is an epoch of its own, also in workers.

    Parameters
    ----------
    data : Dataset, DatasetView, Tensor, Array or View
        It is read as it is committed at this moment.
    batch_size : int, optional
        None: samples one by one.
    **options
        All others of `batches`. ``rank`` and ``world_size`` are by default those of
        ``torch.distributed``, or of the environment that torchrun sets.
    """

    def __init__(self, data: Loadable, batch_size: int | None = 32, **options: Any) -> None:
        source = source_of(data)
        given = {"batch_size": batch_size, **options, **rank_and_world(options)}
        self._reading = Reading(source, checked(source, given), TorchFramework())
        self._has_ranks = options.get("rank") is not None
        # A column for each worker, in memory that they share with this process: whoever runs
        # through an epoch notes in it which one comes next, and reads what is set here.
        self._next = torch.zeros(4, _WORKERS, dtype=torch.int64).share_memory_()
        self._now = (0, 0)
        self._given = 0

    def __getstate__(self) -> dict[str, Any]:
        self._settle_ranks()  # workers that are spawned can't tell
        return self.__dict__

    def _settle_ranks(self) -> None:
        known = torch.distributed.is_available() and torch.distributed.is_initialized()
        if known and not self._has_ranks:
            self._reading = with_rank(self._reading)

    def __len__(self) -> int:
        self._settle_ranks()
        return self._reading.steps().of_rank(self._reading.options.rank)

    def __iter__(self) -> Iterator[Any]:
        self._settle_ranks()
        worker, workers = _worker()
        epoch, position, skip = self._begun(worker)
        self._now, self._given = (epoch, position), skip
        return self._loop(epoch, position, worker, workers)

    def _begun(self, worker: int) -> tuple[int, int, int]:
        """Epoch, position and batches to leave out of an iteration that begins."""
        mark = _mark()
        notes = self._next[_NEXT].tolist()
        marks = [note >> _EPOCH_BITS for note in notes]
        epochs = [note & ((1 << _EPOCH_BITS) - 1) for note in notes]
        if mark and marks[worker] == mark:
            epoch = epochs[worker]
        elif mark and mark in marks:  # another worker was quicker
            epoch = int(self._next[_FIRST, marks.index(mark)])
        else:
            # Not every worker, and maybe none of this loop, has gone through the epochs so far.
            epoch = max(epochs)
        position, skip = self._next[[_POSITION, _SKIP], worker].tolist()
        if epoch != epochs[worker]:
            position = skip = 0
        if marks[worker] != mark:
            self._next[_FIRST, worker] = epoch
        self._set(worker if mark else slice(None), epoch + 1, 0, 0, mark)
        return epoch, position, skip

    def _loop(self, epoch: int, position: int, worker: int, workers: int) -> Iterator[Any]:
        batches = self._reading.batches(epoch, position, worker, workers, skip=self._given)
        for steps, batch in batches:
            self._given = 1 + (steps - 1 - worker) // workers
            yield batch

    # -- state -------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Begin the next iteration, of all workers, at the start of an epoch.

        Parameters
        ----------
        epoch : int
        """
        if type(epoch) is not int or epoch < 0:
            raise InvalidError(f"epoch={epoch!r}: expected an integer from 0 on")
        self._set(slice(None), epoch, 0, 0)
        self._now, self._given = (epoch, 0), 0

    def state_dict(self) -> dict[str, Any]:
        """How far the iteration in this process has come: at its end, to the end of the epoch.

        torchdata's ``StatefulDataLoader`` calls it in each worker.
        """
        epoch, position = self._now
        worker, workers = _worker()
        state = state_of(self._reading, epoch, position)
        return {**state, "worker": worker, "workers": workers, "batches": self._given}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a dataset (or a loader) stood.

        Parameters
        ----------
        state : mapping
            Of a worker, if it is for a worker: there must be as many as there were.

        Raises
        ------
        InvalidError
            It is of other data, of another order, or of another number of workers.
        """
        worker, workers = _worker()
        skip = int(state.get("batches", 0))
        if skip and (state.get("worker"), state.get("workers")) != (worker, workers):
            raise InvalidError(
                f"the state is of worker {state.get('worker')} of {state.get('workers')}, this is "
                f"{worker} of {workers}: take as many workers as before, or ds.pytorch(...), whose "
                "states fit any number"
            )
        self._reading, epoch, position = resumed(self._reading, state)
        mark = _mark()
        self._next[_FIRST, worker] = epoch
        self._set(worker if mark else slice(None), epoch, position, skip, mark)
        self._now, self._given = (epoch, position), skip

    def _set(self, workers: Any, epoch: int, position: int, skip: int, mark: int = 0) -> None:
        self._next[_POSITION, workers] = position
        self._next[_SKIP, workers] = skip
        # Other workers look at this while it is set: epoch and mark are one number.
        self._next[_NEXT, workers] = mark << _EPOCH_BITS | epoch


def _mark() -> int:
    """A number that workers of one loop over a ``DataLoader`` share; 0 in no worker."""
    info = torch.utils.data.get_worker_info()
    return 0 if info is None else 1 + mixed(info.seed - info.id, info.num_workers) % (2**31 - 1)


def _worker() -> tuple[int, int]:
    """Number of this worker of a ``DataLoader``, and how many there are."""
    info = torch.utils.data.get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
