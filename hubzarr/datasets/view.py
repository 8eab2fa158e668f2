"""`DatasetView`: tensors side by side, all rows or some, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hubzarr.arrays.handle import Source
from hubzarr.datasets import choosing, labelled, summary, writing
from hubzarr.datasets.asking import Queries
from hubzarr.datasets.catalog import catalog_of, join, not_found
from hubzarr.datasets.info import Info
from hubzarr.datasets.keeping import SavedViews
from hubzarr.datasets.loading import TensorsSource, source_of_tensors
from hubzarr.datasets.pickling import opened_again, source_for
from hubzarr.datasets.rows import Rows, select_rows
from hubzarr.datasets.tensor import Tensor
from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.loaders import Loading
from hubzarr.session import Session

if TYPE_CHECKING:
    import xarray

__all__ = ["DatasetView"]

#: Attributes of the object itself that may be set.
_OWN = frozenset({"name", "query_text", "info"})


class DatasetView(Queries, SavedViews, Loading):
    """Tensors side by side, all rows or some of them.

    Parameters
    ----------
    session : Session
    name : str
        Of the dataset.
    group : str
        Path of the group that it is; "" is the whole dataset.
    rows : range or ndarray of int64, optional
        Selected rows; None: all.
    row : int, optional
        The one selected row.
    chosen : tuple of str, optional
        Paths of the tensors that it is limited to.
    query : str
        What selected the rows, for people.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/view")
    >>> _ = ds.create_tensor("x")
    >>> ds.x.extend([[1, 2], [3, 4], [5, 6]])
    >>> view = ds[1:]
    >>> len(view), view.x.numpy().tolist(), view[0].x.numpy().tolist()
    (2, [[3, 4], [5, 6]], [3, 4])
    """

    name: str
    #: What selected the rows; "" if they were selected by their numbers.
    query_text: str

    def __init__(
        self,
        session: Session,
        name: str,
        group: str = "",
        rows: Rows | None = None,
        row: int | None = None,
        chosen: tuple[str, ...] | None = None,
        query: str = "",
    ) -> None:
        # Not one by one: __setattr__ is there for names of tensors, and takes its time.
        self.__dict__.update(
            _session=session, _group=group, _rows=rows, _row=row, _chosen=chosen, name=name,
            query_text=query,
        )  # fmt: skip

    # -- what there is -------------------------------------------------------------

    def _paths(self) -> list[str]:
        """Paths of the tensors, hidden ones not."""
        found = catalog_of(self._session).under(self._group)
        if self._chosen is not None:
            return [path for path in self._chosen if path in found]
        return [path for path, entry in found.items() if not entry.hidden]

    def _relative(self, path: str) -> str:
        return path[len(self._group) + 1 :] if self._group else path

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors by name, those of groups below as ``group/name``, hidden ones left out."""
        return {self._relative(path): self._tensor(path) for path in self._paths()}

    @property
    def groups(self) -> dict[str, DatasetView]:
        """Groups by name."""
        prefix = f"{self._group}/" if self._group else ""
        found = [p for p in catalog_of(self._session).groups if p.startswith(prefix)]
        return {p[len(prefix) :]: self._sub(p) for p in found if "/" not in p[len(prefix) :]}

    def _tensor(self, path: str) -> Tensor:
        return Tensor(self._session, path, self._rows, self._row)

    def _sub(self, group: str) -> DatasetView:
        """The group below as a dataset of the same rows."""
        return self._select(group=group, chosen=None)

    def _select(self, **changes: Any) -> DatasetView:
        return self._on(self._session, **changes)

    def _on(self, session: Session, **changes: Any) -> DatasetView:
        """The same selection with some changes, of a session's state."""
        options = {
            "group": self._group, "rows": self._rows, "row": self._row, "chosen": self._chosen,
            "query": self.query_text,
        }  # fmt: skip
        return DatasetView(session, self.name, **(options | changes))

    @property
    def info(self) -> Info:
        """Facts about the dataset or group: a dict whose changes are stored."""
        return Info(self._session, self._group)

    @info.setter
    def info(self, value: Mapping[str, Any]) -> None:
        self.info.replace(value)

    @property
    def version(self) -> str:
        """Name of the version, in Git's words the branch."""
        return self._session.version

    branch_name = version

    @property
    def commit_id(self) -> str:
        """Id of the commit that it stands on, 16 hex digits."""
        return self._session.manifest.commit.id

    @property
    def read_only(self) -> bool:
        """Whether it refuses writes."""
        return not self._session.writable

    @property
    def is_view(self) -> bool:
        """Whether rows were selected."""
        return self._rows is not None or self._row is not None

    @property
    def sample_indices(self) -> list[int]:
        """Numbers of the selected rows in the dataset."""
        return [int(row) for row in self._selected()]

    def _selected(self) -> Rows:
        if self._row is not None:
            return range(self._row, self._row + 1)
        return range(self.min_len) if self._rows is None else self._rows

    def _lengths(self) -> list[int]:
        tensors = catalog_of(self._session).tensors
        return [writing.length_of(self._session, path, tensors[path]) for path in self._paths()]

    @property
    def min_len(self) -> int:
        """Length of the shortest tensor, or rows selected."""
        return min(self._lengths(), default=0) if self._rows is None else len(self._rows)

    @property
    def max_len(self) -> int:
        """Length of the longest tensor, or rows selected."""
        return max(self._lengths(), default=0) if self._rows is None else len(self._rows)

    num_samples = min_len

    @property
    def min_view(self) -> DatasetView:
        """The rows that all tensors have."""
        return self._select(rows=self._selected(), row=None)

    def __len__(self) -> int:
        return len(self._selected())

    # -- selecting -------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._named(key)
        if isinstance(key, tuple):
            names = [k for k in key if isinstance(k, str)]
            rest = tuple(k for k in key if not isinstance(k, str))
            if len(names) == 1:
                found = self._named(names[0])
                return found[rest if len(rest) > 1 else rest[0]] if rest else found
            if names or len(rest) != 1:
                raise InvalidTypeError(
                    f"{key!r} selects nothing: give one name and then rows, as in "
                    "ds['images', 3:10]"
                )
            key = rest[0]
        if isinstance(key, list) and key and all(isinstance(k, str) for k in key):
            chosen = tuple(self._path_of(name) for name in key)
            return self._select(chosen=chosen)
        if self._row is not None:
            raise InvalidError("one row is selected already: name a tensor, as in ds[3].images")
        found = select_rows(self._selected(), key, f"dataset {self.name!r}")
        if isinstance(found, int):
            return self._select(row=found, rows=None)
        return self._select(rows=found)

    def _path_of(self, name: str) -> str:
        path = join(self._group, name.strip("/"))
        if path not in catalog_of(self._session).tensors:
            raise not_found(name, list(self.tensors))
        return path

    def _named(self, name: str) -> Any:
        path = join(self._group, name.strip("/"))
        catalog = catalog_of(self._session)
        if path in catalog.tensors:
            return self._tensor(path)
        if path in catalog.groups:
            return self._sub(path)
        raise not_found(name, [*self.tensors, *self.groups], "tensor or group")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        path = join(self._group, name)
        catalog = catalog_of(self._session)
        if path in catalog.tensors:
            return self._tensor(path)
        if path in catalog.groups:
            return self._sub(path)
        if name in ("append", "extend", "pop", "clear", "create_tensor", "create_group", "commit"):
            raise AttributeError(
                f"{name} is for the whole dataset, not for a view of some rows: ds.{name}(...)"
            )
        raise AttributeError(str(not_found(name, list(self.tensors))))

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] == "_" or name in _OWN:
            object.__setattr__(self, name, value)
        elif not (isinstance(value, Tensor) and name in self and value.is_same(self[name])):
            # What an operator in place gave, as in ds.x += 1, is stored already.
            raise InvalidError(
                f"ds.{name} = ... would set nothing in the dataset: ds.{name}[:] = values or "
                f"ds.{name}[3] = value sets samples, ds.create_tensor({name!r}) makes a tensor"
            )

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, str) and self._row is not None:
            self.update({key: value})
        elif isinstance(key, str):
            if not (isinstance(value, Tensor) and value.is_same(self[key])):
                raise InvalidError(
                    f"ds[{key!r}] = ... would set all samples to one: ds[{key!r}][:] = values sets "
                    f"them all, ds[{key!r}][3] = value one of them"
                )
        elif isinstance(key, tuple) and key and isinstance(key[0], str):
            rest = key[1:]
            self[key[0]][rest if len(rest) > 1 else rest[0]] = value
        else:
            self[key].update(value)

    def __contains__(self, name: object) -> bool:
        path = join(self._group, str(name).strip("/"))
        catalog = catalog_of(self._session)
        return isinstance(name, str) and (path in catalog.tensors or path in catalog.groups)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n.split("/")[0] for n in self.tensors)})

    def __iter__(self) -> Iterator[DatasetView]:
        for row in self._selected():
            yield self._select(row=int(row), rows=None)

    def update(self, row: Mapping[str, Any]) -> None:
        """Set samples of the selected rows: all of them, or none if one does not fit.

        Parameters
        ----------
        row : mapping
            Samples by name of the tensor: one sample for a row, as in ``ds[3].update``, and a
            sequence of as many samples for rows, as in ``ds[3:10].update``.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/update")
        >>> _ = ds.create_tensor("x")
        >>> ds.x.extend([1, 2])
        >>> ds[1].update({"x": 5})
        >>> ds.x.numpy()
        array([1, 5])
        """
        columns = {self._path_of(name): sample for name, sample in row.items()}
        if self._row is not None:
            writing.update_row(self._session, self._row, columns)
        elif self._rows is not None:
            writing.update_rows(self._session, self._rows, columns)
        else:
            raise InvalidError(
                "update changes selected rows: select them first, as in ds[3].update({...}), or "
                "ds[:].update({...}) for all"
            )

    # -- what is in it -----------------------------------------------------------------

    def numpy(self, aslist: bool = True) -> dict[str, Any]:
        """Samples of all tensors by name; those of one row as they are."""
        if self._row is not None:
            return {name: tensor.numpy() for name, tensor in self.tensors.items()}
        return {name: tensor.numpy(aslist=aslist) for name, tensor in self.tensors.items()}

    def values(self) -> dict[str, Any]:
        """The same as Python has them: arrays, strings, objects."""
        return {name: tensor.values() for name, tensor in self.tensors.items()}

    def to_xarray(self) -> xarray.Dataset:
        """Tensors of one shape, text and labels as a dataset of xarray, read when needed.

        Tensors whose samples differ in shape or are files are left out; the attribute
        ``left_out`` names them.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/to_xarray")
        >>> ds.create_tensor("t").extend([1.0, 2.0, 4.0])
        >>> float(ds.to_xarray().t.sum())
        7.0
        """
        return labelled.to_xarray(self)

    def summary(self) -> None:
        """Print the tensors with their htypes, shapes and compressions."""
        print(summary.text(self))

    def random_split(
        self, lengths: Sequence[int | float], seed: int | None = None
    ) -> list[DatasetView]:
        """Split the rows at random.

        Parameters
        ----------
        lengths : sequence
            Numbers of rows, or fractions that add up to 1.
        seed : int, optional
            The same seed splits in the same way.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/split")
        >>> _ = ds.create_tensor("x")
        >>> ds.x.extend(range(10))
        >>> train, test = ds.random_split([0.8, 0.2], seed=1)
        >>> len(train), len(test), sorted([*train.sample_indices, *test.sample_indices])
        (8, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        """
        parts = choosing.split(self._selected(), lengths, seed)
        return [self._select(rows=part) for part in parts]

    def sample_by(
        self,
        weights: str | Sequence[float],
        replace: bool = True,
        size: int | None = None,
        seed: int | None = None,
    ) -> DatasetView:
        """Draw rows at random by weights.

        Parameters
        ----------
        weights : str or sequence of float
            The name of a tensor of numbers, or one number for each row.
        replace : bool
            Whether a row may come more than once.
        size : int, optional
            How many rows; as many as there are by default.
        seed : int, optional
        """
        if isinstance(weights, str):
            given: Any = np.asarray(self[weights].numpy(), np.float64).reshape(len(self), -1)[:, 0]
        else:
            given = weights
        return self._select(rows=choosing.draw(self._selected(), given, replace, size, seed))

    def _source(self) -> TensorsSource:
        paths = {self._relative(path): path for path in self._paths()}
        rows = self._selected()
        if not len(rows) and self.max_len:
            short = [name for name, tensor in self.tensors.items() if not len(tensor)]
            raise InvalidError(
                f"no row is complete: tensor {short[0]!r} has no samples. Others are loaded by "
                "selecting them first, as in ds[['images', 'labels']].batches()"
            )
        return source_of_tensors(self._session, paths, rows)

    def __reduce__(self) -> tuple[Any, ...]:
        place = self.name, self._group, self._rows, self._row, self._chosen, self.query_text
        return _reopened, (source_for(self._session), *place)

    def _repr_html_(self) -> str:
        return summary.html(self)

    def __repr__(self) -> str:
        kind = "Dataset" if type(self) is not DatasetView else "DatasetView"
        group = f"/{self._group}" if self._group else ""
        where = f"{self.name}{group}:{self.version}@{self._session.manifest.commit.number}"
        if self._session.closed:
            return f"<hubzarr.{kind} {where} closed>"
        row = f" row={self._row}" if self._row is not None else f" rows={len(self)}"
        state = " read-only" if self.read_only else ""
        return f"<hubzarr.{kind} {where}{row} tensors={list(self.tensors)}{state}>"


def _reopened(source: Source, *place: Any) -> DatasetView:
    return DatasetView(opened_again(source), *place)
