"""Which arrays of a source are columns of the same rows.

* Arrays of one length are the columns of as many rows.
* Where names end or begin with train, test, val and so on (``x_train``, ``test/images``),
  the splits follow each other and a column ``split`` tells them apart.
* Small arrays with one axis of another length, such as coordinates, go to the info.
* Arrays that don't fit together at all, or whose rows would be huge, become one row, each
  array one sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hubzarr.errors import InvalidError
from hubzarr.ingesting.blocks import (
    ArrayInfo,
    BlockSource,
    Part,
    array_options,
    dtype_name,
    fields_of,
)
from hubzarr.ingesting.columns import as_json, clean_names
from hubzarr.ingesting.source import Column, Skipped
from hubzarr.ingesting.splits import SPLITS, in_order

__all__ = ["arrange", "join"]

#: Coordinates go to the info up to so many bytes.
_SMALL = 64_000
#: A row of more bytes than this is a volume cut up.
_HUGE = 64_000_000


def arrange(
    kind: str,
    arrays: Iterable[ArrayInfo],
    *,
    info: Mapping[str, Any] | None = None,
    whole: bool = False,
    skipped: tuple[Skipped, ...] = (),
) -> BlockSource:
    """Find out which arrays are columns of the same rows.

    Parameters
    ----------
    kind : str
        Of the source.
    arrays : iterable of ArrayInfo
    info : mapping, optional
        For the info of the dataset.
    whole : bool
        Take each array as one sample of a single row.
    skipped : tuple of Skipped
        What the source could not read.

    Raises
    ------
    InvalidError
        If there are no arrays with elements.

    Examples
    --------
    >>> import numpy as np
    >>> made = np.zeros((3, 8, 8, 3), "u1"), np.zeros(3, "i8")
    >>> infos = [ArrayInfo(n, a.shape, a.dtype, a.__getitem__)
    ...          for n, a in zip(("images_train", "labels_train"), made)]
    >>> infos += [replace(infos[0], name="images_test"), replace(infos[1], name="labels_test")]
    >>> source = arrange("npy", infos)
    >>> [(column.name, column.options["htype"]) for column in source.columns]
    [('images', 'image'), ('labels', 'class_label'), ('split', 'class_label')]
    >>> [part.key for part in source.parts]
    ['train', 'test']
    """
    kept: dict[str, Any] = dict(info or {})
    tables = [field for array in arrays for field in fields_of(array)]
    rows = [array for array in tables if array.shape and (whole or array.shape[0])]
    scalars = [array for array in tables if not array.shape]
    if not rows and scalars and whole:
        rows, scalars = scalars, []
    if not rows:
        raise InvalidError(f"this {kind} source has no array with rows in it")
    if scalars:
        kept["scalars"] = {array.name: as_json(array.read(())) for array in scalars}
    if whole or any(array.row_bytes > _HUGE for array in rows):
        return _one_row(kind, rows, kept, skipped)
    splits = _splits(rows)
    if splits is not None and len(splits) == 1:
        (split,) = splits
        rows, kept["split"] = [replace(a, name=name) for name, a in splits[split].items()], split
    elif splits is not None:
        return _split_source(kind, splits, kept, skipped)
    main = _main_length(rows)
    others = [array for array in rows if array.shape[0] != main]
    chosen = [array for array in rows if array.shape[0] == main]
    coordinates = all(len(array.shape) == 1 and array.nbytes <= _SMALL for array in others)
    if not coordinates or 4 * _bytes(others) > _bytes(chosen):
        return _one_row(kind, rows, kept, skipped)
    if others:
        kept["arrays"] = {array.name: as_json(array.whole()) for array in others}
    columns, named = _columns(chosen)
    return BlockSource(kind, columns, (Part("", named, skipped=skipped),), kept)


def join(sources: Sequence[tuple[str, BlockSource]]) -> BlockSource:
    """Files of the same columns as one source, whose rows follow each other.

    Parameters
    ----------
    sources : sequence of (key, BlockSource)
        The key tells the files apart, and stays the same between runs.

    Raises
    ------
    InvalidError
        If columns differ in name, kind of data or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> x = ArrayInfo("x", (3,), np.dtype("i8"), np.array([5, 6, 7]).__getitem__)
    >>> both = join([("a.npy", arrange("npy", [x])), ("b.npy", arrange("npy", [x]))])
    >>> [unit.key for unit in both.units()]
    ['a.npy/0', 'b.npy/0']
    """
    if len(sources) == 1:
        return sources[0][1]
    (first_key, first), *_ = sources
    parts = []
    for key, source in sources:
        if source.columns != first.columns:
            raise InvalidError(
                f"{key} has other columns than {first_key}: "
                f"{_differences(source.columns, first.columns)}; ingest them one by one"
            )
        parts += [replace(p, key=f"{key}/{p.key}" if p.key else key) for p in source.parts]
    return BlockSource(first.kind, first.columns, tuple(parts), first.info)


def _differences(these: tuple[Column, ...], those: tuple[Column, ...]) -> str:
    mine = {column.name: column.options for column in these}
    other = {column.name: column.options for column in those}
    names = sorted(n for n in mine.keys() | other.keys() if mine.get(n) != other.get(n))
    return ", ".join(repr(name) for name in names[:5])


def _columns(arrays: list[ArrayInfo]) -> tuple[tuple[Column, ...], dict[str, ArrayInfo]]:
    names = clean_names(array.name for array in arrays)
    columns = tuple(Column(names[array.name], array_options(array)) for array in arrays)
    return columns, {names[array.name]: array for array in arrays}


def _one_row(
    kind: str, arrays: list[ArrayInfo], info: dict[str, Any], skipped: tuple[Skipped, ...]
) -> BlockSource:
    names = clean_names(array.name for array in arrays)
    columns = []
    for array in arrays:
        options = {"htype": "json"}
        if array.dtype.kind not in "OSTU":
            options = {"htype": "generic", "dtype": dtype_name(array.dtype)}
        columns.append(Column(names[array.name], options))
    named = {names[array.name]: array for array in arrays}
    return BlockSource(kind, tuple(columns), (Part("", named, whole=True, skipped=skipped),), info)


def _bytes(arrays: list[ArrayInfo]) -> int:
    return sum(array.nbytes for array in arrays)


def _main_length(arrays: list[ArrayInfo]) -> int:
    """The length that most bytes have."""
    weights: Counter[int] = Counter()
    for array in arrays:
        weights[array.shape[0]] += array.nbytes
    return max(weights, key=lambda length: (weights[length], length))


def _splits(arrays: list[ArrayInfo]) -> dict[str, dict[str, ArrayInfo]] | None:
    """Arrays by split and name, if all of them are parts of splits that look alike."""
    found: dict[str, dict[str, ArrayInfo]] = {}
    for array in arrays:
        split, name = _split_of(array.name)
        if split is None:
            return None
        found.setdefault(split, {})[name] = array
    parts = list(found.values())
    alike = all(part.keys() == parts[0].keys() for part in parts)
    even = all(len({array.shape[0] for array in part.values()}) == 1 for part in parts)
    return found if alike and even and _same_samples(parts) else None


def _same_samples(parts: list[dict[str, ArrayInfo]]) -> bool:
    return all(
        part[name].shape[1:] == array.shape[1:] and part[name].dtype == array.dtype
        for part in parts
        for name, array in parts[0].items()
    )


def _split_of(name: str) -> tuple[str | None, str]:
    """``x_train`` as ('train', 'x'), ``test/images`` as ('test', 'images')."""
    head, slash, tail = name.partition("/")
    if slash and head.lower() in SPLITS:
        return head.lower(), tail
    first, _, rest = name.partition("_")
    if rest and first.lower() in SPLITS:
        return first.lower(), rest
    rest, _, last = name.rpartition("_")
    if rest and last.lower() in SPLITS:
        return last.lower(), rest
    return None, name


def _split_source(
    kind: str,
    splits: dict[str, dict[str, ArrayInfo]],
    info: dict[str, Any],
    skipped: tuple[Skipped, ...],
) -> BlockSource:
    names = in_order(splits)
    first = [replace(array, name=name) for name, array in splits[names[0]].items()]
    columns, _ = _columns(first)
    cleaned = clean_names(array.name for array in first)
    parts = []
    for number, split in enumerate(names):
        arrays = {cleaned[name]: splits[split][name] for name in cleaned}
        parts.append(Part(split, arrays, {"split": number}, skipped=() if number else skipped))
    split_column = Column("split", {"htype": "class_label", "class_names": names})
    return BlockSource(kind, (*columns, split_column), tuple(parts), info)
