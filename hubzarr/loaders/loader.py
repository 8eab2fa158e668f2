"""`Loader`: batches of a dataset or array, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hubzarr.errors import InvalidError, SampleError, TransformError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.options import Options
from hubzarr.loaders.running import Reading
from hubzarr.loaders.source import Source
from hubzarr.loaders.state import resumed, state_of

__all__ = ["Loader"]


class Loader:
    """Batches, in an order that depends on the data, the seed and the epoch alone.

    Each ``for`` loop goes through one epoch. Batches are read, decoded and put together in
    threads while earlier ones are in use.

    Parameters
    ----------
    source : Source
        What to read, as it is at one commit.
    options : Options
    to : Framework, optional
        What batches are made of: NumPy arrays by default.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/loader")
    >>> ds.create_tensor("x").extend([10, 20, 30, 40, 50])
    >>> loader = ds.batches(2, shuffle=True, seed=3)
    >>> len(loader), [batch["x"].tolist() for batch in loader]
    (3, [[10, 40], [30, 50], [20]])
    >>> loader.epoch
    1
    """

    def __init__(self, source: Source, options: Options, to: Framework | None = None) -> None:
        self._reading = Reading(source, options, to or Framework())
        #: Of the loop that runs, or else of the next one.
        self._epoch = 0
        self._position = 0
        self._steps = 0
        self._running = False
        #: Number of the newest loop, whose state this is.
        self._loops = 0

    # -- what it is --------------------------------------------------------------

    @property
    def options(self) -> Options:
        """What was asked for."""
        return self._reading.options

    @property
    def batch_size(self) -> int | None:
        """Samples in a batch of one rank."""
        return self.options.batch_size

    @property
    def epoch(self) -> int:
        """Number of the epoch that a loop is in, or else of the next one."""
        return self._epoch

    @property
    def skipped(self) -> list[tuple[int, str | None, Exception]]:
        """Broken samples so far, by ``on_error``: row, tensor (None: transform) and error."""
        return list(self._reading.skipped)

    def __len__(self) -> int:
        """Batches (of `batch_size` None: samples) of a whole epoch for this rank."""
        return self._reading.steps().of_rank(self.options.rank)

    def __repr__(self) -> str:
        options = self.options
        shuffle = "" if options.shuffle == "none" else f" shuffle={options.shuffle!r}"
        return (
            f"<hubzarr.{type(self).__name__} {len(self._reading.source)} samples of "
            f"{', '.join(options.tensors)} batch_size={options.batch_size}{shuffle} "
            f"epoch={self._epoch}>"
        )

    # -- batches -----------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        return self._loop()

    def _loop(self) -> Iterator[Any]:
        """Batches of an epoch from a position on, keeping count of them.

        It begins with the first batch that is asked for: iterators that are only made, as some
        trainers do, are no epochs.
        """
        if self._running:  # an earlier loop was left before its end
            self.set_epoch(self._epoch + 1)
        epoch, position, loop = self._epoch, self._position, self._loops
        self._running = True
        self._steps = 0
        batches = self._batches(epoch, position)
        given = False
        try:
            for steps, batch in batches:
                if loop == self._loops:
                    self._steps = steps
                given = True
                yield batch
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()
        if loop == self._loops:
            self.set_epoch(epoch + 1)
        if not given and not position and self._reading.skipped:
            # A transform that fails for all would look like a very short epoch.
            row, _, error = self._reading.skipped[0]
            kind = TransformError if isinstance(error, TransformError) else SampleError
            raise kind(f"all samples of the epoch are broken; the first one: {error}", row=row)

    def _batches(self, epoch: int, position: int) -> Iterator[tuple[int, Any]]:
        return self._reading.batches(epoch, position)

    # -- state -------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Begin the next loop at the start of an epoch.

        After `load_state_dict`, the epoch of the state goes on where it stood: trainers tell the
        number of each epoch before they begin or resume it.
        """
        if type(epoch) is not int or epoch < 0:
            raise InvalidError(f"epoch={epoch!r}: expected an integer from 0 on")
        if epoch == self._epoch and self._position and not self._running:
            return
        self._epoch, self._position, self._steps, self._running = epoch, 0, 0, False
        self._loops += 1

    def state_dict(self) -> dict[str, Any]:
        """How far the loader has come: a dict of a few numbers and strings, the same on each rank.

        What was given to the loop counts as consumed, what was read ahead does not.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/loader_state")
        >>> ds.create_tensor("x").extend(range(10))
        >>> loader = ds.batches(2, shuffle=True)
        >>> seen = [batch["x"].tolist() for _, batch in zip(range(2), loader)]
        >>> later = ds.batches(3, shuffle=True)
        >>> later.load_state_dict(loader.state_dict())
        >>> seen += [batch["x"].tolist() for batch in later]
        >>> [len(x) for x in seen], sorted(sum(seen, []))
        ([2, 2, 3, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        """
        position = self._reading.steps(self._position).consumed(self._steps)
        return state_of(self._reading, self._epoch, position)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another loader stood, on any number of ranks and with any batch size.

        Parameters
        ----------
        state : mapping
            From `state_dict` of a loader of the same data and the same shuffle. Seed and
            window are taken over.

        Raises
        ------
        InvalidError
            It is of other data or of another order, in which "the rest" would be other samples.
        """
        self._reading, epoch, position = resumed(self._reading, state)
        self.set_epoch(epoch)
        self._position = position
