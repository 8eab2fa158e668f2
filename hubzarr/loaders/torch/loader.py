"""`TorchLoader`: batches of PyTorch tensors, made by threads or by worker processes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.loaders.ahead import ahead
from hubzarr.loaders.loader import Loader
from hubzarr.loaders.options import Options, boolean, checked
from hubzarr.loaders.running import Reading
from hubzarr.loaders.source import Source
from hubzarr.loaders.torch.framework import TorchFramework, device_of
from hubzarr.loaders.torch.moving import arrived, has_streams
from hubzarr.loaders.torch.ranks import rank_and_world, with_rank
from hubzarr.loaders.workers import WorkerPool

__all__ = ["TorchLoader", "load"]

#: Options of this loader alone, and what they are if not given.
_OWN: dict[str, Any] = {
    "num_workers": 0, "device": None, "pin_memory": False, "multiprocessing_context": None,
    "worker_init_fn": None,
}  # fmt: skip


class TorchLoader(Loader):
    """Batches of PyTorch tensors, for training.

    It is what ``ds.pytorch(...)`` gives. A ``for`` loop goes through one epoch. It is no
    ``torch.utils.data.DataLoader``, and takes care of ranks itself: Accelerate and Lightning
    leave it as it is.

    Parameters
    ----------
    source : Source
        What to read, as it is at one commit.
    given : mapping
        Arguments of `pytorch`.

    Attributes
    ----------
    num_workers : int
        Worker processes; 0 also where those that were asked for would gain nothing: without a
        function of the user, threads read, decode (images, sound and video beside Python) and
        gather as quickly, and nothing has to be taken from another process.
    device : torch.device or None
    """

    def __init__(self, source: Source, given: Mapping[str, Any]) -> None:
        own = {name: given.get(name, default) for name, default in _OWN.items()}
        rest = {name: value for name, value in given.items() if name not in _OWN}
        rest = {**rest, **rank_and_world(given)}
        workers = _workers(own["num_workers"])
        self.device = device_of(own["device"])
        self._context: str | None = own["multiprocessing_context"]
        self._begin = _function(own["worker_init_fn"])
        to = TorchFramework(self.device, boolean("pin_memory", own["pin_memory"]))
        super().__init__(source, checked(source, rest, also=_OWN), to)
        useful = self._begin is not None or has_work_for_workers(source, self.options)
        self.num_workers = workers if useful else 0
        self._has_ranks = given.get("rank") is not None
        self._idle: list[WorkerPool] = []
        self._used_for: Reading | None = None
        self._finalizer = weakref.finalize(self, _close, self._idle)

    def __len__(self) -> int:
        self._settle_ranks()
        return super().__len__()

    def _settle_ranks(self) -> None:
        """Take over the rank of this process, which some trainers settle late."""
        if not self._has_ranks:
            self._reading = with_rank(self._reading)

    # -- batches -----------------------------------------------------------------

    def _batches(self, epoch: int, position: int) -> Iterator[tuple[int, Any]]:
        self._settle_ranks()
        made = self._made(epoch, position)
        if not has_streams(self.device):
            return made
        return ((steps, arrived(batch)) for steps, batch in made)

    def _made(self, epoch: int, position: int) -> Iterator[tuple[int, Any]]:
        if not self.num_workers:
            return super()._batches(epoch, position)
        made = self._from_workers(epoch, position)
        # What workers made is taken from them in a thread if it has still to go to a device.
        return ahead(made, max(1, self.options.prefetch)) if has_streams(self.device) else made

    def _from_workers(self, epoch: int, position: int) -> Iterator[tuple[int, Any]]:
        reading = self._reading
        pool = self._pool()
        try:
            yield from pool.run(epoch, position, reading.to, reading.skipped)
        finally:
            # Workers stay for the next epoch, unless a loop beside this one left some, too.
            if pool.usable and not self._idle and reading is self._used_for:
                self._idle.append(pool)
            else:
                pool.close()

    def _pool(self) -> WorkerPool:
        """Workers that nobody uses, or else new ones."""
        if self._used_for is not self._reading:  # a state was loaded: another seed, maybe
            self.close()
            self._used_for = self._reading
        while self._idle:
            pool = self._idle.pop()
            if pool.usable:
                return pool
        reading = self._reading
        return WorkerPool(
            reading.source, reading.options, self.num_workers, self._context, self._begin
        )

    def close(self) -> None:
        """End the worker processes that wait for the next epoch.

        They end by themselves when the loader is gone. It can be used again.
        """
        _close(self._idle)


def load(source: Source, given: Mapping[str, Any]) -> TorchLoader:
    """What ``ds.pytorch(...)`` gives.

    Parameters
    ----------
    source : Source
    given : mapping
        Arguments of `pytorch`.
    """
    return TorchLoader(source, given)


def has_work_for_workers(source: Source, options: Options) -> bool:
    """Whether Python is kept busy by each sample; all else threads do as well, without copies."""
    if options.transform is not None or options.collate is not None:
        return True
    chosen = [one for one in source.fields if one.name in options.tensors]
    return any(one.cost == "cpu" and options.decodes(one.name) for one in chosen)


def _close(pools: list[WorkerPool]) -> None:
    while pools:
        pools.pop().close()


def _workers(given: Any) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise InvalidTypeError(f"num_workers={given!r}: expected an integer")
    if given < 0:
        raise InvalidError(f"num_workers={given}: expected 0 (threads) or a number of processes")
    return int(given)


def _function(given: Any) -> Callable[[int], Any] | None:
    if given is not None and not callable(given):
        raise InvalidTypeError("worker_init_fn: expected a function of a worker's number")
    checked_function: Callable[[int], Any] | None = given
    return checked_function
