"""Batches on their way between processes: arrays in shared memory, the rest pickled."""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hubzarr.loaders.framework import Framework
from hubzarr.loaders.workers.stacking import stacked

__all__ = ["MARGIN", "Nested", "Packed", "WorkerFramework", "pack", "place", "received", "unpack"]

type Bytes = npt.NDArray[np.uint8]

#: Arrays begin at multiples of it.
ALIGNMENT: Final = 64
#: Arrays of fewer bytes travel with the rest.
SMALL: Final = 512
#: How much larger than needed new shared memory is: batches differ in size.
MARGIN: Final = 1.25


class Packed(NamedTuple):
    """A value without its arrays.

    Attributes
    ----------
    rest : bytes
    spans : list of tuple of int
        First byte in the shared memory and number of bytes, for each array.
    """

    rest: bytes
    spans: list[tuple[int, int]]


class Nested:
    """Samples that become a nested tensor in the process that gets them."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)

    def __reduce__(self) -> tuple[Any, ...]:
        return Nested, (self.values,)


class WorkerFramework(Framework):
    """Makes batches in shared memory; what they become is left to the process that gets them.

    Parameters
    ----------
    direct : bool
        Whether what `empty` gives is used for one batch alone.
    """

    def __init__(self, direct: bool) -> None:
        self._direct = direct
        self._slot: Bytes = np.empty(0, np.uint8)
        self._used = 0

    def begin(self, memory: Bytes) -> None:
        """Make the next batch in this memory."""
        self._slot, self._used = memory, 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Shared memory as long as there is some, then other."""
        nbytes = math.prod(shape) * dtype.itemsize
        end = self._used + nbytes
        if not self._direct or nbytes < SMALL or end > len(self._slot):
            return super().empty(shape, dtype)
        found = self._slot[self._used : end].view(dtype).reshape(shape)
        self._used = _aligned(end)
        return found

    @property
    def used(self) -> int:
        """Bytes that `empty` gave."""
        return self._used

    def is_tensor(self, value: Any) -> bool:
        """Whether it is one of PyTorch, which need not be imported to know that it is not."""
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(value, torch.Tensor)

    def stack(self, values: Sequence[Any]) -> Any:
        """Tensors of one shape as one."""
        return stacked(sys.modules["torch"], values, self.empty)

    def wider(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """int64 for uint32, as PyTorch, the only one that has workers, will have it."""
        return np.dtype(np.int64) if dtype == np.uint32 else dtype

    def nested(self, values: Sequence[Any]) -> Any:
        """Left to the other process."""
        return Nested(values)


class _Packer(pickle.Pickler):
    """Takes arrays and tensors out of what it pickles."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays: list[Bytes] = []

    def persistent_id(self, value: Any) -> Any:
        if type(value) is np.ndarray:
            if value.nbytes < SMALL or value.dtype.hasobject or value.dtype.names is not None:
                return None
            return ("array", self._out(value), value.dtype, value.shape)
        torch = sys.modules.get("torch")
        if torch is not None and type(value) is torch.Tensor and _is_plain(value, torch):
            flat = value.detach().contiguous().flatten().view(torch.uint8)
            return ("tensor", self._out(flat.numpy()), str(value.dtype)[6:], tuple(value.shape))
        return None

    def _out(self, array: npt.NDArray[Any]) -> int:
        self.arrays.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return len(self.arrays) - 1


class _Unpacker(pickle.Unpickler):
    """Puts them back, each in memory of its own."""

    def __init__(self, packed: Packed, memory: Bytes, to: Framework) -> None:
        super().__init__(io.BytesIO(packed.rest))
        self._spans = packed.spans
        self._memory = memory
        self._to = to

    def persistent_load(self, key: Any) -> Any:
        kind, number, dtype, shape = key
        first, nbytes = self._spans[number]
        found = self._memory[first : first + nbytes]
        if kind == "array":
            out = self._to.empty(shape, dtype)
            out.reshape(-1).view(np.uint8)[...] = found
            return out
        out = self._to.empty((nbytes,), np.dtype(np.uint8))
        out[...] = found
        torch = sys.modules["torch"]
        return torch.from_numpy(out).view(getattr(torch, dtype)).reshape(shape)


def pack(value: Any, memory: Bytes, used: int) -> tuple[Packed, list[Bytes], int]:
    """A value without its arrays, these, and how many bytes of shared memory they take.

    Parameters
    ----------
    value : object
    memory : ndarray of uint8
        Shared memory that some of the arrays lie in already.
    used : int
        Bytes of it that are taken by such arrays.
    """
    file = io.BytesIO()
    packer = _Packer(file)
    packer.dump(value)
    begin, there = memory.ctypes.data, used
    spans = []
    for array in packer.arrays:
        first = array.ctypes.data - begin
        if not 0 <= first < there:
            first, used = used, _aligned(used + array.nbytes)
        spans.append((first, array.nbytes))
    return Packed(file.getvalue(), spans), packer.arrays, used


def place(packed: Packed, arrays: Sequence[Bytes], memory: Bytes) -> None:
    """Copy arrays into shared memory, unless they lie there already."""
    for (first, nbytes), array in zip(packed.spans, arrays, strict=True):
        target = memory[first : first + nbytes]
        if target.ctypes.data != array.ctypes.data:
            target[...] = array


def unpack(packed: Packed, memory: Bytes, to: Framework) -> Any:
    """The value again; nothing of it lies in the shared memory any more."""
    return _Unpacker(packed, memory, to).load()


def received(value: Any, to: Framework) -> Any:
    """A batch or sample as the framework has it."""
    if isinstance(value, dict):
        return {name: _converted(item, to) for name, item in value.items()}
    if type(value) is tuple:
        return tuple(_converted(item, to) for item in value)
    return _converted(value, to)


def _converted(value: Any, to: Framework) -> Any:
    return to.nested(value.values) if isinstance(value, Nested) else to.convert(value)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _is_plain(tensor: Any, torch: Any) -> bool:
    return bool(
        tensor.layout is torch.strided and tensor.device.type == "cpu"
        and tensor.numel() * tensor.element_size() >= SMALL
        and not tensor.is_quantized and not tensor.is_conj() and not tensor.is_neg()
    )  # fmt: skip
