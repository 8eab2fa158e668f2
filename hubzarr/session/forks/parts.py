"""What travels between the owner of a session and its workers: forks, and what came of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.engine.objects import CellStore
from hubzarr.errors import StorageError
from hubzarr.history.manifest import Node
from hubzarr.indexing import Box
from hubzarr.stats import Rows
from hubzarr.storage.base import Storage

__all__ = ["Fork", "Written", "combine", "flattened", "layout_of", "without_secrets_here"]

type Array = np.ndarray[Any, Any]
type Document = dict[str, Any]

#: What a document may change in without its chunks meaning something else.
_APART = frozenset({"shape", "attributes", "dimension_names"})


@dataclass(frozen=True, slots=True)
class Fork:
    """A state of a session from which any process may write chunks: small and picklable.

    It carries no secrets and no connections. What the session changed and did not commit is
    in it; pages that this needs were stored.

    Parameters
    ----------
    storage : Storage
        The repository's.
    name : str
        For messages.
    version, number, commit : str, int, str
        The commit under the session.
    nodes : tuple of (str, Node or None)
        Arrays that may be written, by path; None: as in that commit.
    token : str
        Tells forks apart.
    """

    storage: Storage
    name: str
    version: str
    number: int
    commit: str
    nodes: tuple[tuple[str, Node | None], ...]
    token: str

    def __dask_tokenize__(self) -> str:
        return self.token


@dataclass(frozen=True, slots=True)
class Written:
    """Cells of one array that were stored and that no commit refers to yet.

    Parameters
    ----------
    path : str
        Of the array.
    layout : str
        What `layout_of` says of the array: the cells fit no other.
    shape : tuple of int or None
        Of the array that the cells were cut from; None: they fit any shape with such cells.
    cells : ndarray of int64, shape (k, axes)
        Positions in the grid; an array without axes has one at (0,).
    ids : ndarray of uint64, shape (k,)
        Write id of each; 0: fill values were written where nothing is stored.
    before : ndarray of uint64, shape (k,)
        The write ids in their place that they were made on top of; 0: there was none.
    rows : ndarray of statistics, shape (k, channels), or None
        Statistics of each; None: unknown.
    parts : tuple of (int, Box)
        Which elements of a cell were written, counted from its corner, for those written
        in part only: (position in `cells`, box).

    Examples
    --------
    >>> import numpy as np
    >>> cells = np.array([[0, 3], [0, 4]])
    >>> ids = np.array([7, 7], np.uint64)
    >>> one = Written("x", "a1b2", None, cells, ids, np.zeros(2, np.uint64))
    >>> (both,) = combine([one, one])
    >>> len(both.cells)
    4
    """

    path: str
    layout: str
    shape: tuple[int, ...] | None
    cells: Array
    ids: Array
    before: Array
    rows: Rows | None = None
    parts: tuple[tuple[int, Box], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<{np.count_nonzero(self.ids)} chunks of {self.path or '/'!r} stored>"


def combine(written: Iterable[Written | Iterable[Written]]) -> list[Written]:
    """Put together what several tasks wrote: one for each array.

    Lists of lists are fine, so this can be a node of a tree of tasks.
    """
    groups: dict[tuple[object, ...], list[Written]] = {}
    for one in flattened(written):
        if len(one):
            known = one.rows is not None
            groups.setdefault((one.path, one.layout, one.shape, known), []).append(one)
    return [group[0] if len(group) == 1 else _joined(group) for group in groups.values()]


def flattened(written: Written | Iterable[Any]) -> Iterable[Written]:
    """All of them, however they are nested."""
    if isinstance(written, Written):
        yield written
        return
    for one in written:
        yield from flattened(one)


def _joined(group: list[Written]) -> Written:
    first = group[0]
    starts = np.cumsum([0, *(len(one) for one in group)]).tolist()
    rows = [one.rows for one in group if one.rows is not None]
    return Written(
        first.path,
        first.layout,
        first.shape,
        np.concatenate([one.cells for one in group]),
        np.concatenate([one.ids for one in group]),
        np.concatenate([one.before for one in group]),
        np.concatenate(rows) if rows else None,
        tuple([(start + i, box) for start, one in zip(starts, group, strict=False)
               for i, box in one.parts]),
    )  # fmt: skip


def layout_of(cells: CellStore, document: Document) -> str:
    """Where an array's chunks lie and how they are encoded, as a short text.

    What was written for one array can't be taken for another's.
    """
    kept = {key: value for key, value in document.items() if key not in _APART}
    text = json.dumps([cells.storage.url, cells.home, kept], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def without_secrets_here(storage: Storage) -> Iterator[None]:
    """Tell why a worker may be refused where the owner is not: its storage came by pickle."""
    try:
        yield
    except StorageError as error:
        if storage.is_local:
            raise
        raise StorageError(
            f"{error.message} (passwords and keys don't travel with tasks: give them to each "
            "worker in its environment, or in a config file with this root)",
            **error.fields,
        ) from error
