"""What an evaluation works on: things one by one, or rows of a dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from hubzarr.arrays.handle import Source, open_source, source_of
from hubzarr.datasets import DatasetView, Tensor
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.session import Session

__all__ = ["Digest", "Inputs", "RowReader", "described", "inputs_of"]

#: So many characters of an input are shown in messages.
_SHOWN = 80


@dataclass(frozen=True)
class RowReader:
    """Rows of a dataset, or samples of a tensor, by their number; other processes may have it.

    Parameters
    ----------
    view : DatasetView or Tensor
        Whose rows.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/row_reader")
    >>> _ = ds.create_tensor("x")
    >>> ds.x.extend([4, 5, 6])
    >>> RowReader(ds)(2).x.numpy(), RowReader(ds.x)(1).numpy()
    (array(6), array(5))
    """

    view: DatasetView | Tensor

    def __call__(self, row: int) -> Any:
        view = self.view
        if isinstance(view, Tensor):
            return Tensor(view._session, view._path, None, row)
        return view._select(rows=None, row=row)

    @property
    def name(self) -> str:
        """What the rows are called, the same for each commit."""
        view = self.view
        name, path = view._session.name, view._path if isinstance(view, Tensor) else view._group
        return f"{name}/{path}"

    def apart_from(self, writer: Session) -> tuple[RowReader, bool]:
        """The same rows where a writer does not change them, and whether there is no such place.

        Those that a transaction wrote are nowhere else, so that reading and writing them
        have to take turns.
        """
        session = self.view._session
        if session is not writer:
            return self, False
        with session.lock:
            if session.in_transaction and session.dirty:
                return self, True
            opened, arguments = self.__reduce__()
            reader: RowReader = opened(*arguments)
            return reader, False

    def __reduce__(self) -> tuple[Any, ...]:
        view, session = self.view, self.view._session
        with session.lock:
            session.check()
            if session.dirty and session.in_transaction:
                raise InvalidError(
                    f"what this transaction wrote to {session.name} is not committed, so worker "
                    "processes can't read it: end the transaction first, or use "
                    'scheduler="threads"'
                )
            if session.writable:
                session.sync()
        if isinstance(view, Tensor):
            return _opened, (source_of(session, view._path), None)
        options = {"name": view.name, "group": view._group, "chosen": view._chosen}
        return _opened, (source_of(session, ""), options)


def _opened(source: Source, options: dict[str, Any] | None) -> RowReader:
    session = open_source(source, writable=False)
    if options is None:
        return RowReader(Tensor(session, source.path))
    return RowReader(DatasetView(session, **options))


class Inputs:
    """Inputs, taken some at a time.

    Parameters
    ----------
    items : iterable
        The inputs, or numbers of rows.
    read : callable, optional
        Gives the input that stands for an item.

    Examples
    --------
    >>> inputs = Inputs("abc")
    >>> inputs.take(2), inputs.take(2), inputs.take(2), inputs.taken
    (['a', 'b'], ['c'], [], 3)
    """

    def __init__(self, items: Iterable[Any], read: Callable[[Any], Any] | None = None) -> None:
        self._items: Iterator[Any] = iter(items)
        self.read = read
        self.origin = read.name if isinstance(read, RowReader) else ""
        self.total = len(items) if isinstance(items, Sized) else None
        self.taken = 0

    def take(self, count: int) -> list[Any]:
        """The next inputs; fewer at the end."""
        taken = list(islice(self._items, count))
        self.taken += len(taken)
        return taken

    def shown(self, item: Any) -> str:
        """An input as messages name it."""
        text = f"row {item}" if self.read is not None else repr(item)
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def inputs_of(given: Any) -> Inputs:
    """Inputs of anything that a user gives.

    Examples
    --------
    >>> inputs_of(range(3)).total
    3
    """
    if isinstance(given, DatasetView | Tensor):
        return Inputs([int(row) for row in given._selected()], RowReader(given))
    if isinstance(given, str | bytes | os.PathLike | Mapping) or not isinstance(given, Iterable):
        raise InvalidTypeError(
            f"inputs are a list, another iterable, a dataset or a view, not a "
            f"{type(given).__name__}; for one input give a list of it"
        )
    return Inputs(given)


class Digest:
    """What tells whether inputs are the same as before.

    Parameters
    ----------
    start : object
        What else must be the same.

    Examples
    --------
    >>> one, other = Digest("f"), Digest("f")
    >>> one.add(["a", 1]); other.add(["a"]); other.add([1])
    >>> str(one) == str(other)
    True
    """

    def __init__(self, start: Any = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.add([start])

    def add(self, items: Iterable[Any]) -> None:
        """Take in some inputs."""
        for item in items:
            self._hash.update(described(item).encode("utf-8", "surrogatepass") + b"\0")

    def __str__(self) -> str:
        return self._hash.hexdigest()


def described(value: Any) -> str:
    """A value as text that is the same in each process: what it says, or what kind it is.

    Examples
    --------
    >>> described(["a", 1, {"b": None}]), described(np.zeros((2, 3)))
    ("['a', 1, {'b': None}]", 'float64(2, 3)')
    """
    if isinstance(value, str | bytes | int | float | complex | None):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(described, value))}]"
    if isinstance(value, dict):
        pairs = (f"{described(k)}: {described(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, np.ndarray | np.generic):
        return f"{value.dtype}{value.shape}"
    path = getattr(value, "path", None)
    kind = type(value).__qualname__
    return f"{kind}({path!r})" if isinstance(path, str) else kind
