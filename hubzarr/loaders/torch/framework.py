"""What PyTorch does with batches: tensors over the same memory, moved to a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from hubzarr.errors import InvalidError, InvalidTypeError, UnsupportedError
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.torch.leaves import mapped
from hubzarr.loaders.torch.moving import Mover, has_streams
from hubzarr.loaders.workers.stacking import stacked

__all__ = ["TorchFramework", "as_tensor", "device_of"]

#: Dtypes of ml_dtypes that PyTorch has by the same name, and what NumPy sees of them.
_SMALL_FLOATS: Final = {
    "bfloat16": np.int16, "float8_e4m3fn": np.uint8, "float8_e5m2": np.uint8,
}  # fmt: skip


class TorchFramework(Framework):
    """Batches of PyTorch tensors.

    Parameters
    ----------
    device : torch.device, optional
        Where they go.
    pin_memory : bool
        Make them in memory that a GPU copies from quickly, where there is a GPU.
    """

    tensor = "PyTorch tensors"

    def __init__(self, device: torch.device | None = None, pin_memory: bool = False) -> None:
        self.device = device
        self._pins = (pin_memory or has_streams(device)) and torch.cuda.is_available()
        self._mover = None if device is None else Mover(device)

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchFramework, (self.device, self._pins)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Memory for a batch; pinned if a GPU will copy it."""
        if not self._pins:
            return super().empty(shape, dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        # PyTorch keeps pinned memory for the next batch: to pin some anew takes long.
        memory = torch.empty(max(1, nbytes), dtype=torch.uint8, pin_memory=True)
        pinned: npt.NDArray[Any] = memory.numpy()[:nbytes].view(dtype).reshape(shape)
        return pinned

    def is_tensor(self, value: Any) -> bool:
        """Whether a transform gave a tensor."""
        return isinstance(value, torch.Tensor)

    def stack(self, values: Sequence[Any]) -> Any:
        """Tensors of one shape as one."""
        return stacked(torch, values, self.empty) if self._pins else torch.stack(list(values))

    def wider(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """int64 for uint32, which becomes that: -100 pads labels for a loss that ignores it."""
        return np.dtype(np.int64) if dtype == np.uint32 else dtype

    def nested(self, values: Sequence[Any]) -> Any:
        """A nested tensor: jagged if samples differ in the first axis alone, else strided."""
        tensors = [as_tensor(value) for value in values]
        (first, *others) = tensors
        jagged = first.ndim > 0 and all(one.shape[1:] == first.shape[1:] for one in others)
        layout = torch.jagged if jagged else torch.strided
        return torch.nested.nested_tensor(tensors, layout=layout)

    def convert(self, value: Any) -> Any:
        """Arrays and NumPy's scalars become tensors, also those in lists, tuples and dicts."""
        return mapped(value, as_tensor, np.ndarray | np.generic)

    def finish(self, batch: Any) -> Any:
        """The batch on its device, or on the way to it (see `Mover`)."""
        return batch if self._mover is None else self._mover(batch)


def as_tensor(value: Any) -> Any:
    """A tensor that shares the memory of an array, where NumPy and PyTorch have the same dtype.

    Dates and durations become int64, in their unit since 1970, and so does uint32, such as class
    labels: PyTorch's own uint32 can neither be compared, nor index, nor be a target of a loss.
    Strings stay strings.

    Parameters
    ----------
    value : ndarray, numpy scalar or torch.Tensor

    Raises
    ------
    InvalidTypeError
        PyTorch has no such dtype.
    """
    if isinstance(value, torch.Tensor):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "OUST":
        return array.item() if array.ndim == 0 else array.tolist()
    small = _SMALL_FLOATS.get(array.dtype.name)
    if small is not None:
        return _shared(array.view(small)).view(getattr(torch, array.dtype.name))
    if array.dtype.kind in "mM":
        return _shared(array.view(np.int64))
    if array.dtype.kind == "u" and array.dtype.itemsize == 4:
        return _shared(array.astype(np.int64))
    return _shared(array)


def _shared(array: npt.NDArray[Any]) -> Any:
    """A tensor of an array; of a copy, where it is not writable, reversed or in other bytes."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(step < 0 for step in array.strides):
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise InvalidTypeError(
            f"PyTorch has no dtype {array.dtype}: leave the tensor out by tensors=[...], or give "
            "a transform that makes another dtype of it"
        ) from error


def device_of(given: Any) -> torch.device | None:
    """The device that a user named, with its number.

    Raises
    ------
    InvalidError
        PyTorch knows no such device.
    UnsupportedError
        It is a GPU, and there is none, or none of that number.
    """
    if given is None:
        return None
    device = _device(given)
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise _no_gpu(given)
    if device.index is None:
        # Threads have a current device of their own, so the number is settled here.
        return torch.device("cuda", torch.cuda.current_device())
    count = torch.cuda.device_count()
    if device.index >= count:
        raise UnsupportedError(
            f"device={given!r}: PyTorch finds GPUs 0 to {count - 1} here, and none of that number"
        )
    return device


def _device(given: Any) -> torch.device:
    try:
        if not isinstance(given, bool):
            return torch.device(given)
    except (RuntimeError, TypeError) as error:
        if isinstance(given, int):  # the number of a GPU
            raise _no_gpu(given) from error
    raise InvalidError(
        f"device={given!r}: expected a device of PyTorch, such as 'cuda', 'cuda:1', 'mps' or 'cpu'"
    )


def _no_gpu(given: Any) -> UnsupportedError:
    return UnsupportedError(
        f"device={given!r}: PyTorch finds no GPU here. Without device=, batches stay in memory"
    )
