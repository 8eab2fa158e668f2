"""Rows appended one at a time, kept until there are enough of them to be stored together.

Storing one row costs several times what checking it does, most of it once for each call.
So `Dataset.append` only checks a row that is like those before it, and leaves it here. The
session asks for what waits before anybody looks at an array or a document, and before it
stores or commits anything: nobody sees that rows have waited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.columns import add, column_of
from hubzarr.datasets.entry import TensorEntry
from hubzarr.datasets.ragged import RaggedColumn
from hubzarr.datasets.undoing import as_it_is, take_back
from hubzarr.datasets.uniform import UniformColumn
from hubzarr.errors import SampleError
from hubzarr.htypes import Prepared, prepare
from hubzarr.media import Sample
from hubzarr.session import Session

__all__ = ["WaitingRows"]

#: So many rows, or bytes, are stored at the latest.
_ROWS = 512
_BYTES = 8 << 20
#: A larger array is not copied only to wait.
_COPIED = 64 << 10


class WaitingRows:
    """Rows of several tensors that wait to be stored.

    Parameters
    ----------
    session : Session
    paths : dict
        Paths of the tensors by the names that rows have for them.
    wanted : sequence of str
        Paths that a row must have samples for; no row waits if `paths` has others.

    Examples
    --------
    >>> import hubzarr as hub
    >>> from hubzarr.datasets.waiting import WaitingRows
    >>> ds = hub.empty("examples/waiting")
    >>> ds.create_tensor("x").append(1)
    >>> rows = WaitingRows(ds._session, {"x": "x"}, ["x"])
    >>> rows.take({"x": 2}), rows.take({"x": "two"}), ds.x.numpy().tolist()
    (True, False, [1, 2])
    """

    def __init__(self, session: Session, paths: Mapping[str, str], wanted: Sequence[str]) -> None:
        self._session = session
        same = sorted(paths.values()) == sorted(wanted)
        self._lanes = _lanes(session, paths) if same else {}
        #: What `Session.layout` was: the tensors are the same ones as long as it is that.
        self.layout = session.layout
        self._count = 0
        self._nbytes = 0

    def take(self, row: Mapping[str, Any]) -> bool:
        """Let a row wait if it is one of those that can; needs the lock.

        Returns
        -------
        bool
            False if the row must be appended in the usual way, or refused there.
        """
        session, lanes = self._session, self._lanes
        if session.layout != self.layout or len(row) != len(lanes):
            return False
        if self._count >= _ROWS or self._nbytes >= _BYTES:
            session.let_in()
        if session.waiting is not self and not self._begin():
            return False
        found = []
        try:
            for name, value in row.items():
                lane = lanes.get(name)
                prepared = None if lane is None else lane.prepared(value)
                if lane is None or prepared is None:
                    return False
                found.append((lane.values, prepared))
        except SampleError:
            return False  # and is told there what is wrong
        try:
            for values, prepared in found:
                values.append(prepared)
                self._nbytes += len(prepared.data) if type(prepared.data) is bytes else 8
            self._count += 1
        except BaseException:  # Ctrl-C between two tensors
            self._level()
            raise
        session.waiting = self
        session.touch()
        return True

    def _begin(self) -> bool:
        """Whether rows can wait: nothing else does, and all tensors have one length."""
        session = self._session
        session.check_writable()
        if session.watched:
            return False
        lengths = {lane.length(session) for lane in self._lanes.values()}
        return len(lengths) == 1 and session.layout == self.layout

    def _level(self) -> None:
        """Drop what is no whole row."""
        for lane in self._lanes.values():
            del lane.values[self._count :]

    def settle(self) -> None:
        """Append all that waits; if that fails, all of it goes on waiting."""
        session = self._session
        self._level()
        lanes = self._lanes.values()
        before = {lane.path: as_it_is(session, lane.path, lane.entry) for lane in lanes}
        try:
            for lane in lanes:
                add(session, lane.path, lane.entry, lane.values)
        except BaseException:
            take_back(session, before)
            raise
        self.forget()

    def forget(self) -> None:
        """Drop all that waits."""
        for lane in self._lanes.values():
            lane.values = []
        self._count = self._nbytes = 0


class _Lane:
    """What waits for one tensor.

    Parameters
    ----------
    session : Session
    path : str
    entry : TensorEntry
    column : Column
        Which says what samples fit.
    """

    __slots__ = ("_document", "_ndim", "_shape", "_spec", "entry", "path", "values")

    def __init__(
        self, session: Session, path: str, entry: TensorEntry, column: UniformColumn | RaggedColumn
    ) -> None:
        self.path = path
        self.entry = entry
        self.values: list[Prepared] = []
        self._spec = entry.spec
        self._document = session.document(path) or {}
        self._shape = column.row_shape if isinstance(column, UniformColumn) else None
        self._ndim = column.ndim if isinstance(column, RaggedColumn) else len(column.row_shape)

    def prepared(self, value: Any) -> Prepared | None:
        """A sample as it is stored; None if it is not a case for waiting."""
        spec = self._spec
        if value is None or (spec.stores == "file" and type(value) is not Sample):
            return None
        if hasattr(value, "nbytes") and value.nbytes > _COPIED:
            return None
        one = prepare(spec, value, self._document.get("attributes", {}))
        data, shape = one
        if len(shape) > self._ndim if self._shape is None else shape != self._shape:
            return None
        if not isinstance(data, bytes) and (data is value or data.base is not None):
            return Prepared(data.copy(), shape)  # the caller may change it meanwhile
        return one

    def length(self, session: Session) -> int:
        """Number of samples that are stored."""
        column = column_of(session, self.path, self.entry)
        return -1 if column is None else len(column)


def _lanes(session: Session, paths: Mapping[str, str]) -> dict[str, _Lane]:
    """Lanes by name; none if a tensor is of a kind that can't wait."""
    tensors = catalog_of(session).tensors
    lanes: dict[str, _Lane] = {}
    for name, path in paths.items():
        entry = tensors[path]
        column = column_of(session, path, entry)
        if column is None or entry.statistics or _is_open(entry):
            return {}
        lanes[name] = _Lane(session, path, entry, column)
    return lanes


def _is_open(entry: TensorEntry) -> bool:
    """Whether the first sample that comes may change what the tensor is."""
    return entry.spec.dtype is None and entry.spec.item_stores == "array"
