"""Bringing what will be read to the local disk, ahead of time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hubzarr.arrays import Array, View
from hubzarr.config import get_config
from hubzarr.datasets import DatasetView, Tensor
from hubzarr.datasets.layout import BYTES, INDEX, LARGE
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.rows import Rows, as_numbers
from hubzarr.errors import InvalidError, InvalidTypeError, OfflineError, StorageError
from hubzarr.indexing import apply, identity
from hubzarr.names import DEFAULT_VERSION, parse_name, parse_point
from hubzarr.progress import progress
from hubzarr.session import Session
from hubzarr.session.place import Options, session_of, storage_of
from hubzarr.session.store import VersionedStore
from hubzarr.session.touching import Touched
from hubzarr.storage.cache.cached import CachedStorage
from hubzarr.wording import say_bytes, say_seconds

__all__ = ["PrefetchReport", "prefetch"]

#: Samples that lie at most so far apart are read together, so what is between them is needed.
_GAP = 64 << 10


@dataclass(frozen=True)
class PrefetchReport:
    """What a prefetch did.

    Attributes
    ----------
    name, version, commit : str
        What was brought here.
    objects : int
        Stored objects that it touches.
    nbytes : int
        Bytes of them that are now here.
    fetched : int
        Bytes that came over the network for that; the rest was here already.
    seconds : float
    cached : bool
        False if the store is a local disk, so that nothing needed doing.

    Examples
    --------
    >>> print(PrefetchReport("alice/x", "main", "5f0c", 12, 2_000_000, 1_500_000, 2.0))
    alice/x:main: 12 objects, 2.0 MB, are on this machine; 1.5 MB came over the network in 2.0 s
    """

    name: str
    version: str
    commit: str
    objects: int
    nbytes: int
    fetched: int
    seconds: float
    cached: bool = True

    def __str__(self) -> str:
        what = f"{self.name}:{self.version}"
        if not self.cached:
            return f"{what} is on this machine: there is nothing to fetch"
        objects = f"{self.objects:,} object{'s' * (self.objects != 1)}"
        return (
            f"{what}: {objects}, {say_bytes(self.nbytes)}, are on this machine; "
            f"{say_bytes(self.fetched)} came over the network in {say_seconds(self.seconds)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def prefetch(what: Any, *, storage_options: Options = None) -> PrefetchReport:
    """Bring an array, a dataset or a part of one into the disk cache.

    What is there already is not fetched again, so a prefetch that was interrupted goes on
    where it ended. Everything is checked. Afterwards it can be read without a network.

    Parameters
    ----------
    what : str, Array, View, Dataset, DatasetView, Tensor or VersionedStore
        A name stands for all of its newest commit. Of a view only the chunks that it
        touches are fetched, of rows of a dataset only their samples.
    storage_options : mapping, optional
        With a name: options of its store.

    Returns
    -------
    PrefetchReport
        Print it, or look at `objects`, `nbytes` and `fetched`.

    Raises
    ------
    InvalidError
        No disk cache is configured, or the handle was opened before it was.
    StorageError
        The cache is too small, or its disk is full.
    OfflineError
        The setting ``offline`` is on.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.from_numpy(np.arange(10), "examples/near")
    >>> print(hub.prefetch(a[2:5]))
    examples/near:main is on this machine: there is nothing to fetch
    """
    started = time.perf_counter()
    pinned = False
    if isinstance(what, str):
        parsed = parse_name(what)
        pinned = parsed.point is not None and isinstance(parse_point(parsed.point), str)
        storage = storage_of(parsed, storage_options)
        session = session_of(parsed, storage, "r", parsed.version or DEFAULT_VERSION)
    else:
        session = _session_of(what)
    commit = session.manifest.commit
    name = session.name, commit.version, commit.id
    if session.storage.is_local:
        return PrefetchReport(*name, 0, 0, 0, time.perf_counter() - started, cached=False)
    storage = _cached(session)
    before = storage.counters.copy()
    touched = Touched(session)
    _add(touched, what, pinned)
    nbytes = _fetch(touched, storage, f"prefetching {session.name}")
    fetched = (storage.counters - before).read_bytes
    seconds = time.perf_counter() - started
    return PrefetchReport(*name, len(touched), nbytes, fetched, seconds)


def _session_of(what: Any) -> Session:
    if isinstance(what, View):
        what = what._array
    if isinstance(what, Array | DatasetView | Tensor):
        return what._session
    if isinstance(what, VersionedStore):
        return what.session
    raise InvalidTypeError(
        f"can't prefetch a {type(what).__name__}: expected a name, an array, a dataset or a view"
    )


def _cached(session: Session) -> CachedStorage:
    """The session's storage, if it can keep what is fetched."""
    storage, config = session.storage, get_config()
    if config.offline:
        raise OfflineError("offline=True, so nothing can be fetched: go online, then prefetch")
    if not isinstance(storage, CachedStorage):
        if config.cache_dir is None:
            raise InvalidError(
                "no disk cache is configured to prefetch into: set one with "
                "hub.configure(cache_dir='~/.cache/hubzarr') or HUBZARR_CACHE_DIR"
            )
        raise InvalidError(
            f"{session.name} was opened before the disk cache was configured: load it again, "
            "then prefetch"
        )
    if storage.offline:
        raise OfflineError(
            f"{session.name} was opened offline, so nothing can be fetched: load it again"
        )
    if not storage.cache.writable:
        raise StorageError(
            f"the disk cache {storage.cache.folder!r} can't be written: correct its rights, or set "
            "cache_dir to another folder"
        )
    storage.cache.wake()
    return storage


