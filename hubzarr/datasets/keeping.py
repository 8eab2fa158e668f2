"""Saving views and loading them again, as methods of a dataset and its views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from hubzarr.datasets import making, rewriting, saved
from hubzarr.datasets.rows import Rows
from hubzarr.datasets.saved import ViewEntry
from hubzarr.errors import InvalidError
from hubzarr.session import Session
from hubzarr.session.place import Options

if TYPE_CHECKING:
    from hubzarr.datasets.dataset import Dataset
    from hubzarr.datasets.view import DatasetView

__all__ = ["SavedViews"]


class SavedViews:
    """Views that the repository keeps: which rows of which commit."""

    _session: Session
    _group: str
    _rows: Rows | None
    _row: int | None
    _chosen: tuple[str, ...] | None
    query_text: str
    #: The class of whole datasets; its module sets it.
    _whole: ClassVar[type[Dataset]]

    def _selected(self) -> Rows:
        raise InvalidError("no rows")

    def _on(self, session: Session, **options: Any) -> DatasetView:
        raise InvalidError("no view")

    def save_view(self, message: str | None = None, id: str | None = None) -> str:
        """Keep which rows these are, of the present commit; returns the view's id.

        Nothing is copied: `load_view` finds the same rows with the same values, whatever is
        written later.

        Parameters
        ----------
        message : str, optional
        id : str, optional
            A name for it; made up if left out.

        Raises
        ------
        ExistsError
            There is a view of that id.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/save_view")
        >>> ds.create_tensor("x").extend([5, 6, 7])
        >>> ds[[2, 0]].save_view("the outer ones", id="outer")
        'outer'
        >>> ds.x[0] = 50
        >>> ds.load_view("outer").x.numpy()
        array([7, 5])
        """
        selected = self._rows is not None or self._row is not None
        rows = self._selected()
        entry = saved.save_view(
            self._session, rows if selected else None, len(rows), name=id, message=message,
            query=self.query_text, group=self._group, tensors=self._chosen,
        )  # fmt: skip
        return entry.id

    def get_views(self, commit_id: str | None = None) -> list[ViewEntry]:
        """Saved views of this version, or those of one commit."""
        found = saved.saved_views(self._session)
        return [v for v in found if commit_id is None or v.commit_id == commit_id]

    def get_view(self, id: str) -> ViewEntry:
        """What is known of a saved view."""
        return saved.entry_of(self._session, id)

    def load_view(self, id: str) -> DatasetView:
        """The rows of a saved view, as they were when it was saved."""
        entry, session, rows = saved.load_rows(self._session, id)
        if rows is None:
            rows = range(entry.length)
        return self._on(
            session, group=entry.group, rows=rows, row=None, chosen=entry.tensors,
            query=entry.query,
        )  # fmt: skip

    def delete_view(self, id: str) -> None:
        """Forget a saved view. The rows stay."""
        saved.delete_view(self._session, id)

    def pinned(self) -> DatasetView:
        """The same rows of the present commit, whatever is written later."""
        return self._on(saved.pinned(self._session), rows=self._selected(), row=None)

    def materialize(
        self, name: str, *, overwrite: bool = False, storage_options: Options = None
    ) -> Dataset:
        """Copy these rows into a new dataset, samples as they are stored.

        Parameters
        ----------
        name : str
        overwrite : bool
            Replace what has that name; the former state stays in the history.
        storage_options : mapping, optional

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/materialize")
        >>> ds.create_tensor("x").extend([5, 6, 7])
        >>> ds[[2, 0]].materialize("examples/materialized").x.numpy()
        array([7, 5])
        """
        made = making.make_empty(name, overwrite=overwrite, storage_options=storage_options)
        source, target = cast("DatasetView", self), self._whole(*made)
        rewriting.copy_structure(source, target)
        rewriting.copy_rows(source, target)
        return target
