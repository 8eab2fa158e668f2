"""Queries and filters, as methods of a dataset and its views."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from hubzarr.datasets import queries

if TYPE_CHECKING:
    import pyarrow as pa

    from hubzarr.datasets.view import DatasetView

__all__ = ["Queries"]


class Queries:
    """Rows by what is in them."""

    def query(self, sql: str, *, timeout: float | None = None) -> DatasetView | pa.Table:
        """Run a query in SQL over the rows.

        Parameters
        ----------
        sql : str
            One SELECT in the dialect of DuckDB. ``FROM dataset`` may be left out.
        timeout : float, optional
            Seconds after which the query is given up.

        Returns
        -------
        DatasetView or pyarrow.Table
            ``SELECT *`` and ``SELECT images, labels`` give the rows found, in the order of the
            query, as a view that stays on the commit that was queried. Whatever computes or
            groups gives a table.

        Raises
        ------
        InvalidError
            The text is no query, does what queries may not do, or compares what can't be.
        NotFoundError
            There is no such tensor or class.
        UnsupportedError
            DuckDB is not installed: ``pip install 'hubzarr[query]'``.

        Notes
        -----
        Labels compare with names and numbers; ``list_contains(labels, 'Rain')`` is for several
        labels in a row. ``images.shape[0]``, ``images.ndim`` and ``len(images)`` ask for shapes;
        subscripts of tensors count from 0, as in NumPy. ``boxes.size`` is the tensor ``size`` of
        the group ``boxes``, ``_row`` the number of a row. NaN counts as NULL. JSON is read by
        ``meta->>'$.key'``. A query sees nothing but the dataset.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/query_method")
        >>> _ = ds.create_tensor("labels", htype="class_label", class_names=["Rain", "Shine"])
        >>> _ = ds.create_tensor("score")
        >>> _ = ds.extend({"labels": ["Shine", "Rain", "Shine"], "score": [0.5, 0.25, 1.0]})
        >>> ds.query("SELECT * WHERE labels = 'Shine' ORDER BY score DESC").sample_indices
        [2, 0]
        >>> ds.query("SELECT labels, avg(score) AS mean GROUP BY ALL ORDER BY labels").to_pydict()
        {'labels': ['Rain', 'Shine'], 'mean': [0.25, 0.75]}
        """
        return queries.query(_view(self), sql, timeout=timeout)

    def filter(
        self,
        condition: str | Callable[[DatasetView], Any],
        *,
        num_workers: int = 0,
        progressbar: bool = True,
        timeout: float | None = None,
    ) -> DatasetView:
        """Select the rows that satisfy a condition.

        Parameters
        ----------
        condition : str or callable
            A condition in SQL, where Python's ``==`` will do as well (see `query`), or a
            function that takes a row and says whether to keep it.
        num_workers : int
            Threads that call the function; 0: this one.
        progressbar : bool
            Show a bar while the function is called for all rows.
        timeout : float, optional
            Seconds after which a condition in SQL is given up.

        Returns
        -------
        DatasetView
            The rows in their order, on the commit that was looked at.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/filter_method")
        >>> _ = ds.create_tensor("labels", htype="class_label", class_names=["Rain", "Shine"])
        >>> ds.labels.extend(["Shine", "Rain", "Shine"])
        >>> ds.filter("labels == 'Rain'").sample_indices
        [1]
        >>> ds.filter(lambda row: row.labels.text() == "Shine").sample_indices
        [0, 2]
        """
        return queries.filter_rows(
            _view(self),
            condition,
            num_workers=num_workers,
            progressbar=progressbar,
            timeout=timeout,
        )


def _view(view: Queries) -> DatasetView:
    return cast("DatasetView", view)
