"""`Array`: a handle on one named, versioned array."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hubzarr.arrays.attributes import Attributes
from hubzarr.arrays.handle import Source, open_source, source_of
from hubzarr.arrays.history import History
from hubzarr.arrays.lazy import lazy
from hubzarr.arrays.parallel import Parallel
from hubzarr.arrays.parallel_graph import is_dask
from hubzarr.arrays.parallel_writing import append_dask
from hubzarr.arrays.printing import edge_text, html_table
from hubzarr.arrays.readable import Readable
from hubzarr.arrays.values import check_size, elements, fitted
from hubzarr.arrays.view import Blocks, Indexer, View, select
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.indexing import Transform, apply, apply_oindex, apply_vindex, identity
from hubzarr.storage import Counters
from hubzarr.table.walk import written_cells
from hubzarr.threads import map_all
from hubzarr.wording import say_bytes

if TYPE_CHECKING:
    import zarr

    from hubzarr.engine import ArrayEngine
    from hubzarr.session import ArrayState, Session

__all__ = ["Array"]


class Array(History, Parallel, Readable):
    """A named, versioned array on a store, to be used like a NumPy array.

    Made by `hubzarr.array`, `hubzarr.load` and their kin. Indexing gives lazy views;
    assigning writes, and what was written is committed by itself within a second, at
    `flush`, at `close` and when the interpreter exits.

    Parameters
    ----------
    session : Session
        What it reads and writes through.
    name : str
        The name that it was opened by, without version.
    path : str
        Its node in the repository; "" is the root.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((100, 4), "examples/array", dtype="int32")
    >>> a[3] = [1, 2, 3, 4]
    >>> a[3, 1:].sum(), a.mean()
    (np.int64(9), np.float64(0.025))
    >>> a.commit("one row").message
    'one row'
    """

    def __init__(self, session: Session, name: str, path: str = "") -> None:
        self._session = session
        self._path = path
        self._state: ArrayState = session.array(path)
        self._identity = identity(self._state.shape)
        self.name = name

    # -- what it is ----------------------------------------------------------

    def _engine(self) -> ArrayEngine:
        if self._session.closed or self._session.failure is not None:
            self._session.check()
        return self._state.engine

    def _transform(self) -> Transform:
        shape = self._state.engine.shape
        if shape != self._identity.shape:
            self._identity = identity(shape)
        return self._identity

    @property
    def version(self) -> str:
        """Name of the version."""
        return self._session.version

    @property
    def commit_id(self) -> str:
        """Id of the commit that the handle stands on, 16 hex digits."""
        return self._session.manifest.commit.id

    @property
    def read_only(self) -> bool:
        """Whether the handle refuses writes."""
        return not self._session.writable

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is compressed as one piece."""
        return self._engine().cells.chunk_shape

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of what is stored as one object, if that holds several chunks."""
        cells = self._engine().cells
        return cells.cell_shape if cells.shard else None

    @property
    def fill_value(self) -> Any:
        """Value of elements that were never written."""
        return self._engine().cells.codec.fill_value

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """A name for each axis, if they have names."""
        names = self._state.document.get("dimension_names")
        return None if names is None else tuple(names)

    @property
    def attributes(self) -> Attributes:
        """Attributes of the user: a dict whose changes are stored."""
        return Attributes(self._session, self._path)

    @attributes.setter
    def attributes(self, value: dict[str, Any]) -> None:
        self.attributes.replace(value)

    @property
    def nbytes_stored(self) -> int:
        """Bytes that the chunks of this version take on the store; one request per chunk."""
        self._session.flush()
        engine = self._engine()
        draft, storage = engine.table, engine.cells.storage
        paths = [
            engine.cells.path(draft.id_of(cell), cell if engine.shape else ())
            for cell in written_cells(draft.ids, (0,) * len(draft.grid), draft.grid)
        ]
        sizes = map_all(storage.size, paths, storage.concurrency, 256 if storage.is_local else 1)
        return sum(size or 0 for size in sizes)

    @property
    def io(self) -> Counters:
        """Requests to the store and bytes that went through this handle, counted up.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((1000, 1000), "examples/io")
        >>> before = a.io.copy()
        >>> a.mean(), a.io - before
        (np.float64(0.0), Counters(reads=0, read_bytes=0, writes=0, write_bytes=0))
        """
        return self._session.storage.counters

    @property
    def zarr(self) -> zarr.Array[Any]:
        """The same array as a `zarr.Array`; its writes take part in this handle's commits."""
        import zarr

        mode = "r" if self.read_only else "r+"
        return zarr.open_array(self.store, path=self._path, mode=mode)

    # -- reading and writing -------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return select(self, apply(self._transform(), key), key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) is int and self._session.writable:
            engine = self._engine()
            shape = engine.shape
            if engine.spans_rows and -shape[0] <= key < shape[0]:
                if type(value) is not np.ndarray or value.dtype != engine.cells.dtype:
                    value = fitted(value, shape[1:], engine.cells.dtype, self.name)
                try:
                    engine.write_row(key if key >= 0 else key + shape[0], value)
                except ValueError as error:
                    raise InvalidError(
                        f"can't put values of shape {np.shape(value)} into {self.name}[{key}] of "
                        f"shape {shape[1:]}: {error}"
                    ) from error
                if not self._session.sync_due:
                    self._session.touch()
                return
        self._write(apply(self._transform(), key), value)

    def _write(self, t: Transform, value: Any) -> None:
        session = self._session
        session.check_writable()
        if isinstance(value, View) and value._array is self and _same_box(value._t, t):
            return  # what `a[i:j] += 1` ends with: the elements are there already
        engine = self._engine()
        engine.write(t, fitted(value, t.shape, engine.cells.dtype, self.name))
        session.touch()

    @property
    def oindex(self) -> Indexer:
        """Orthogonal indexing: each index array selects along its own axis."""
        return Indexer(self, self._transform, apply_oindex)

    @property
    def vindex(self) -> Indexer:
        """Vectorised indexing: index arrays select points; their axes come first."""
        return Indexer(self, self._transform, apply_vindex)

    @property
    def blocks(self) -> Blocks:
        """Views of whole cells: ``a.blocks[0, 2]`` is what one object stores."""
        return Blocks(self)

    def append(self, rows: Any) -> tuple[int, ...]:
        """Add rows along axis 0. Appends of several writers all survive, one after the other.

        Parameters
        ----------
        rows : array_like
            Of shape ``(k, *shape[1:])``. Those of a dask array are stored by its tasks, as
            one commit.

        Returns
        -------
        tuple of int
            The new shape.

        Raises
        ------
        InvalidError
            The rows have another shape.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((0, 2), "examples/append", dtype="int8")
        >>> a.append([[1, 2], [3, 4]])
        (2, 2)
        """
        session = self._session
        if is_dask(rows):
            append_dask(self, rows)
            return self.shape
        with session.lock:
            session.check_writable()
            engine = self._engine()
            if not engine.shape:
                raise InvalidError(f"{self.name} has no axes, so nothing can be appended to it")
            rows = elements(rows, engine.cells.dtype, self.name)
            if rows.ndim != len(engine.shape) or rows.shape[1:] != engine.shape[1:]:
                raise InvalidError(
                    f"can't append rows of shape {rows.shape} to {self.name} of shape "
                    f"{engine.shape}; expected (k, {', '.join(map(str, engine.shape[1:]))})"
                )
            check_size((engine.shape[0] + len(rows), *engine.shape[1:]))
            self._state.append(rows)
            session.touch()
            return engine.shape

    def resize(self, shape: int | tuple[int, ...]) -> None:
        """Change the shape. New elements have the fill value; what is cut off is gone."""
        wanted = (shape,) if isinstance(shape, int) else tuple(shape)
        session = self._session
        with session.lock:
            session.check_writable()
            old = self._engine().shape
            if len(wanted) != len(old):
                raise InvalidError(f"{self.name} has {len(old)} axes, not {len(wanted)}")
            if any(not isinstance(n, int | np.integer) for n in wanted):
                raise InvalidTypeError(f"lengths must be integers, not {wanted}")
            if any(n < 0 for n in wanted):
                raise InvalidError(f"lengths can't be negative: {wanted}")
            check_size(tuple(map(int, wanted)))
            self._state.resize(tuple(map(int, wanted)))
            session.touch()

    # -- commits -------------------------------------------------------------

    def flush(self) -> None:
        """Store and commit everything that was written, without a message.

        Inside a transaction it only stores: the end of the transaction commits.
        """
        self._session.check()
        if self._session.writable:
            self._session.sync()

    def close(self) -> None:
        """Commit what was written; the handle can't be used after."""
        self._session.close()

    def discard(self) -> None:
        """Drop everything written since the last commit."""
        self._session.discard()

    def refresh(self) -> bool:
        """Take in what others committed; says whether there was anything."""
        return self._session.refresh()

    @contextlib.contextmanager
    def transaction(self, message: str | None = None) -> Iterator[Self]:
        """Group writes into one commit: nobody sees any of them before the end.

        An exception inside drops them all.

        Examples
        --------
        >>> import hubzarr as hub
        >>> a = hub.array((4,), "examples/transaction")
        >>> with a.transaction("both or none"):
        ...     a[0] = 1
        ...     a[1] = 2
        >>> a.log()[0].message
        'both or none'
        """
        with self._session.transaction(message):
            yield self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _at: object) -> None:
        # What was written before an error is committed all the same: only a transaction
        # promises all or nothing.
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            # The first error is the one to see; the handle stays open with what it holds.
            error.add_note(f"besides, closing {self.name} failed: {failure}")

    # -- elsewhere -----------------------------------------------------------

    def _lazy(self, name: str | None, **options: Any) -> Any:
        return self._lazy_of(self._transform(), name, **options)

    def _lazy_of(self, t: Transform, name: str | None, **options: Any) -> Any:
        return lazy(self._handle(), self._engine(), t, name, **options)

    def _handle(self) -> Source:
        self._commit_for_others()
        return source_of(self._session, self._path)

    def _commit_for_others(self) -> None:
        """Commit what was written: tasks and other processes see commits only."""
        session = self._session
        with session.lock:
            session.check()
            if session.in_transaction and session.dirty:
                raise InvalidError(
                    f"what this transaction wrote to {self.name} is not committed, so no other "
                    "process and no dask task can see it: end the transaction first"
                )
            session.sync()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._handle(), self.name)

    # -- text ----------------------------------------------------------------

    @property
    def info(self) -> dict[str, Any]:
        """What there is to know about the array, without reading chunks."""
        commit = self._session.manifest.commit
        engine = self._engine()
        cells = engine.cells
        return {
            "name": self.name,
            "version": self.version,
            "commit": commit.id,
            "number": commit.number,
            "sealed": self._session.manifest.sealed,
            "shape": self.shape,
            "dtype": str(self.dtype),
            "chunks": self.chunks,
            "shards": self.shards,
            "codecs": codec_names(self._state.document["codecs"]),
            "fill_value": self.fill_value,
            "nbytes": self.nbytes,
            "cells": int(np.prod(engine.table.grid, dtype=np.int64)),
            "attributes": dict(self.attributes),
            "read_only": self.read_only,
            "storage": cells.storage.url,
        }

    def __repr__(self) -> str:
        # Of a closed handle as well: debuggers and notebooks show it.
        engine = self._state.engine
        cells = engine.cells
        shards = f" shards={cells.cell_shape}" if cells.shard else ""
        state = " closed" if self._session.closed else " read-only" if self.read_only else ""
        return (
            f"<hubzarr.Array {self.name}:{self.version}@{self._session.manifest.commit.number} "
            f"shape={engine.shape} dtype={cells.dtype} chunks={cells.chunk_shape}{shards}{state}>"
        )

    def __str__(self) -> str:
        return edge_text(self)

    def _repr_html_(self) -> str:
        rows = [(k, say_bytes(v) if k == "nbytes" else str(v)) for k, v in self.info.items()]
        return html_table(f"{self.name}:{self.version}", rows)


def _same_box(a: Transform, b: Transform) -> bool:
    return a.box is not None and (a.box, a.shape, a.axes) == (b.box, b.shape, b.axes)


def codec_names(codecs: list[dict[str, Any]]) -> list[str]:
    """Names of a chain of codecs; for shards, of what encodes the chunks in them."""
    names: list[str] = []
    for codec in codecs:
        names.append(codec["name"])
        if codec["name"] == "sharding_indexed":
            names += codec_names(codec["configuration"]["codecs"])
    return names


def _reopened(source: Source, name: str) -> Array:
    """The handle that unpickling makes."""
    return Array(open_source(source, source.writable), name, source.path)
