"""Room for samples that workers store, and what they stored, put into a dataset by its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hubzarr.datasets import layout
from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.columns import column_of
from hubzarr.datasets.parallel import (
    Form,
    RaggedForm,
    Room,
    Size,
    StoredBytes,
    StoredRows,
    UniformForm,
)
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.undoing import as_it_is, take_back
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.datasets.writing import extend, update_many
from hubzarr.errors import ConflictError
from hubzarr.history.manifest import Commit
from hubzarr.indexing import apply, identity
from hubzarr.session import Session
from hubzarr.session.forks.forking import Fork, fork_session, layout_of, merge_forks

__all__ = ["Rooms", "write_columns"]

type Array = np.ndarray[Any, Any]
type Columns = dict[str, Any]
#: Rows that samples are put in place of, by path; None: they are appended.
type Places = Mapping[str, Array] | None

#: Samples of a batch that take less are sent to the owner, who packs those of many batches.
WORTH: Final = 512 << 10
#: Rows of uniform tensors that take less, too.
_LEAST_ROW: Final = 4 << 10
#: So many batches are put into the dataset together: each time costs some small objects.
_TOGETHER: Final = 32


class Rooms:
    """Sets room aside in tensors of a session, and takes in what workers stored there.

    Parameters
    ----------
    session : Session
    paths : mapping
        Paths of tensors by the names that batches have for them.
    in_place : bool
        Whether samples are put in place of others: rows of uniform tensors share cells then.
    """

    def __init__(
        self, session: Session, paths: Mapping[str, str], *, in_place: bool = False
    ) -> None:
        self._session = session
        self._paths = dict(paths)
        self._in_place = in_place
        self._fork: Fork | None = None
        self._layouts: dict[str, str] = {}
        self._waiting: list[tuple[Columns, Places]] = []
        #: The first of commits that have nobody else's between them, for each of the others.
        self._epochs: dict[str, str] = {}

    # -- room --------------------------------------------------------------------------

    def aside(self, sizes: Mapping[str, Size], ahead: Mapping[str, int] | None) -> dict[str, Room]:
        """Set room aside for the samples of one batch.

        Parameters
        ----------
        sizes : mapping
            Of samples by name of the tensor, for those that are ready.
        ahead : mapping or None
            Rows of earlier batches that are still to come; None: nobody knows their number.

        Returns
        -------
        dict
            By name; without those that workers had better send to the owner.
        """
        with self._session.lock:
            rooms = {}
            for name, size in sizes.items():
                if size.nbytes < WORTH or size.largest < 0:
                    continue
                form = self._form(self._paths[name])
                if isinstance(form, RaggedForm):
                    rooms[name] = self._cells(form, size)
                elif isinstance(form, UniformForm) and ahead is not None:
                    first = self._rows(name) + ahead.get(name, 0)
                    rooms[name] = Room(form, first, size.rows, self._epoch)
            return rooms

    def _cells(self, form: RaggedForm, size: Size) -> Room:
        blob = self._session.array(form.path)
        count = -(-size.nbytes // form.cell)
        end = -(-blob.shape[0] // form.cell)
        blob.grow((end + count) * form.cell - blob.shape[0])
        return Room(form, end, count, self._epoch)

    def _rows(self, name: str) -> int:
        """Length of a tensor with the rows that wait."""
        path = self._paths[name]
        column = column_of(self._session, path, catalog_of(self._session).tensors[path])
        waiting = sum(len(columns.get(path, ())) for columns, at in self._waiting if at is None)
        return waiting + (0 if column is None else len(column))

    def _form(self, path: str) -> Form | None:
        """How samples of a tensor are stored now; None if workers had better not."""
        entry = catalog_of(self._session).tensors.get(path)
        column = None if entry is None else column_of(self._session, path, entry)
        if entry is None or column is None:
            return None
        if isinstance(column, RaggedColumn):
            blob = column.blob.engine.cells
            channels = 0 if column.statistics is None else entry.statistics
            path = f"{path}/{layout.BYTES}"
            return RaggedForm(path, entry.spec, column.ndim, channels, blob.cell_shape[0])
        if self._in_place or column.row_nbytes < _LEAST_ROW:
            return None
        rows = column.state.engine.cells.cell_shape[0]
        return UniformForm(path, column.row_shape, column.dtype, rows)

    def fork(self, rooms: Mapping[str, Room]) -> Fork:
        """A fork of the session through which workers store samples in rooms."""
        with self._session.lock:
            wanted = {room.form.path for room in rooms.values()}
            layouts = {path: self._layout(path) for path in wanted | self._layouts.keys()}
            layouts = {path: layout for path, layout in layouts.items() if layout}
            if self._fork is None or layouts != self._layouts:
                self._fork = fork_session(self._session, sorted(layouts))
                self._layouts = layouts
            return self._fork

    def _layout(self, path: str) -> str:
        document = self._session.document(path)
        if document is None or document.get("node_type") != "array":
            return ""
        return layout_of(self._session.array(path).engine.cells, document)

    def hold(self, rooms: Mapping[str, Room]) -> bool:
        """Whether rooms are still good for the batch that comes next.

        They are not if a tensor took on another form meanwhile, or if a commit of somebody
        else moved the rows and bytes that come behind it.
        """
        with self._session.lock:
            return all(
                room.epoch == self._epoch
                and room.form == self._form(self._paths[name])
                and (isinstance(room.form, RaggedForm) or room.first == self._rows(name))
                for name, room in rooms.items()
            )

    @property
    def _epoch(self) -> str:
        now = self._session.manifest.commit.id
        return self._epochs.get(now, now)

    def committed(self, before: Commit, after: Commit) -> None:
        """The session has made a commit: rooms hold unless it had to be put behind others."""
        if after.parent == before.address:
            self._epochs[after.id] = self._epochs.get(before.id, before.id)

    # -- what was stored ---------------------------------------------------------------

    def add(self, columns: Columns, at: Places = None) -> None:
        """Append a batch of samples, by path of the tensor: stored ones, and others beside them.

        They are in the dataset after the next `settle` at the latest. With `at` they are put
        in place of others.
        """
        stored = {path for each, _ in self._waiting for path, v in each.items() if _is_stored(v)}
        if any(path in stored and not _is_stored(v) for path, v in columns.items()):
            self.settle()  # what comes now may give the tensor another form
        self._waiting.append((columns, at))
        plain = [path for path, values in columns.items() if not _is_stored(values)]
        if len(self._waiting) >= _TOGETHER or any(
            isinstance(self._form(path), UniformForm) for path in plain
        ):
            self.settle()  # rows that don't fit make a uniform tensor a ragged one

    def settle(self) -> None:
        """Put all that waits into the dataset: all that is to be appended, or none of it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        session = self._session
        with session.lock:
            tensors = catalog_of(session).tensors
            paths = {path for columns, at in waiting if at is None for path in columns}
            before = {path: as_it_is(session, path, tensors[path]) for path in paths}
            try:
                # Of each tensor, those that workers did not store come first.
                for columns, at in waiting:
                    write_columns(
                        session, {p: v for p, v in columns.items() if not _is_stored(v)}, at
                    )
                self._take_in([value for columns, _ in waiting for value in columns.values()])
                for columns, at in waiting:
                    self._write_stored(columns, at)
            except BaseException:
                take_back(session, before)
                raise
            session.touch()

    def _take_in(self, values: list[Any]) -> None:
        """Make the cells that workers stored cells of the session."""
        for value in values:
            if isinstance(value, StoredRows):
                path = value.room.form.path
                if self._session.array(path).grow(value.count) != value.room.first:
                    raise ConflictError(
                        f"tensor {path!r} changed while workers stored rows of it; call it again"
                    )
        stored = [v.written for v in values if isinstance(v, StoredBytes | StoredRows)]
        merge_forks(self._session, [written for written in stored if len(written)])

    def _write_stored(self, columns: Columns, at: Places) -> None:
        for path, values in columns.items():
            if isinstance(values, StoredBytes):
                self._write_index(path, values, None if at is None else at[path])
            elif isinstance(values, StoredRows):
                self._write_ends(values)

    def _write_index(self, path: str, values: StoredBytes, rows: Array | None) -> None:
        """Refer to stored samples: in new rows, or in place of what these rows had."""
        column = RaggedColumn(self._session, path, catalog_of(self._session).tensors[path])
        for state, block in (
            (column.statistics, values.statistics),
            (column.index, values.index),
        ):
            if state is None or block is None:
                continue
            if rows is None:
                state.append(block)
            else:
                state.engine.write(apply(identity(state.shape), (rows,)), block)

    def _write_ends(self, values: StoredRows) -> None:
        """Write the rows whose cells hold rows of other batches, too."""
        column = UniformColumn(self._session.array(values.room.form.path))
        first = values.room.first
        for start, block in (
            (first, values.head),
            (first + values.count - len(values.tail), values.tail),
        ):
            if len(block):
                column.write(slice(start, start + len(block)), block)


def _is_stored(values: Any) -> bool:
    return isinstance(values, StoredBytes | StoredRows)


def write_columns(session: Session, columns: Mapping[str, Any], at: Places = None) -> None:
    """Append samples to tensors, or put them in place of others.

    Those of different numbers are appended one tensor after the other.
    """
    if at is not None:
        for path, values in columns.items():
            update_many(session, path, at[path], values)
    elif len({len(values) for values in columns.values()}) == 1:
        extend(session, columns)
    else:
        for path, values in columns.items():
            extend(session, {path: values})
