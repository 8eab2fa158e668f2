"""Data sets of Hugging Face: from their hub, from `datasets` objects, saved to disk.

* ``hf://user/name`` is downloaded as Parquet by `huggingface_place` and read by `parquet`.
* Folders that ``save_to_disk`` wrote are read without the package `datasets`.
* `from_huggingface` takes a `Dataset` or `DatasetDict` in memory, selections and all.

Names of classes, images and audio come from the features; splits get a column ``split``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hubzarr.errors import HubzarrError, InvalidError, InvalidTypeError, SampleError, StorageError
from hubzarr.ingesting.arrow import ArrowField, Known, arrow_fields, pyarrow
from hubzarr.ingesting.hf_features import features_of, with_features
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Source, Unit
from hubzarr.ingesting.splits import in_order
from hubzarr.media.extras import need

__all__ = ["KIND", "from_huggingface", "huggingface_place", "matches", "open_source"]

KIND = "huggingface"

_SCHEMES = ("hf://datasets/", "hf://")
_PARQUET_BRANCH = "refs/convert/parquet"
_UNIT_ROWS = 4096
_UNIT_BYTES = 16_000_000
_LOOK_ROWS = 256


def matches(place: Place) -> bool:
    """Whether the place is a folder that ``save_to_disk`` wrote.

    Examples
    --------
    >>> matches(Place("no/such/folder"))
    False
    """
    try:
        return place.is_dir() and bool(_saved_splits(place))
    except (HubzarrError, ValueError):
        return False


def open_source(place: Place) -> Source:
    """Rows of a data set that ``save_to_disk`` wrote.

    Parameters
    ----------
    place : Place
        The folder, of one data set or of one for each split.

    Raises
    ------
    SampleError
        If a file is broken.

    Examples
    --------
    >>> import pathlib, pyarrow
    >>> folder = pathlib.Path("saved")
    >>> folder.mkdir()
    >>> for name in ("state.json", "dataset_info.json"):
    ...     _ = (folder / name).write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    >>> table = pyarrow.table({"age": [3, 4]})
    >>> with pyarrow.ipc.new_stream(folder / "data.arrow", table.schema) as stream:
    ...     stream.write_table(table)
    >>> source = open_source(Place("saved"))
    >>> [block.columns for unit in source.units() for block in source.rows(unit)]
    [{'age': array([3, 4])}]
    """
    splits = _saved_splits(place)
    if not splits:
        raise InvalidError(
            f"{place.url!r} holds no data set that save_to_disk of Hugging Face wrote",
            path=place.url,
        )
    return _source({name: _Saved(tuple(files)) for name, files in splits.items()})


def from_huggingface(dataset: Any) -> Source:
    """Rows of a `datasets.Dataset`, or of the splits of a `datasets.DatasetDict`.

    Parameters
    ----------
    dataset : datasets.Dataset or datasets.DatasetDict
        In memory or mapped from disk; rows that were selected or shuffled stay so.

    Raises
    ------
    InvalidTypeError
        If it is neither.

    Examples
    --------
    >>> import pyarrow
    >>> class Dataset:  # what is used of datasets.Dataset
    ...     features, _indices = {}, None
    ...     data = pyarrow.table({"age": [3, 4]})
    >>> source = from_huggingface({"train": Dataset(), "test": Dataset()})
    >>> [block.columns["split"] for unit in source.units() for block in source.rows(unit)]
    [[0, 0], [1, 1]]
    """
    splits = dataset if isinstance(dataset, Mapping) else {"": dataset}
    for one in splits.values():
        if not hasattr(one, "data") or not hasattr(one, "features"):
            raise InvalidTypeError(
                "expected a Dataset or DatasetDict of the package datasets, not "
                f"{type(one).__name__}; streaming ones have to be loaded first"
            )
    return _source({str(name): _Memory(one) for name, one in splits.items()})


def huggingface_place(
    ref: str, *, revision: str | None = None, config: str | None = None, token: str | None = None
) -> Place:
    """Download a data set from Hugging Face's hub, as Parquet.

    Repositories without Parquet files are taken from the branch into which the hub
    converts them.

    Parameters
    ----------
    ref : str
        ``"hf://user/name"``, ``"hf://datasets/user/name"`` or ``"user/name"``.
    revision : str, optional
        Branch, tag or commit.
    config : str, optional
        Folder of the repository to take, such as the name of a configuration.
    token : str, optional
        For private repositories.

    Returns
    -------
    Place
        The local folder with the files, for `hubzarr.ingesting.parquet`.

    Raises
    ------
    InvalidError
        If the name is none, or the repository has no Parquet file.

    Examples
    --------
    >>> huggingface_place("hf://mnist/with/too/many/parts")
    Traceback (most recent call last):
    hubzarr.errors.InvalidError: bad name of a data set 'mnist/with/too/many/parts'; expected
    'hf://user/name'
    """
    name = ref
    for scheme in _SCHEMES:
        name = name.removeprefix(scheme)
    name = name.strip("/")
    if not name or name.count("/") > 1:
        raise InvalidError(f"bad name of a data set {name!r}; expected 'hf://user/name'")
    hub = need("huggingface_hub", extra="huggingface", what="downloading from Hugging Face")
    try:
        folder, wanted = _downloaded(hub, name, revision, config, token)
    except Exception as error:  # of whatever library huggingface_hub asks
        raise StorageError(
            f"can't download {ref}: {error}; check the name, the token of Hugging Face and the "
            "network",
            path=ref,
            reason=type(error).__name__,
        ) from error
    if not wanted:
        raise InvalidError(
            f"the data set {name!r} has no Parquet file"
            + (f" in {config!r}" if config else "")
            + "; download it and ingest the folder"
        )
    place = Place(folder)
    return place.child(config) if config else place


def _downloaded(
    hub: Any, name: str, revision: str | None, config: str | None, token: str | None
) -> tuple[str, list[str]]:
    """The folder that the Parquet files of a data set were downloaded to, and their names."""
    wanted = _parquet_files(hub, name, revision, config, token)
    if not wanted and revision is None:
        revision = _PARQUET_BRANCH
        wanted = _parquet_files(hub, name, revision, config, token)
    if not wanted:
        return "", wanted
    folder = hub.snapshot_download(
        name, repo_type="dataset", revision=revision, allow_patterns=wanted, token=token
    )
    return str(folder), wanted


def _parquet_files(
    hub: Any, name: str, revision: str | None, config: str | None, token: str | None
) -> list[str]:
    found = hub.HfApi(token=token).list_repo_files(name, repo_type="dataset", revision=revision)
    return sorted(
        path
        for path in found
        if path.endswith(".parquet") and (config is None or path.startswith(f"{config}/"))
    )


class _Rows(Protocol):
    """Rows of one split."""

    def first(self) -> Any:
        """A table of the first rows, with the metadata of the schema."""

    def features(self) -> dict[str, Any]:
        """Features by column, as JSON."""

    def lacking(self) -> set[str]:
        """Columns in which values are missing."""

    def pieces(self) -> Iterator[tuple[Any, int]]:
        """What tells a piece, and its number of rows."""

    def read(self, piece: Any) -> Any:
        """A table of the rows of a piece."""


@dataclass(frozen=True)
class _Memory:
    """A data set in memory."""

    dataset: Any

    def first(self) -> Any:
        return self._rows(0, min(_LOOK_ROWS, self._length()))

    def features(self) -> dict[str, Any]:
        features = self.dataset.features
        found = features.to_dict() if hasattr(features, "to_dict") else features
        return json.loads(json.dumps(dict(found or {}), default=str))  # type: ignore[no-any-return]

    def lacking(self) -> set[str]:
        return _lacking(self._table())

    def pieces(self) -> Iterator[tuple[Any, int]]:
        table = self._table()
        each = max(1, table.nbytes // max(1, table.num_rows))
        step = max(1, min(_UNIT_ROWS, _UNIT_BYTES // each))
        for start in range(0, self._length(), step):
            stop = min(start + step, self._length())
            yield (start, stop), stop - start

    def read(self, piece: Any) -> Any:
        return self._rows(*piece)

    def _table(self) -> Any:
        return getattr(self.dataset.data, "table", self.dataset.data)

    def _chosen(self) -> Any:
        """Numbers of the rows that were selected; None for all."""
        chosen = self.dataset._indices
        return None if chosen is None else getattr(chosen, "table", chosen)

    def _length(self) -> int:
        chosen = self._chosen()
        return int((self._table() if chosen is None else chosen).num_rows)

    def _rows(self, start: int, stop: int) -> Any:
        chosen = self._chosen()
        if chosen is None:
            return self._table().slice(start, stop - start)
        return self._table().take(chosen.column(0).slice(start, stop - start).combine_chunks())


@dataclass(frozen=True)
class _Saved:
    """Files in Arrow's stream format."""

    files: tuple[Place, ...]

    def first(self) -> Any:
        for place in self.files:
            for table in self._batches(place):
                return table.slice(0, _LOOK_ROWS)
        with self._reader(self.files[0]) as reader:
            return reader.schema.empty_table()

    def features(self) -> dict[str, Any]:
        return features_of(self.first().schema.metadata)

    def lacking(self) -> set[str]:
        return {
            name
            for place in self.files
            for table in self._batches(place)
            for name in _lacking(table)
        }

    def pieces(self) -> Iterator[tuple[Any, int]]:
        for number, place in enumerate(self.files):
            index, start, rows, size = 0, 0, 0, 0
            for index, table in enumerate(self._batches(place)):
                if rows and (rows >= _UNIT_ROWS or size + table.nbytes > _UNIT_BYTES):
                    yield (number, start, index), rows
                    start, rows, size = index, 0, 0
                rows += table.num_rows
                size += table.nbytes
            if rows:
                yield (number, start, index + 1), rows

    def read(self, piece: Any) -> Any:
        number, start, stop = piece
        tables = []
        for index, table in enumerate(self._batches(self.files[number])):
            if index >= stop:
                break
            if index >= start:
                tables.append(table)
        return pyarrow().concat_tables(tables)

    def _batches(self, place: Place) -> Iterator[Any]:
        with self._reader(place) as reader:
            try:
                for batch in reader:
                    yield pyarrow().Table.from_batches([batch])
            except (OSError, ValueError) as cause:
                raise _broken(place, cause) from cause

    @staticmethod
    def _reader(place: Place) -> Any:
        """A reader of the mapped file: what is skipped is not read."""
        try:
            return pyarrow("pyarrow.ipc").open_stream(pyarrow().memory_map(place.local()))
        except (OSError, ValueError) as cause:
            raise _broken(place, cause) from cause


