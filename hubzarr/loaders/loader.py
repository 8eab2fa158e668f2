"""`Loader`: batches of a dataset or array, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.options import Options
from hubzarr.loaders.running import Reading
from hubzarr.loaders.source import Source

__all__ = ["Loader"]

#: Of the document that `Loader.state_dict` gives.
STATE: Final = 1


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
        return self._reading.steps().count

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
        if self._running:  # an earlier loop was left before its end
            self.set_epoch(self._epoch + 1)
        epoch, position = self._epoch, self._position
        self._running = True
        self._steps = 0
        return self._loop(epoch, position)

    def _loop(self, epoch: int, position: int) -> Iterator[Any]:
        """Batches of an epoch from a position on, keeping count of them."""
        batches = self._batches(epoch, position)
        try:
            for steps, batch in batches:
                self._steps = steps
                yield batch
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()
        self.set_epoch(epoch + 1)

    def _batches(self, epoch: int, position: int) -> Iterator[tuple[int, Any]]:
        return self._reading.batches(epoch, position)

    # -- state -------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Begin the next loop at the start of an epoch."""
        if type(epoch) is not int or epoch < 0:
            raise InvalidError(f"epoch={epoch!r}: expected an integer from 0 on")
        self._epoch, self._position, self._steps, self._running = epoch, 0, 0, False

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
        reading, options = self._reading, self.options
        position = reading.steps(self._position).consumed(self._steps)
        return {
            "version": STATE,
            "commit": reading.source.commit,
            "length": len(reading.source),
            "seed": options.seed,
            "epoch": self._epoch,
            "position": position,
            "shuffle": options.shuffle,
            "window": reading.window,
            "order": reading.order(self._epoch).fingerprint,
        }

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
        _check_state(state)
        changes = {"seed": state["seed"]}
        if state["shuffle"] == "window":
            changes["window"] = state["window"]
        before = self._reading
        found = Reading(before.source, replace(before.options, **changes), before.to)
        mine = {
            "commit": found.source.commit, "length": len(found.source),
            "shuffle": found.options.shuffle, "order": found.order(state["epoch"]).fingerprint,
        }  # fmt: skip
        for key, value in mine.items():
            if state[key] != value:
                raise InvalidError(
                    f"the state is of a loader with {key} {state[key]!r}, this one has {value!r}: "
                    f"{_ADVICE[key]}"
                )
        self._reading = found
        self.set_epoch(int(state["epoch"]))
        self._position = int(state["position"])


_ADVICE: Final = {
    "commit": "open the dataset at that commit, as in hub.load(name@commit id), to go on",
    "length": "select the same rows",
    "shuffle": "give it the same shuffle",
    "order": "it needs the same rows, and tensors that are as heavy, for the same order",
}
_KEYS: Final[dict[str, type]] = {
    "commit": str, "length": int, "seed": int, "epoch": int, "position": int, "shuffle": str,
    "window": int, "order": str,
}  # fmt: skip


def _check_state(state: Any) -> None:
    if not isinstance(state, Mapping):
        raise InvalidTypeError(f"a state is a dict from state_dict(), not {type(state).__name__}")
    if state.get("version") != STATE:
        raise InvalidError(
            f"a state of version {state.get('version')!r}; this release reads version {STATE}"
        )
    for key, kind in _KEYS.items():
        if not isinstance(state.get(key), kind):
            raise InvalidError(f"the state has no {key}, or not as {kind.__name__}")
    if not 0 <= state["position"] <= state["length"] or state["epoch"] < 0:
        raise InvalidError(
            f"the state is at position {state['position']} of {state['length']} in epoch "
            f"{state['epoch']}: it was not made by state_dict()"
        )
