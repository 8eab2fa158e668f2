"""`Dataset`: a versioned group of tensors whose rows belong together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from hubzarr.arrays.handle import Source
from hubzarr.datasets import structure, writing
from hubzarr.datasets.catalog import catalog_of, join, not_found
from hubzarr.datasets.pickling import opened_again, source_for
from hubzarr.datasets.tensor import Tensor
from hubzarr.datasets.versions import Versions
from hubzarr.datasets.view import DatasetView
from hubzarr.datasets.waiting import WaitingRows
from hubzarr.errors import InvalidError, SampleError
from hubzarr.session.store import VersionedStore
from hubzarr.storage import Counters

__all__ = ["Dataset"]


class Dataset(Versions, DatasetView):
    """A versioned group of tensors whose rows belong together.

    Made by `hubzarr.dataset`, `hubzarr.empty`, `hubzarr.load` and their kin. What is
    written is committed by itself within a second, at `flush`, at `close` and when the
    interpreter exits; ``with ds:`` makes one commit of all that is written inside.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/dataset")
    >>> _ = ds.create_tensor("images", htype="image", sample_compression="png")
    >>> _ = ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    >>> import numpy as np
    >>> with ds:
    ...     ds.append({"images": np.zeros((4, 6, 3), "uint8"), "labels": "dog"})
    >>> len(ds), ds.images[0].shape, ds.labels[0].text()
    (1, (4, 6, 3), 'dog')
    """

    _depth = 0
    _waiting: WaitingRows | None = None
    _block: contextlib.AbstractContextManager[None] | None = None

    def _sub(self, group: str) -> Self:
        return type(self)(self._session, self.name, group)

    # -- tensors and groups ------------------------------------------------------------

    def create_tensor(
        self,
        name: str,
        htype: str | None = "generic",
        dtype: Any = None,
        sample_compression: str | None = None,
        chunk_compression: str | None = None,
        *,
        hidden: bool = False,
        statistics: bool = False,
        ragged: bool = False,
        exist_ok: bool = False,
        **options: Any,
    ) -> Tensor:
        """Add a tensor.

        Parameters
        ----------
        name : str
            With "/" between groups, which are made as needed.
        htype : str
            What samples mean: "image", "class_label", "bbox", "text", ...; also
            ``sequence[...]`` and ``link[...]``.
        dtype : dtype-like, optional
            Of samples that are arrays; the htype's own, or that of the first sample.
        sample_compression : str, optional
            File format that each sample is kept in: "jpeg", "png", "mp4", "flac", ...
            Files of that format are kept byte for byte.
        chunk_compression : str, optional
            Codec for the bytes of many samples: "zstd", "lz4", "none".
        hidden : bool
            Leave it out of `tensors`.
        statistics : bool
            Keep pixel statistics of each sample.
        ragged : bool
            Samples differ in shape. Found out by itself at the cost of writing the earlier
            samples again.
        exist_ok : bool
            Return the tensor if there is one of that name.
        **options
            What the htype knows, such as ``class_names``; kept in `Tensor.info`.

        Raises
        ------
        ExistsError
            There is a tensor or group of that name.
        InvalidError
            Arguments are unknown or exclude each other.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/create_tensor")
        >>> ds.create_tensor("boxes/left", htype="bbox")
        <hubzarr.Tensor boxes/left htype=bbox shape=(0,) dtype=float32>
        >>> ds.boxes.tensors
        {'left': <hubzarr.Tensor boxes/left htype=bbox shape=(0,) dtype=float32>}
        """
        path = structure.create_tensor(
            self._session, self._group, name,
            structure.Wish(htype, dtype, sample_compression, chunk_compression, hidden,
                           statistics, ragged),
            options, exist_ok,
        )  # fmt: skip
        return self._tensor(path)

    def create_tensor_like(self, name: str, source: Tensor) -> Tensor:
        """Add an empty tensor of the same kind as another, which may be of another dataset."""
        path = structure.create_like(
            self._session, self._group, name, source._entry, dict(source.info)
        )
        return self._tensor(path)

    def create_group(self, name: str, exist_ok: bool = False) -> Self:
        """Add a group, and those above it."""
        return self._sub(structure.create_group(self._session, self._group, name, exist_ok))

    def delete_tensor(self, name: str) -> None:
        """Remove a tensor; earlier versions keep it."""
        structure.delete_tensor(self._session, self._path_of(name))

    def delete_group(self, name: str) -> None:
        """Remove a group and all that is in it; earlier versions keep it."""
        structure.delete_group(self._session, self._group_path(name))

    def rename_tensor(self, name: str, new_name: str) -> None:
        """Give a tensor another name; no data moves."""
        structure.rename(self._session, self._path_of(name), join(self._group, new_name))

    def rename_group(self, name: str, new_name: str) -> None:
        """Give a group another name; no data moves."""
        structure.rename(self._session, self._group_path(name), join(self._group, new_name))

    def _group_path(self, name: str) -> str:
        path = join(self._group, name.strip("/"))
        groups = catalog_of(self._session).groups
        if path not in groups:
            raise not_found(name, list(groups), "group")
        return path

    # -- rows --------------------------------------------------------------------------

    def append(
        self, row: Mapping[str, Any], skip_ok: bool = False, append_empty: bool = False
    ) -> None:
        """Add one row: a sample to each tensor, or to none.

        Parameters
        ----------
        row : mapping
            A sample for each tensor by name.
        skip_ok : bool
            Leave tensors that `row` doesn't name as they are.
        append_empty : bool
            Append an empty sample to them.

        Raises
        ------
        InvalidError
            A tensor is missing in `row`, or tensors differ in length.
        SampleError
            A sample does not fit. Nothing was appended.

        Examples
        --------
        >>> import hubzarr as hub
        >>> ds = hub.empty("examples/append")
        >>> for name in ("x", "y"):
        ...     _ = ds.create_tensor(name)
        >>> ds.append({"x": 1, "y": [2, 3]})
        >>> ds[0].y.numpy()
        array([2, 3])
        """
        session = self._session
        with session.lock:
            if not isinstance(row, Mapping):
                raise InvalidError(
                    f"a row is a mapping of names of tensors to samples, not "
                    f"{type(row).__name__}; ds.images.append(sample) appends to one tensor"
                )
            if self._waiting is not None and self._waiting.take(row):
                return
            self.extend({name: [sample] for name, sample in row.items()}, skip_ok, append_empty)
            if self._waiting is None or self._waiting.layout != session.layout:
                paths = {name: self._path_of(name) for name in row}
                self._waiting = WaitingRows(session, paths, self._paths())

    def extend(
        self,
        rows: Mapping[str, Any],
        skip_ok: bool = False,
        append_empty: bool = False,
        ignore_errors: bool = False,
        progressbar: bool = False,
    ) -> list[tuple[int, SampleError]]:
        """Add many rows: all of them, or none if anything fails.

        Parameters
        ----------
        rows : mapping
            Samples for each tensor by name, as many for each.
        skip_ok, append_empty : bool
            As for `append`.
        ignore_errors : bool
            Leave out rows with a sample that does not fit.
        progressbar : bool

        Returns
        -------
        list of (int, SampleError)
            Rows left out, and why; empty without `ignore_errors`.
        """
        if isinstance(rows, DatasetView):
            rows = rows.values()
        if not isinstance(rows, Mapping):
            raise InvalidError(
                f"rows come as a mapping of names of tensors to samples, not as "
                f"{type(rows).__name__}"
            )
        columns = self._columns(rows, skip_ok, append_empty)
        with self._session.lock:
            self._check_level(columns)
            return writing.extend(
                self._session, columns, progressbar=progressbar, ignore_errors=ignore_errors
            )

    def _columns(
        self, rows: Mapping[str, Any], skip_ok: bool, append_empty: bool
    ) -> dict[str, Any]:
        columns = {self._path_of(name): samples for name, samples in rows.items()}
        if not columns:
            raise InvalidError("a row of nothing: name at least one tensor")
        missing = [path for path in self._paths() if path not in columns]
        if missing and append_empty:
            count = len(next(iter(columns.values())))
            columns |= {path: [None] * count for path in missing}
        elif missing and not skip_ok:
            raise InvalidError(
                f"no samples for {', '.join(missing)}: a row needs one for each tensor. "
                "append_empty=True fills in empty ones, skip_ok=True leaves those tensors shorter"
            )
        return columns

    def _check_level(self, columns: Mapping[str, Any]) -> None:
        tensors = catalog_of(self._session).tensors
        lengths = {p: writing.length_of(self._session, p, tensors[p]) for p in columns}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{path}: {n}" for path, n in lengths.items())
            raise InvalidError(
                f"tensors differ in length ({listed}), so a new row would not be one: append to "
                "the shorter ones first, as in ds.labels.append(...)"
            )

    def pop(self, index: Any = None) -> None:
        """Remove rows from all tensors, by default the last; later rows move up.

        Parameters
        ----------
        index : int, slice or list of int, optional
        """
        with self._session.lock:
            tensors = catalog_of(self._session).tensors
            length = self.max_len
            key = length - 1 if index is None else index
            if isinstance(key, int | np.integer) and not isinstance(key, bool):
                key = int(key) + length if key < 0 else int(key)
            paths = [
                p for p in self._paths()
                if not isinstance(key, int) or key < writing.length_of(self._session, p, tensors[p])
            ]  # fmt: skip
            if not paths:
                paths = self._paths()
            writing.remove(self._session, paths, key)

    def clear(self) -> None:
        """Remove all rows; earlier versions keep them."""
        with self._session.lock:
            for path in self._paths():
                writing.clear(self._session, path)

    # -- commits and life ----------------------------------------------------------------

    def flush(self) -> None:
        """Store and commit everything that was written, without a message."""
        self._session.check()
        if self._session.writable:
            self._session.sync()

    def close(self) -> None:
        """Commit what was written; the handle can't be used after."""
        self._session.close()

    def discard(self) -> None:
        """Drop everything written since the last commit."""
        self._session.discard()

    def refresh(self) -> bool:
        """Take in what others committed; says whether there was anything."""
        return self._session.refresh()

    @contextlib.contextmanager
    def transaction(self, message: str | None = None) -> Iterator[Self]:
        """Group all changes inside into one commit; an exception drops them all."""
        with self._session.transaction(message):
            yield self

    def __enter__(self) -> Self:
        if not self._depth:
            self._block = self._session.transaction(None)
            self._block.__enter__()
        self._depth += 1
        return self

    def __exit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        self._depth -= 1
        if not self._depth and self._block is not None:
            block, self._block = self._block, None
            block.__exit__(kind, error, at)

    @property
    def io(self) -> Counters:
        """Requests to the store and bytes that went through this handle, counted up."""
        return self._session.storage.counters

    @property
    def store(self) -> VersionedStore:
        """The dataset at this handle's state as a zarr store."""
        return VersionedStore(self._session)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (type(self), source_for(self._session), self.name, self._group)


def _reopened(cls: type[Dataset], source: Source, name: str, group: str) -> Dataset:
    return cls(opened_again(source), name, group)


DatasetView._whole = Dataset
