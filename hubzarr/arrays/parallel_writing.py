"""Parallel writes to one array: tasks store the chunks, and one commit shows them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.arrays.parallel_graph import (
    BLOCK_BYTES,
    Region,
    aligned,
    is_dask,
    region_of,
    storing_graph,
)
from hubzarr.arrays.values import check_size, fitted
from hubzarr.errors import ConflictError, InvalidError, NotFoundError, ReadOnlyError
from hubzarr.history.heads import head
from hubzarr.history.log import ancestors
from hubzarr.history.manifest import Commit
from hubzarr.history.versions import read_manifest
from hubzarr.indexing import apply, identity
from hubzarr.progress import dask_progress
from hubzarr.session import Session
from hubzarr.session.forks.forking import Fork, Written, fork_session, merge_forks

if TYPE_CHECKING:
    import dask.array
    from dask.delayed import Delayed

    from hubzarr.arrays.array import Array

__all__ = ["Writing", "append_dask", "show", "twin_of"]


class Writing:
    """One parallel write to an array.

    It goes through a session of its own, so that the handle can be used meanwhile and
    nothing is left of a failure; in a transaction through the handle's.
    """

    def __init__(self, array: Array, message: str | None) -> None:
        self.array = array
        self.message = message
        self.session = array._session
        self.path = array._path
        self.session.check_writable()

    def store(self, x: Any, region: Any, compute: bool, scheduler: Any) -> Any:
        """See `ArrayStore.__call__`."""
        where = region_of(region, self.array.shape, self.array.name)
        if not compute:
            return self._later(_as_dask(x), where)
        if not is_dask(x := _lazily(x)):
            return self._at_once(x, where)
        x = _fitting(x, where.shape, self.array.name)
        return self._run(lambda _: where, x, scheduler)

    def append(self, rows: dask.array.Array, scheduler: Any = None) -> None:
        """Add the rows of a dask array."""
        shape = self.array.shape
        if not shape or rows.ndim != len(shape) or rows.shape[1:] != shape[1:]:
            raise InvalidError(
                f"can't append rows of shape {rows.shape} to {self.array.name} of shape {shape}; "
                f"expected (k, {', '.join(map(str, shape[1:]))})"
            )
        _check_known(rows)
        check_size((shape[0] + len(rows), *shape[1:]))

        def grown(session: Session) -> Region:
            state = session.array(self.path)
            start = state.grow(len(rows))
            return region_of(slice(start, None), state.shape, self.array.name)

        self._run(grown, rows, scheduler)

    def _run(self, place: Callable[[Session], Region], x: Any, scheduler: Any) -> Commit | None:
        session = self.session
        if session.in_transaction:
            self._stored(session, place(session), x, scheduler)
            return None
        session.sync()
        with twin_of(session) as twin:
            self._stored(twin, place(twin), x, scheduler)
            made = twin.commit(self.message)
        show(session)
        return made

    def _stored(self, session: Session, where: Region, x: Any, scheduler: Any) -> None:
        fork = fork_session(session, [self.path])
        key, graph = self._graph(session, fork, where, x)
        with dask_progress(f"storing {self.array.name}, tasks"):
            written = _delayed(key, graph).compute(scheduler=scheduler)
        merge_forks(session, [written])

    def _graph(self, session: Session, fork: Fork, where: Region, x: Any) -> tuple[Any, Any]:
        cells = session.array(self.path).engine.cells
        x = where.spread(x)
        return storing_graph(
            aligned(x, where.box, cells.cell_shape), fork, self.path, where.box, cells.dtype
        )

    def _at_once(self, x: Any, where: Region) -> Commit | None:
        """Store what is in memory, or comes from a file, block by block from this process."""
        session, array = self.session, self.array
        if session.in_transaction:
            _copy(array, x, where)
            return None
        with array.transaction(self.message):
            _copy(array, x, where)
        return session.manifest.commit

    def _later(self, x: Any, where: Region) -> Delayed:
        session = self.session
        if session.in_transaction:
            raise InvalidError(
                "a transaction can't contain a commit that is made later: use compute=True, or "
                "end the transaction first"
            )
        session.sync()
        fork = fork_session(session, [self.path])
        key, graph = self._graph(session, fork, where, _fitting(x, where.shape, self.array.name))
        last = f"hubzarr-commit-{fork.token}"
        commit = _CommitLater(fork, self.message, session.author)
        later: Delayed = _delayed(last, {**dict(graph), last: (commit, key)})
        return later


def append_dask(array: Array, rows: dask.array.Array) -> None:
    """Add the rows of a dask array along axis 0, in parallel and in one commit."""
    Writing(array, None).append(rows)


# Sessions


@contextlib.contextmanager
def twin_of(session: Session) -> Iterator[Session]:
    """Another session on the same commit, which shares what was read."""
    twin = Session(session.storage, session.manifest, author=session.author, name=session.name)
    twin.reader = session.reader
    try:
        yield twin
    finally:
        twin.closed = True  # without a commit, if an error left something


def show(session: Session) -> None:
    """Let a handle's session see what its twin committed.

    If that clashes with what was written to the handle meanwhile, the handle's next sync says
    so: the commit was made all the same.
    """
    with contextlib.suppress(ConflictError):
        session.refresh()


def _delayed(key: Any, graph: Any) -> Any:
    """The `Delayed` that computes one key of a graph."""
    from dask.delayed import Delayed

    make: Any = Delayed  # its constructor carries no types
    return make(key, graph)


@dataclass(frozen=True, slots=True)
class _CommitLater:
    """The last task of a graph: commits what the others wrote, in whatever process it runs."""

    fork: Fork
    message: str | None
    author: str

    def __call__(self, written: list[Written]) -> Commit:
        fork = self.fork
        manifest = read_manifest(fork.storage, fork.version, fork.number)
        if manifest is None:
            raise NotFoundError(
                f"commit {fork.version}@{fork.number} of {fork.name} is gone; load it again"
            )
        session = Session(fork.storage, manifest, author=self.author, name=fork.name)
        if manifest.commit.state != "open":
            raise ReadOnlyError(f"{fork.name}:{fork.version} takes no commits any more")
        made = _made_before(session, written)
        if made is not None:
            return made
        merge_forks(session, [written])
        return session.commit(self.message)


def _made_before(session: Session, written: list[Written]) -> Commit | None:
    """The commit of these writes, if the task ran before and its answer was lost."""
    stored = (np.unique(one.ids[one.ids != 0]) for one in written)
    ids = {f"{write_id:016x}" for some in stored for write_id in some.tolist()}
    since = session.manifest.commit.number
    newest = head(session.storage, session.version, since)
    for commit in () if newest is None else ancestors(newest, session.reader):
        if commit.number <= since:
            break
        if ids and ids <= set(commit.writes):
            return commit
    return None


# Values


def _lazily(x: Any) -> Any:
    """The dask array that a value stands for, if it does; else the value."""
    if is_dask(x):
        return x
    data = getattr(x, "data", None)
    if is_dask(data):  # of xarray
        return data
    to_dask = getattr(x, "to_dask", None)
    return to_dask() if callable(to_dask) and hasattr(x, "dtype") else x


def _as_dask(x: Any) -> Any:
    import dask.array

    da: Any = dask.array
    x = _lazily(x)
    return x if is_dask(x) else da.from_array(x if hasattr(x, "dtype") else np.asarray(x))


def _fitting(x: Any, shape: tuple[int, ...], name: str) -> Any:
    """A dask array broadcast to a shape."""
    import dask.array

    da: Any = dask.array
    _check_known(x)
    if x.shape == shape:
        return x
    try:
        return da.broadcast_to(x, shape)
    except ValueError as error:
        raise InvalidError(
            f"can't store an array of shape {x.shape} in a region of {name} of shape {shape}: "
            "they don't broadcast"
        ) from error


def _check_known(x: Any) -> None:
    if any(n != n for n in x.shape):
        raise InvalidError(
            "a dask array of unknown shape can't be stored: call compute_chunk_sizes() on it first"
        )


def _copy(array: Array, x: Any, where: Region) -> None:
    """Copy values in blocks of whole cells, as they may come from a file larger than memory."""
    if not where.box or not where.kept[0] or np.shape(x) != where.shape:
        _copy_part(array, x, where)
        return
    (start, stop), *rest = where.box
    cell = (array.shards or array.chunks)[0]
    row = array.dtype.itemsize * math.prod([b - a for a, b in rest])
    step = cell * max(1, BLOCK_BYTES // max(1, cell * row))
    for low in range(start // step * step, stop, step):
        low, high = max(low, start), min(low + step - low % step, stop)
        part = Region(((low, high), *rest), where.kept)
        _copy_part(array, x[low - start : high - start], part)


def _copy_part(array: Array, x: Any, where: Region) -> None:
    t = apply(identity(array.shape), tuple([slice(a, b) for a, b in where.box]))
    array._write(t, where.spread(fitted(x, where.shape, array.dtype, array.name)))
