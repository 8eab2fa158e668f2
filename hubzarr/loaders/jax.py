"""Loaders for JAX: batches in NumPy, which JAX takes as they are, or on devices ahead of use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.loader import Loader
from hubzarr.loaders.options import Options, checked
from hubzarr.loaders.samples import Samples
from hubzarr.loaders.source import Source

__all__ = ["GrainSource", "JaxLoader", "load"]

#: Kinds of dtypes that JAX has; those of ml_dtypes, such as bfloat16, are "V" to NumPy.
NUMBERS = "biufc"


class JaxFramework(Framework):
    """Arrays on a device, or NumPy's if there is none to move them to.

    Parameters
    ----------
    where : jax.sharding.Sharding, optional
    """

    tensor = "JAX arrays"

    def __init__(self, where: Any = None) -> None:
        self._where = where

    def is_tensor(self, value: Any) -> bool:
        """Whether a transform used JAX."""
        return isinstance(value, jax.Array)

    def stack(self, values: Sequence[Any]) -> Any:
        """One array of several."""
        return np.stack([np.asarray(value) for value in values])

    def nested(self, values: Sequence[Any]) -> Any:
        """A list: JAX has no ragged arrays."""
        return [np.asarray(value) for value in values]

    def convert(self, value: Any) -> Any:
        """JAX arrays that make no batch as NumPy arrays."""
        return np.asarray(value) if isinstance(value, jax.Array) else value

    def finish(self, batch: Any) -> Any:
        """Numbers on the device; strings stay as they are."""
        if self._where is None:
            return batch
        moved = jax.tree.map(self._moved, batch)
        # JAX sorts the names.
        return {name: moved[name] for name in batch} if isinstance(batch, dict) else moved

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray | np.generic) or not _is_number(value.dtype):
            return value
        array = value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
        if self._where.is_fully_addressable:
            return jax.device_put(array, self._where)
        return jax.make_array_from_process_local_data(self._where, array)


class JaxLoader(Loader):
    """Batches for JAX."""


class GrainSource(Samples):
    """Samples by number for grain: a ``grain.sources.RandomAccessDataSource``.

    grain decides the order, makes batches and keeps state; its workers get copies of this.

    Parameters
    ----------
    data : Dataset, DatasetView, Tensor, Array or View
    tensors, transform, decode, return_index
        As for `ds.batches`.
    """

    def _getitems(self, numbers: Sequence[int]) -> list[Any]:
        """Several samples, as grain asks for them."""
        return self.many(numbers)


def load(source: Source, given: Mapping[str, Any]) -> JaxLoader:
    """What ``ds.jax(...)`` gives.

    Parameters
    ----------
    source : Source
    given : mapping
        Options of `Loading.batches`, and ``device``.

    Raises
    ------
    InvalidError
        Batches can't be divided among the devices.
    """
    mine = dict(given)
    where = _sharding(mine.pop("device", None))
    _place(mine)
    options = checked(source, mine, also=["device"])
    if where is not None:
        _check_divisible(where, options, len(source))
    return JaxLoader(source, options, JaxFramework(where))


def _place(given: dict[str, Any]) -> None:
    """Rank and world size of this process, unless they are given."""
    several = jax.distributed.is_initialized()
    for name, found in (("rank", jax.process_index), ("world_size", jax.process_count)):
        if given.get(name) is None:
            given[name] = found() if several else {"rank": 0, "world_size": 1}[name]


def _sharding(device: Any) -> Any:
    """Where arrays go, as a sharding."""
    if device is None or isinstance(device, jax.sharding.Sharding):
        return device
    if isinstance(device, str):
        try:
            device = jax.local_devices(backend=device)[0]
        except RuntimeError as error:
            raise InvalidError(f"device={device!r}: {error}") from error
    if not isinstance(device, jax.Device):
        raise InvalidTypeError(
            f"device={device!r}: expected one of jax.devices(), a jax.sharding.Sharding or the "
            "name of a platform such as 'gpu'"
        )
    return jax.sharding.SingleDeviceSharding(device)


def _check_divisible(where: Any, options: Options, length: int) -> None:
    """Refuse batches that can't be divided: the last one may be smaller."""
    if options.batch_size is None or where.num_devices == 1:
        return
    step = options.batch_size * options.world_size
    if not _divides(where, options.batch_size):
        raise InvalidError(
            f"batch_size={options.batch_size} can't be divided among the devices of {where}: "
            "choose a multiple of their number"
        )
    rest = length % step // options.world_size
    if length % step and not (options.drop_last or options.pad or _divides(where, rest)):
        raise InvalidError(
            f"the last batch, of {rest} samples, can't be divided among the devices of {where}: "
            "drop_last=True leaves it out, pad=True fills it up"
        )


def _divides(where: Any, size: int) -> bool:
    """Whether that many samples of each process make equal parts."""
    if not where.is_fully_addressable:
        size *= jax.process_count()
    # Axes behind the first are left to the user: here they are of a length that fits.
    others = len(getattr(where, "spec", ())) - 1
    try:
        where.shard_shape((size, *(where.num_devices,) * max(0, others)))
    except ValueError:
        return False
    return True


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in NUMBERS or jax.dtypes.issubdtype(dtype, np.number)
