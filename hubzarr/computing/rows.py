"""Samples between two functions of a pipeline: values that nobody has stored yet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hubzarr.datasets import Tensor
from hubzarr.datasets.catalog import not_found
from hubzarr.datasets.values import as_array
from hubzarr.errors import InvalidError
from hubzarr.media import Sample

__all__ = ["RowValues", "ValueOf", "plain", "rows_of"]


class RowValues:
    """One row that a function gave, as the next function of a pipeline sees it.

    Parameters
    ----------
    values : mapping
        By name of the tensor.
    group : str
        Prefix of the names that it shows.

    Examples
    --------
    >>> row = RowValues({"images": [[1, 2]], "boxes/left": 5})
    >>> row.images.numpy(), row.boxes.left.numpy(), row["boxes/left"].values()
    (array([[1, 2]]), array(5), 5)
    """

    __slots__ = ("_group", "_values")

    def __init__(self, values: Mapping[str, Any], group: str = "") -> None:
        self._values = values
        self._group = group

    @property
    def tensors(self) -> dict[str, ValueOf]:
        """Samples by name."""
        return {name: ValueOf(value) for name, value in self.values().items()}

    def values(self) -> dict[str, Any]:
        """Samples by name, as the function before appended them."""
        prefix = self._group
        return {n[len(prefix) :]: v for n, v in self._values.items() if n.startswith(prefix)}

    def __getitem__(self, name: str) -> Any:
        path = self._group + name.strip("/")
        if path in self._values:
            return ValueOf(self._values[path])
        if any(known.startswith(path + "/") for known in self._values):
            return RowValues(self._values, path + "/")
        raise not_found(name, list(self.values()))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(str(error)) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._group + name.strip("/") in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values())

    def __repr__(self) -> str:
        return f"RowValues({self.values()!r:.200})"


class ValueOf:
    """One sample of such a row, to be read like a sample of a tensor.

    Examples
    --------
    >>> value = ValueOf([1, 2, 3])
    >>> value.numpy().sum(), value.shape, value[1:].tolist()
    (np.int64(6), (3,), [2, 3])
    """

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def values(self) -> Any:
        """The sample as it was appended."""
        return self._value

    dict = list = values

    def numpy(self, aslist: bool = False) -> Any:
        """The sample as an array, decoded."""
        array = _array(self._value)
        return [array] if aslist else array

    def data(self, aslist: bool = False) -> Any:
        """The same in a dict."""
        kept = isinstance(self._value, str | Mapping | Sequence)
        return {"value": self._value if kept else self.numpy(aslist)}

    def text(self) -> str:
        """The sample as a string."""
        return self._value if isinstance(self._value, str) else str(self.numpy().item())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array; a file's header tells it."""
        if isinstance(self._value, Sample | np.ndarray):
            return tuple(self._value.shape)
        return tuple(self.numpy().shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        if isinstance(self._value, Sample | np.ndarray):
            return self._value.dtype
        dtype: np.dtype[Any] = self.numpy().dtype
        return dtype

    def __getitem__(self, key: Any) -> Any:
        return self.numpy()[key]

    def __len__(self) -> int:
        return len(self.numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.numpy(), dtype=dtype)

    def __repr__(self) -> str:
        return f"ValueOf({self._value!r:.100})"


def _array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, list | tuple):
        with contextlib.suppress(ValueError):  # of items that differ in shape
            return np.asarray(value)
    return np.asarray(as_array(value))


def rows_of(columns: Mapping[str, list[Any]]) -> Iterator[RowValues]:
    """Rows of what a function appended; its tensors have to be of one length.

    Examples
    --------
    >>> [row.x.values() for row in rows_of({"x": [1, 2], "y": [3, 4]})]
    [1, 2]
    """
    lengths = {name: len(samples) for name, samples in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {n}" for name, n in lengths.items())
        raise InvalidError(
            f"samples appended by one function ({listed}) make no rows for the next: append as "
            "many to each tensor"
        )
    for i in range(max(lengths.values(), default=0)):
        yield RowValues({name: samples[i] for name, samples in columns.items()})


def plain(value: Any) -> Any:
    """What to append for a sample that was read from a tensor: files stay as they are.

    Examples
    --------
    >>> plain(ValueOf("a")), plain(3)
    ('a', 3)
    """
    if isinstance(value, ValueOf):
        return value.values()
    if not isinstance(value, Tensor):
        return value
    if value.spec.stores == "file" and value._row is not None and not value._subs:
        data = value.tobytes()
        return Sample(data, compression=value.sample_compression) if data else None
    return value.values()
