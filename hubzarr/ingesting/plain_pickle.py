"""Pickles of plain data, read without running anything that stands in them.

CIFAR's batches are pickles. A pickle is a program: whoever wrote it decides what
`pickle.load` calls. `load_plain` therefore knows only dict, list, tuple, str, bytes,
numbers and NumPy arrays of those; every other name in the file is refused before it is
looked up. Arrays are not even built by NumPy's own unpickling: shape, dtype and bytes are
checked here, so that a forged header can't make NumPy read beyond the data.
"""

from __future__ import annotations

import codecs
import io
import math
import pickle
from typing import Any

import numpy as np

from hubzarr.errors import SampleError

__all__ = ["load_plain"]

_PLAIN_KINDS = "biufc"


def load_plain(data: bytes, path: str = "pickle") -> Any:
    """Unpickle dicts, lists, tuples, strings, numbers and arrays; nothing else.

    Strings that Python 2 wrote come as bytes, as with ``encoding="bytes"``; arrays of
    objects come as lists.

    Parameters
    ----------
    data : bytes
        The pickle.
    path : str
        Named in errors.

    Raises
    ------
    SampleError
        If the pickle is broken or names anything but plain data.

    Examples
    --------
    >>> import pickle
    >>> load_plain(pickle.dumps({"labels": [6, 9], "data": np.arange(3, dtype="uint8")}))
    {'labels': [6, 9], 'data': array([0, 1, 2], dtype=uint8)}
    >>> load_plain(pickle.dumps(print))
    Traceback (most recent call last):
    ...
    hubzarr.errors.SampleError: pickle names builtins.print; only pickles of dicts, ...
    """
    try:
        value = _PlainUnpickler(data, path).load()
        return _finish(value)
    except SampleError:
        raise
    except Exception as cause:  # a broken pickle may raise nearly anything
        raise SampleError(
            f"{path} is not a pickle of plain data ({type(cause).__name__}: {cause}); "
            "it may be cut off or of another format",
            path=path,
        ) from cause


class _PlainUnpickler(pickle.Unpickler):
    """Knows a few names, each replaced by a harmless builder of our own."""

    def __init__(self, data: bytes, path: str) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _BUILDERS[module.replace("numpy._core", "numpy.core"), name]
        except KeyError:
            raise SampleError(
                f"{self._path} names {module}.{name}; only pickles of dicts, lists, strings, "
                "numbers and NumPy arrays are read, because others can run code",
                path=self._path,
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise SampleError(f"{self._path} refers to data outside the pickle", path=self._path)


class _Array:
    """Stands for an array while its state comes in."""

    value: Any

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        self.value = _array(dtype, tuple(shape), bool(fortran), content)


class _Dtype:
    """Stands for a dtype: its code, then its byte order from the state."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else str(order)

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def plain(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code)
        if dtype.kind not in _PLAIN_KINDS:
            raise ValueError(f"arrays of dtype {self.code!r} are not read")
        return dtype.newbyteorder(">") if self.order == ">" else dtype


def _array(dtype: _Dtype, shape: tuple[int, ...], fortran: bool, content: Any) -> Any:
    order = "F" if fortran else "C"
    if dtype.is_object:
        if not isinstance(content, list):
            raise ValueError("an array of objects without a list of them")
        if len(shape) == 1 and len(content) == shape[0]:
            return content
        if not all(isinstance(x, int | float) for x in content):
            raise ValueError("arrays of objects with several axes are read if all are numbers")
        flat = np.array(content)
    else:
        data = content.encode("latin-1") if isinstance(content, str) else bytes(content)
        flat = np.frombuffer(data, dtype.plain())
    if math.prod(shape) != flat.size or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape} has {flat.size} elements")
    return flat.reshape(shape, order=order)  # type: ignore[call-overload]


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: Any) -> np.generic:
    raw = data.encode("latin-1") if isinstance(data, str) else bytes(data)
    return np.frombuffer(raw, dtype.plain(), count=1)[0]  # type: ignore[no-any-return]


def _from_buffer(buffer: Any, dtype: _Dtype, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _array(dtype, tuple(shape), order == "F", bytes(buffer))
    return array


def _encode(text: str, encoding: str) -> bytes:
    if codecs.lookup(encoding).name != "iso8859-1":
        raise ValueError(f"bytes in the encoding {encoding!r} are not read")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """How Python 3 writes empty bytes for Python 2; `bytes` itself would take sizes."""
    return b""


def _type_only(*_: Any) -> None:
    """`numpy.ndarray` stands in a pickle only as an argument of `_reconstruct`."""
    raise ValueError("numpy.ndarray is called as a function")


_BUILDERS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _type_only,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
}


def _finish(value: Any) -> Any:
    """`value` with the stand-ins of arrays replaced by the arrays."""
    if isinstance(value, _Array):
        return _finish(value.value)
    if isinstance(value, dict):
        return {key: _finish(item) for key, item in value.items()}
    if isinstance(value, list):
        # Long lists of numbers, such as labels, hold no arrays.
        return [_finish(x) for x in value] if any(_has_parts(x) for x in value) else value
    if isinstance(value, tuple):
        return tuple(_finish(x) for x in value)
    if isinstance(value, _Dtype):
        raise ValueError("a dtype stands where data was expected")
    return value


def _has_parts(value: Any) -> bool:
    return isinstance(value, _Array | _Dtype | dict | list | tuple)
