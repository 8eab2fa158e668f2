"""What `hubzarr.export` wrote, read back as what it was.

An export says in `dataset.json`, or in the metadata of a Parquet file, which tensors it
holds. The format's own source reads the values; here they get their names, htypes and
names of classes back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hubzarr.errors import HubzarrError
from hubzarr.htypes import HTYPES, TensorSpec
from hubzarr.ingesting.columns import clean_names
from hubzarr.ingesting.files import read_sample
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Block, Column, Row, Skipped, Source, Unit
from hubzarr.media import get_format, link
from hubzarr.media.extras import need

__all__ = ["restored", "tensor_options"]

#: As in `hubzarr.exporting.target`, which is no layer below.
_DOCUMENT: Final = "dataset.json"
_MARK: Final = "hubzarr_export"
_READ_BACK: Final = ("folder", "parquet", "webdataset", "mds")
_PLURALS: Final = {"image": "images", "video": "videos", "audio": "audio", "mesh": "meshes"}
#: Columns that the source of WebDataset names otherwise than the extension.
_NAMES: Final = {"cls": "labels", "txt": "texts"}

type Convert = Callable[[Any], Any]


def tensor_options(spec: TensorSpec, info: Mapping[str, Any]) -> dict[str, Any]:
    """What to give `create_tensor` for a tensor like another one.

    Examples
    --------
    >>> tensor_options(TensorSpec("class_label", "uint32"), {"class_names": ["cat"], "by": "me"})
    {'htype': 'class_label', 'dtype': 'uint32', 'class_names': ['cat']}
    """
    found: dict[str, Any] = {"htype": spec.htype}
    for name in ("dtype", "sample_compression", "chunk_compression"):
        if getattr(spec, name) is not None and not (name == "dtype" and spec.dtype == "str"):
            found[name] = getattr(spec, name)
    known = [*spec.kind.info, *(("intrinsics",) if spec.kind.files == "image" else ())]
    return found | {name: info[name] for name in known if info.get(name)}


def restored(place: Place, source: Source) -> Source:
    """The source with the tensors that were exported; as it is where no export wrote it.

    Parameters
    ----------
    place : Place
        Where the source was opened.
    source : Source
    """
    try:
        document = _document(place, source)
    except (HubzarrError, ValueError, OSError):
        return source
    if document is None or document.get("format") not in _READ_BACK:
        return source
    columns = {column.name: column for column in source.columns}
    made = []
    for name, about in document["tensors"].items():
        try:
            spec = TensorSpec.from_json(about)
        except HubzarrError:  # of a newer release
            continue
        key = _key(name, about, spec, source.kind, columns)
        if key is not None:
            options = tensor_options(spec, about.get("info", {}))
            convert = _converter(spec, about, columns[key].options, place)
            made.append(_Restored(key, Column(name, options), convert))
    if not made:
        return source
    return RestoredRows(source, tuple(made), dict(document.get("info", {})))


@dataclass(frozen=True)
class _Restored:
    """A tensor: the column of the format's source that has its values, and how they get back."""

    key: str
    column: Column
    convert: Convert | None


@dataclass(frozen=True)
class RestoredRows:
    """The rows of a source under other names, values converted.

    Examples
    --------
    >>> RestoredRows(None, ()).columns
    ()
    """

    source: Any
    made: tuple[_Restored, ...]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """That of the format."""
        return str(self.source.kind)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The tensors that were exported."""
        return tuple(made.column for made in self.made)

    def units(self) -> Iterator[Unit]:
        """Those of the format's source."""
        yield from self.source.units()

    def rows(self, unit: Unit) -> Iterator[Row]:
        """The rows of a unit."""
        for row in self.source.rows(unit):
            if isinstance(row, Skipped):
                yield row
            elif isinstance(row, Block):
                yield Block(
                    {m.column.name: _all(m, row.columns[m.key]) for m in self.made}, row.rows
                )
            else:
                yield {m.column.name: _one(m, row[m.key]) for m in self.made}


def _all(made: _Restored, values: Any) -> Any:
    return values if made.convert is None else [_one(made, value) for value in values]


def _one(made: _Restored, value: Any) -> Any:
    return value if made.convert is None or value is None else made.convert(value)


