"""Writing from many tasks and processes in one commit, as methods of an array's handle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hubzarr.arrays.parallel_graph import region_of
from hubzarr.arrays.parallel_writing import Writing, show, twin_of
from hubzarr.arrays.values import fitted
from hubzarr.errors import InvalidError
from hubzarr.history.manifest import Commit
from hubzarr.session import ArrayState, Session
from hubzarr.session.forks.forking import (
    Fork,
    Written,
    fork_session,
    merge_forks,
    open_fork,
    write_block,
)
from hubzarr.session.store import VersionedStore

if TYPE_CHECKING:
    from hubzarr.arrays.array import Array

__all__ = ["ArrayFork", "ArrayStore", "Parallel"]


@dataclass(frozen=True, slots=True)
class ArrayFork:
    """What other processes need to write to an array: made by `Array.fork`, small, picklable.

    Attributes
    ----------
    name : str
        Of the array.
    """

    name: str
    _fork: Fork
    _path: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array when it was forked."""
        return open_fork(self._fork).array(self._path).shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return open_fork(self._fork).array(self._path).cells.dtype

    def write(self, region: Any, values: Any) -> Written:
        """Store the values of a region; nobody sees them before `Array.join`.

        Regions of whole chunks are quickest: of others, the rest of the chunk is read.

        Parameters
        ----------
        region : slice, int, or tuple of them
            Contiguous, inside the array.
        values : array_like
            Broadcast to the region.

        Returns
        -------
        Written
            A few bytes for each chunk, to be given to `Array.join`.
        """
        array = open_fork(self._fork).array(self._path)
        where = region_of(region, array.shape, self.name)
        block = where.spread(fitted(values, where.shape, array.cells.dtype, self.name))
        return write_block(self._fork, self._path, where.box, block)


class ArrayStore(VersionedStore):
    """An array's repository as a Zarr store; a call stores values in the array itself."""

    _array: Array | None = None

    def __call__(
        self,
        x: Any,
        region: Any = None,
        *,
        message: str | None = None,
        compute: bool = True,
        scheduler: Any = None,
    ) -> Any:
        """Store `x` in a region of the array, in parallel and in one commit.

        Of a dask array, blocks of whole chunks are stored by the tasks themselves, wherever
        they run. Nothing shows before all of them are, and an error in one changes nothing.

        Parameters
        ----------
        x : dask.array.Array or array_like
            Broadcast to the region.
        region : slice, int, or tuple of them, optional
            Contiguous, inside the array; all of it by default.
        message : str, optional
            Of the commit. In a transaction there is none: its end commits.
        compute : bool
            False returns a `dask.delayed.Delayed` that does all this when it is computed.
        scheduler : optional
            As for `dask.compute`: by default the current client's cluster, else threads.

        Returns
        -------
        Commit, Delayed or None
            None in a transaction.

        Examples
        --------
        >>> import dask.array as da
        >>> import hubzarr as hub
        >>> a = hub.array((6, 4), "examples/store", chunks=(2, 4), dtype="int64")
        >>> a.store(da.ones((4, 4), chunks=2), region=slice(0, 4), message="ones").number
        1
        >>> a.sum(), a.log()[0].changes[""]
        (np.int64(16), {'cells': 2})
        """
        if self._array is None:
            raise InvalidError("this store stands for no array; use that of an array: a.store(x)")
        writing = Writing(self._array, message)
        return writing.store(x, region, compute, scheduler)


class Parallel:
    """Writing from many processes."""

    name: str
    _session: Session
    _state: ArrayState
    _path: str

    @property
    def store(self) -> ArrayStore:
        """The repository at this handle's state as a Zarr store, for xarray and others.

        Called, it stores a dask array or other values in this array, in parallel and as one
        commit: ``a.store(x, region=None, message=None, compute=True, scheduler=None)``. The
        region is a slice, an integer or a tuple of them; ``compute=False`` returns a
        `dask.delayed.Delayed`; schedulers are those of `dask.compute`.

        Examples
        --------
        >>> import dask.array as da
        >>> import hubzarr as hub
        >>> a = hub.array((4, 4), "examples/storing", chunks=(2, 4), dtype="int64")
        >>> a.store(da.arange(4), region=2, message="a row").message
        'a row'
        >>> import zarr
        >>> zarr.open_array(a.store, mode="r")[2].tolist()
        [0, 1, 2, 3]
        """
        store = ArrayStore(self._session)
        store._array = cast("Array", self)
        return store

    def fork(self) -> ArrayFork:
        """Let other processes write to the array as it is now, for one commit.

        Returns
        -------
        ArrayFork
            Send it to tasks of any kind. They call its `write` and return what it returns,
            which `join` commits.

        Examples
        --------
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> import hubzarr as hub
        >>> a = hub.array((4, 100), "examples/fork", chunks=(1, 100), dtype="int64")
        >>> fork = a.fork()
        >>> with ThreadPoolExecutor() as pool:
        ...     results = list(pool.map(lambda row: fork.write(row, row), range(4)))
        >>> a.sum(), a.join(results, "four rows").number, a.sum()
        (np.int64(0), 1, np.int64(600))
        """
        return ArrayFork(self.name, fork_session(self._session, [self._path]), self._path)

    def join(
        self, results: Iterable[Written | Iterable[Written]], message: str | None = None
    ) -> Commit | None:
        """Commit what tasks wrote to a fork of the array, all at once.

        Parameters
        ----------
        results : iterable of Written
            What `ArrayFork.write` returned; lists of lists are fine. Of a task that ran
            twice, either result will do.
        message : str, optional
            Of the commit.

        Returns
        -------
        Commit or None
            None in a transaction: its end commits.

        Raises
        ------
        ConflictError
            Two tasks wrote the same elements, or the array changed there meanwhile to other
            values. Nothing is changed.
        """
        session = self._session
        with session.lock:
            if session.in_transaction:
                merge_forks(session, results)
                return None
            session.sync()
            with twin_of(session) as twin:
                merge_forks(twin, results)
                made = twin.commit(message)
            show(session)
            return made
