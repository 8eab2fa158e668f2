"""Where rows go: behind the rows of a dataset, or in place of those that were read."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hubzarr.computing.batches import Batch, Column
from hubzarr.computing.collecting import Names
from hubzarr.computing.plans import Plan, settle
from hubzarr.datasets import Dataset, DatasetView
from hubzarr.datasets.catalog import catalog_of, join
from hubzarr.datasets.parallel_owner import Rooms, write_columns
from hubzarr.datasets.undoing import as_it_is, take_back
from hubzarr.datasets.writing import length_of
from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["Target", "target_of"]


class Target:
    """A dataset, or a group of one, that rows are appended to.

    Parameters
    ----------
    view : DatasetView
        The dataset; or, to be changed in place, rows of it.
    in_place : bool
        Whether rows are changed instead.
    """

    def __init__(self, view: DatasetView, in_place: bool) -> None:
        self.session = view._session
        self.in_place = in_place
        self._group = view._group
        tensors = catalog_of(self.session).under(self._group)
        prefix = len(self._group) + 1 if self._group else 0
        self.names = Names(
            tuple(path[prefix:] for path in tensors),
            tuple(path[prefix:] for path, entry in tensors.items() if not entry.hidden),
        )
        #: Where workers may store samples by themselves.
        paths = {name: self.path(name) for name in self.names.tensors}
        self.rooms = Rooms(self.session, paths, in_place=in_place)

    def path(self, name: str) -> str:
        """Path of a tensor."""
        return join(self._group, name)

    def label(self, name: str) -> str:
        """What an evaluation on it is called."""
        if not self._group:
            return f"{name} in place" if self.in_place else name
        return f"{name} {'in' if self.in_place else 'to'} {self._group}"

    @contextlib.contextmanager
    def transaction(self, message: str | None) -> Iterator[None]:
        """All that is written inside is one commit, or part of the transaction there is."""
        session = self.session
        if not session.in_transaction:
            with session.transaction(message):
                before = session.manifest.commit
                yield
                self.rooms.settle()
            self.rooms.committed(before, session.manifest.commit)
            return
        with session.lock:
            entries = catalog_of(session).under(self._group)
            tensors = {path: as_it_is(session, path, entry) for path, entry in entries.items()}
        try:
            yield
            self.rooms.settle()
        except BaseException:
            with session.lock:
                take_back(session, tensors)
            raise

    def settle(self, columns: Mapping[str, Column], names: Sequence[str]) -> dict[str, Plan]:
        """Let samples decide what tensors left open."""
        return {name: settle(self.session, self.path(name), columns[name].values) for name in names}

    def write(self, items: Sequence[Any], batch: Batch) -> None:
        """Write the samples of a batch."""
        columns = {self.path(n): c for n, c in batch.columns.items() if len(c.values)}
        if not columns:
            return
        values = {path: column.values for path, column in columns.items()}
        at = None
        if self.in_place:
            rows = np.asarray(items, np.int64)
            at = {path: np.repeat(rows, column.counts) for path, column in columns.items()}
        with self.session.lock:
            if batch.stored:
                self.rooms.add(values, at)
            else:
                self.rooms.settle()
                write_columns(self.session, values, at)


def target_of(given: Any, ds_out: Dataset | None, aligned: bool) -> Target:
    """Where the rows of an evaluation go.

    Parameters
    ----------
    given : object
        The inputs.
    ds_out : Dataset, optional
        None: `given` is changed in place.
    aligned : bool
        Whether each input gives whole rows.
    """
    if ds_out is None:
        return _in_place(given)
    if not isinstance(ds_out, Dataset):
        raise InvalidTypeError(
            f"ds_out is a dataset, not a {type(ds_out).__name__}; make one with hub.dataset(name)"
        )
    ds_out._session.check_writable()
    target = Target(ds_out, in_place=False)
    if not target.names.tensors:
        raise InvalidError(f"{ds_out.name} has no tensors: make them first, with create_tensor")
    if aligned:
        _check_level(target)
    return target


def _in_place(given: Any) -> Target:
    if not isinstance(given, DatasetView):
        raise InvalidError(
            f"ds_out is missing: a {type(given).__name__} can't be changed in place, as a dataset "
            "or a view can; say which dataset to append to, as in eval(inputs, ds)"
        )
    given._session.check_writable()
    counts = Counter(given.sample_indices)
    twice = next((row for row, n in counts.items() if n > 1), None)
    if twice is not None:
        raise InvalidError(f"row {twice} comes more than once, so it can't be changed in place")
    return Target(given, in_place=True)


def _check_level(target: Target) -> None:
    tensors = catalog_of(target.session).tensors
    paths = [target.path(name) for name in target.names.needed]
    lengths = {path: length_of(target.session, path, tensors[path]) for path in paths}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path}: {n}" for path, n in lengths.items())
        raise InvalidError(
            f"tensors differ in length ({listed}), so new samples would not be rows: append to "
            "the shorter ones first, or say skip_ok=True to fill only some tensors"
        )