def _document(place: Place, source: Source) -> dict[str, Any] | None:
    """What an export says of itself; None where there is nothing."""
    if place.is_dir():
        file = place.child(_DOCUMENT)
        found = json.loads(file.read()) if file.is_file() else None
        return found if isinstance(found, dict) and _MARK in found else None
    if source.kind != "parquet":
        return None
    parquet = need("pyarrow.parquet", extra="tables", what="reading Parquet")
    with place.open() as stream:
        metadata = parquet.read_schema(stream).metadata or {}
    return json.loads(metadata[b"hubzarr"]) if b"hubzarr" in metadata else None


def _key(
    name: str, about: Mapping[str, Any], spec: TensorSpec, kind: str, columns: Mapping[str, Column]
) -> str | None:
    """The column that has the values of a tensor."""
    if kind == "folders":
        wanted = ["images" if spec.stores == "file" else "split" if name == "split" else "labels"]
        fits = wanted != ["labels"] or _same_names(about, columns)
        return wanted[0] if wanted[0] in columns and fits else None
    if kind == "webdataset" and "extension" in about:
        extension = str(about["extension"])
        wanted = [_NAMES.get(extension, extension)]
        if spec.sample_compression:
            wanted.append(_PLURALS.get(get_format(spec.sample_compression).kind, ""))
        elif spec.base.startswith("image"):
            wanted.append("images")
    else:
        wanted = [str(about.get("column", name))]
    return next((key for w in wanted if (key := clean_names([w])[w]) in columns), None)


def _same_names(about: Mapping[str, Any], columns: Mapping[str, Column]) -> bool:
    """Whether the names of folders are names of classes."""
    found = columns["labels"].options.get("class_names", []) if "labels" in columns else [""]
    return set(found) <= set(about.get("info", {}).get("class_names", ()))


def _converter(
    spec: TensorSpec, about: Mapping[str, Any], have: Mapping[str, Any], place: Place
) -> Convert | None:
    """From a value as the format has it to one that the tensor takes; None: no change."""
    if "column" in about:
        return lambda path: read_sample(place.resolve(str(path))) if path else None
    text = have.get("htype") == "text"
    if spec.base == "class_label" and not spec.is_sequence:
        found = _labels(about, have, text)
        if about.get("shape") != [1]:
            return found
        return lambda value: [value if found is None else found(value)]
    if spec.stores == "link":
        return lambda value: link(value) if value else None
    if spec.stores == "file":
        return _filled
    if spec.stores == "text" or spec.base.startswith("image"):
        return None
    if spec.stores == "json":
        return _from_json if text else None
    inner = _array(spec.item if spec.stores == "sequence" else spec)
    if spec.stores == "sequence":
        if spec.item.stores in ("file", "text"):
            return _from_json if text else None
        inner = _sequence(spec, inner)
    return (lambda value: inner(_from_json(value))) if text else inner


def _filled(sample: Any) -> Any:
    """A file; None for one without bytes, which stands for no sample."""
    return None if sample.path is None and not sample.compressed_bytes else sample


def _from_json(value: str) -> Any:
    return json.loads(value) if value else None


def _labels(about: Mapping[str, Any], have: Mapping[str, Any], text: bool) -> Convert | None:
    """Labels, which are numbers of other names, names, or lists of these in JSON."""
    names = frozenset(about.get("info", {}).get("class_names", ()))

    def known(value: str) -> Any:
        return value if value in names or not value.startswith("[") else json.loads(value)

    there = have.get("class_names")
    if there:
        labels = [known(name) for name in there]
        return lambda value: labels[int(value)]
    return (lambda value: known(value) if value else None) if text else None


def _array(spec: TensorSpec) -> Convert:
    dtype = spec.numpy_dtype
    ndim = HTYPES[spec.base].ndim

    def convert(value: Any) -> Any:
        array = np.asarray(value, dtype)
        if not array.size and ndim is not None and array.ndim != ndim:
            # Nothing of the shape is left in an empty list.
            return np.empty((0, 4), dtype) if spec.base == "bbox" else None
        return array

    return convert


def _sequence(spec: TensorSpec, inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if spec.item.stores == "link":
            return [link(item) for item in value]
        if spec.item.stores == "json":
            return [_from_json(item) if isinstance(item, str) else item for item in value]
        return [inner(item) for item in value]

    return convert