@dataclass(frozen=True)
class SplitRows:
    """Rows of the splits of a data set, a block at a time.

    Examples
    --------
    >>> SplitRows({}, (), (), ()).kind
    'huggingface'
    """

    splits: dict[str, _Rows]
    fields: tuple[ArrowField, ...]
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    info: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    def __reduce__(self) -> tuple[Any, ...]:
        # Fields have functions in them, which don't travel; they are found out again.
        return _source, (self.splits,)

    def units(self) -> Iterator[Unit]:
        """Pieces of each split."""
        for name in self.names:
            for number, (piece, rows) in enumerate(self.splits[name].pieces()):
                yield Unit(f"{name}/{number}" if name else str(number), (name, piece), rows)

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of a piece."""
        name, piece = unit.payload
        try:
            table = self.splits[name].read(piece)
            values = {made.column.name: made.values(table.column(made.key)) for made in self.fields}
        except ValueError as error:
            yield Skipped(unit.key, str(error))
            return
        if len(self.names) > 1:
            values["split"] = [self.names.index(name)] * table.num_rows
        yield Block(values, table.num_rows)


def _source(splits: Mapping[str, _Rows]) -> SplitRows:
    names = tuple(in_order(splits))
    first = splits[names[0]].first()
    for name in names[1:]:
        other = splits[name].first().schema.remove_metadata()
        if other != first.schema.remove_metadata():
            raise SampleError(f"the split {name!r} has other columns than {names[0]!r}")
    lacking = {column for rows in splits.values() for column in rows.lacking()}
    features = splits[names[0]].features()
    fields = with_features(arrow_fields(first, Known(frozenset(lacking))), features, first)
    columns = [made.column for made in fields]
    if len(names) > 1:
        columns.append(Column("split", {"htype": "class_label", "class_names": list(names)}))
    return SplitRows(dict(splits), tuple(fields), tuple(columns), names)


def _lacking(table: Any) -> set[str]:
    return {name for name in table.column_names if table.column(name).null_count}


def _saved_splits(place: Place) -> dict[str, list[Place]]:
    """Files of each split; of a single data set under the name ''."""
    index = place.child("dataset_dict.json")
    if index.is_file():
        names = _listed(index, "splits")
        found = {str(name): _saved_files(place.child(str(name))) for name in names}
        return {name: files for name, files in found.items() if files}
    files = _saved_files(place)
    return {"": files} if files else {}


def _saved_files(folder: Place) -> list[Place]:
    state = folder.child("state.json")
    if not state.is_file() or not folder.child("dataset_info.json").is_file():
        return []
    names = [entry["filename"] for entry in _listed(state, "_data_files") if "filename" in entry]
    return [folder.child(str(name).replace("\\", "/").rpartition("/")[2]) for name in names]


def _listed(document: Place, key: str) -> list[Any]:
    """A list in a JSON file; empty if the file is another one of that name."""
    try:
        found = json.loads(document.read())[key]
    except (ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else []


def _broken(place: Place, cause: Exception) -> SampleError:
    return SampleError(f"{place.url}: broken Arrow file, {cause}", path=place.url)
