"""`SampleOut`: what a function appends for one input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hubzarr.computing.rows import RowValues, plain
from hubzarr.datasets import DatasetView
from hubzarr.datasets.catalog import not_found
from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["Names", "SampleOut"]


@dataclass(frozen=True)
class Names:
    """The tensors that a function may append to.

    Parameters
    ----------
    tensors : tuple of str
        All of them.
    needed : tuple of str
        Those that make a row.

    Examples
    --------
    >>> Names(("images", "boxes/left"), ("images",)).groups
    frozenset({'boxes'})
    """

    tensors: tuple[str, ...]
    needed: tuple[str, ...]

    @cached_property
    def known(self) -> frozenset[str]:
        """Tensors."""
        return frozenset(self.tensors)

    @cached_property
    def required(self) -> frozenset[str]:
        """Those that make a row, as a set."""
        return frozenset(self.needed)

    @cached_property
    def groups(self) -> frozenset[str]:
        """Groups that hold tensors, at any depth."""
        parts = (name.split("/") for name in self.tensors)
        return frozenset("/".join(p[:i]) for p in parts for i in range(1, len(p)))


class SampleOut:
    """What a function appends for one input, tensor by tensor.

    Parameters
    ----------
    columns : dict
        Gets the samples by name of the tensor.
    names : Names or None
        Tensors that there are; None: any name will do, as between functions of a pipeline.
    path : str
        The tensor or group that it stands for; "" for all.

    Examples
    --------
    >>> columns = {}
    >>> out = SampleOut(columns, None)
    >>> out.labels.append(3)
    >>> out.append({"labels": 4, "boxes/left": [1, 2]})
    >>> columns
    {'labels': [3, 4], 'boxes/left': [[1, 2]]}
    """

    __slots__ = ("_columns", "_names", "_path")

    def __init__(self, columns: dict[str, list[Any]], names: Names | None, path: str = "") -> None:
        self._columns = columns
        self._names = names
        self._path = path

    def append(self, sample: Any) -> None:
        """Append one sample to a tensor; or, to a group, a mapping of names to samples."""
        if self._is_tensor:
            self._column.append(plain(sample))
            return
        for name, value in _row(sample, "append").items():
            self[name].append(value)

    def extend(self, samples: Any) -> None:
        """Append many samples to a tensor; or, to a group, a mapping of names to samples."""
        if not self._is_tensor:
            for name, values in _row(samples, "extend").items():
                self[name].extend(values)
            return
        if isinstance(samples, str | bytes | Mapping) or not isinstance(samples, Iterable):
            raise InvalidTypeError(
                f"{self._path!r} is extended by a sequence of samples, not by "
                f"{type(samples).__name__}; append() takes one sample"
            )
        self._column.extend(plain(sample) for sample in samples)

    @property
    def _is_tensor(self) -> bool:
        if self._names is None:
            return bool(self._path)
        return self._path in self._names.known

    @property
    def _column(self) -> list[Any]:
        return self._columns.setdefault(self._path, [])

    def __getitem__(self, name: str) -> SampleOut:
        if not isinstance(name, str):
            raise InvalidTypeError(f"a tensor is chosen by its name, not by {name!r}")
        path = f"{self._path}/{name.strip('/')}" if self._path else name.strip("/")
        names = self._names
        if names is not None and path not in names.known and path not in names.groups:
            raise not_found(path, list(names.tensors))
        return SampleOut(self._columns, names, path)

    def __getattr__(self, name: str) -> SampleOut:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(str(error)) from None

    def __len__(self) -> int:
        if self._is_tensor:
            return len(self._columns.get(self._path, ()))
        return max(map(len, self._columns.values()), default=0)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        lengths = {name: len(samples) for name, samples in self._columns.items()}
        return f"SampleOut({self._path or '/'!r}, {lengths})"


def _row(value: Any, method: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, RowValues):
        return value.values()
    if isinstance(value, DatasetView):
        return value.tensors
    raise InvalidError(
        f"{method}({type(value).__name__}): name the tensors, as in sample_out.{method}"
        "({'images': image}) or sample_out.images."
        f"{method}(image)"
    )