def _fetch(touched: Touched, storage: CachedStorage, label: str) -> int:
    cache, nbytes = storage.cache, 0
    with progress(len(touched), label) as bar:
        for sizes in touched.fetch():
            nbytes += sum(sizes)
            if nbytes > cache.limit:
                raise _too_small(storage, f"at least {say_bytes(nbytes)} are needed")
            bar.advance(len(sizes))
    lost = sum(not storage.holds(path) for path in touched.paths)
    if lost:
        raise _too_small(storage, f"{lost:,} of {len(touched):,} objects are not in it")
    return nbytes


def _too_small(storage: CachedStorage, why: str) -> StorageError:
    cache = storage.cache
    return StorageError(
        f"the disk cache {cache.folder!r} of {say_bytes(cache.limit)} can't hold this: {why}; "
        "raise cache_size, free space on its disk, or prefetch less",
        path=cache.folder,
    )


# -- what a handle stands for ----------------------------------------------------


def _add(touched: Touched, what: Any, pinned: bool) -> None:
    touched.add_commit(pinned)
    if isinstance(what, View):
        touched.add_view(what._array._path, what._transform())
    elif isinstance(what, Array):
        touched.add_array(what._path)
    elif isinstance(what, Tensor):
        _add_tensor(touched, what)
    elif isinstance(what, DatasetView) and _is_part(what):
        for tensor in what.tensors.values():
            _add_tensor(touched, tensor)
    else:
        touched.add_all(what._group if isinstance(what, DatasetView) else "")


def _is_part(ds: DatasetView) -> bool:
    """Whether a dataset or a view of it leaves out rows or tensors."""
    return ds._rows is not None or ds._row is not None or ds._chosen is not None


def _add_tensor(touched: Touched, tensor: Tensor) -> None:
    path = tensor._path
    if tensor._rows is None and tensor._row is None:
        touched.add_all(path)
        return
    if touched.session.document(path) is None:
        return  # it was created since the commit
    column = Tensor(touched.session, path)._column
    if column is None:
        return
    rows = _rows_in(tensor, len(column))
    if isinstance(column, RaggedColumn):
        _add_ragged(touched, column, rows)
    else:
        touched.add_view(path, apply(identity(column.state.shape), rows))


def _rows_in(tensor: Tensor, length: int) -> Any:
    """Rows that are in the commit, as an index; those appended since are on no store yet."""
    rows: Rows = range(length)
    if tensor._row is not None:
        rows = range(tensor._row, tensor._row + 1)
    elif tensor._rows is not None:
        rows = tensor._rows
    numbers = as_numbers(rows)
    numbers = numbers[numbers < length]
    if len(numbers) and (np.diff(numbers) == 1).all():
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return numbers


def _add_ragged(touched: Touched, column: RaggedColumn, rows: Any) -> None:
    path = column.path
    index = f"{path}/{INDEX}"
    touched.add_view(index, apply(identity(column.index.shape), rows))
    entries = column.entries(rows)
    small = entries[entries[:, 1] > 0]
    if len(small):
        touched.add_spans(f"{path}/{BYTES}", _joined(small[:, 0], small[:, 0] + small[:, 1]))
    for number in np.unique(entries[entries[:, 1] < 0, 0]).tolist():
        touched.add_array(f"{path}/{LARGE}/{number:016x}")


def _joined(starts: Any, stops: Any) -> np.ndarray[Any, Any]:
    """Spans in order, those that lie close together as one."""
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    first = np.flatnonzero(np.append(True, starts[1:] - stops[:-1] > _GAP))
    return np.stack([starts[first], stops[np.append(first[1:], len(starts)) - 1]], axis=1)
