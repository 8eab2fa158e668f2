"""Batches out of loaded windows: gathered, decoded, transformed, collated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hubzarr.errors import DamagedError, HubzarrError, SampleError, StorageError, TransformError
from hubzarr.loaders.collating import collate
from hubzarr.loaders.framework import Framework
from hubzarr.loaders.options import Options
from hubzarr.loaders.source import Field, Source, Stored
from hubzarr.loaders.windows import Loaded
from hubzarr.threads import map_all, threads_for

__all__ = ["Assembler", "Part", "Skipped"]

type Numbers = npt.NDArray[np.int64]
#: Number of a row in the dataset, the tensor (None: the transform), and what went wrong.
type Skipped = tuple[int, str | None, Exception]

#: What may be wrong with one sample while others are fine.
_BROKEN = (SampleError, DamagedError, StorageError)


class Part(NamedTuple):
    """Samples of a batch that come from one window.

    Attributes
    ----------
    loaded : Loaded
    places : ndarray of int64
        Where they are in its columns.
    at : ndarray of int64 or slice
        Where they go in the batch.
    """

    loaded: Loaded
    places: Numbers
    at: Any


class Assembler:
    """Makes batches for one reader.

    Parameters
    ----------
    source : Source
    options : Options
    to : Framework
    skipped : list
        Samples that were left out or replaced are added to it.
    """

    def __init__(
        self, source: Source, options: Options, to: Framework, skipped: list[Skipped]
    ) -> None:
        self._source = source
        self._options = options
        self._to = to
        self._skipped = skipped
        by_name = {one.name: one for one in source.fields}
        self.fields = [by_name[name] for name in options.tensors]

    def batch(self, parts: Sequence[Part], count: int) -> Any:
        """One batch; None if no sample of it is left.

        For ``batch_size=None``: samples apart, each with its place among the `count`.
        """
        rows = np.empty(count, np.int64)
        for part in parts:
            rows[part.at] = part.loaded.rows[part.places]
        numbers = self._source.numbers(rows)
        errors: dict[int, tuple[str | None, Exception]] = {}
        columns = {
            one.name: self._column(one, parts, count, numbers, errors) for one in self.fields
        }
        if self._options.return_index:
            columns["index"] = numbers
        if callable(self._options.transform):
            columns = self._transformed(columns, count, numbers, errors)
        chosen = self._chosen(count, numbers, errors)
        if chosen is not None:
            if not len(chosen):
                return None
            columns = {name: _some(column, chosen) for name, column in columns.items()}
            numbers = numbers[chosen]
        if self._options.batch_size is None:
            skips = chosen is not None and self._options.on_error == "skip"
            places = chosen.tolist() if chosen is not None and skips else range(len(numbers))
            return list(zip(places, self._apart(columns, len(numbers)), strict=True))
        listed = numbers.tolist()
        batch = {name: self._value(name, c, listed) for name, c in columns.items()}
        return self._to.finish(self._formed(batch))

    # -- columns -----------------------------------------------------------------

    def _column(
        self, one: Field, parts: Sequence[Part], count: int, numbers: Numbers,
        errors: dict[int, tuple[str | None, Exception]],
    ) -> Any:  # fmt: skip
        name = one.name
        for part in parts:
            if part.loaded.broken:
                self._note_broken(name, part, errors)
        transform = self._options.transform
        own = transform.get(name) if isinstance(transform, Mapping) else None
        if one.uniform:
            found = self._gathered(one, parts, count)
            if own is None:
                return found.tolist() if one.kind == "text" else found
            return self._each(lambda i: own(found[i]), count, "cpu", errors, numbers, name, True)
        stored: list[Any] = [None] * count
        for part in parts:
            column, at = part.loaded.columns[name], np.arange(count)[part.at]
            for i, place in zip(at.tolist(), part.places.tolist(), strict=True):
                stored[i] = column[place]
        if not self._options.decodes(name):
            to_bytes = self._source.to_bytes
            return self._each(
                lambda i: to_bytes(name, stored[i]), count, "none", errors, numbers, name, False
            )
        return self._decoded(one, stored, numbers, errors, own)

    def _gathered(self, one: Field, parts: Sequence[Part], count: int) -> npt.NDArray[Any]:
        """Rows of an array out of the windows."""
        shape = tuple(n or 0 for n in one.shape or ())
        dtype = one.dtype or np.dtype("u1")
        # Not the framework's memory where a transform or Python comes between.
        plain = one.kind == "text" or self._options.transform is not None
        out = np.empty((count, *shape), dtype) if plain else self._to.empty((count, *shape), dtype)
        for loaded, places, at in parts:
            column: Any = loaded.columns[one.name]
            if isinstance(at, slice):
                np.take(column, places, axis=0, out=out[at], mode="clip")
            else:
                out[at] = column[places]
        return out

    def _decoded(
        self, one: Field, stored: list[Stored], numbers: Numbers,
        errors: dict[int, tuple[str | None, Exception]], own: Callable[[Any], Any] | None,
    ) -> Any:  # fmt: skip
        """Samples out of what is stored: one array if they have one shape, else a list."""
        name, decode = one.name, self._source.decode
        if own is not None:
            return self._each(
                lambda i: _then(decode(name, stored[i]), own), len(stored), one.cost, errors,
                numbers, name, False,
            )  # fmt: skip
        shapes = {sample.shape for sample in stored}
        direct = (
            one.kind == "array" and one.dtype is not None and len(shapes) == 1
            and self._options.how(name) in ("stack", "pad") and self._options.transform is None
            and self._options.batch_size is not None and not errors
        )  # fmt: skip
        if not direct or one.dtype is None:
            return self._each(
                lambda i: decode(name, stored[i]), len(stored), one.cost, errors, numbers, name,
                False,
            )  # fmt: skip
        out = self._to.empty((len(stored), *shapes.pop()), one.dtype)
        # A slice of an array of no axes would be a scalar.
        slots = [out[i : i + 1].reshape(out.shape[1:]) for i in range(len(stored))]
        self._each(
            lambda i: decode(name, stored[i], slots[i]), len(stored), one.cost, errors, numbers,
            name, False,
        )  # fmt: skip
        return out

    def _note_broken(
        self, name: str, part: Part, errors: dict[int, tuple[str | None, Exception]]
    ) -> None:
        at = np.arange(len(part.places))
        at = at if isinstance(part.at, slice) else part.at
        for i, place in zip(at.tolist(), part.places.tolist(), strict=True):
            error = part.loaded.broken.get((place, name))
            if error is not None:
                errors.setdefault(i, (name, error))

    def _each(
        self, work: Callable[[int], Any], count: int, cost: str,
        errors: dict[int, tuple[str | None, Exception]], numbers: Numbers, name: str | None,
        foreign: bool,
    ) -> list[Any]:  # fmt: skip
        """Results for each sample; those that fail are noted.

        Functions of the user (`foreign`) may raise anything; other errors than those of
        samples are ours, and not to be skipped.
        """
        strict = self._options.on_error == "raise"
        own = foreign or name is None or isinstance(self._options.transform, Mapping)
        caught = Exception if own else _BROKEN

        def one(i: int) -> Any:
            if i in errors:
                return None
            try:
                return work(i)
            except caught as error:
                found = _told(error, name, int(numbers[i]))
                if strict:
                    raise found from error
                errors[i] = name, found
                return None

        items = range(count)
        if cost == "none":
            return [one(i) for i in items]
        concurrency = self._source.concurrency if cost == "store" else 1
        share = max(1, min(8, count // (2 * threads_for(concurrency))))
        return map_all(one, items, concurrency, share)

    # -- samples -----------------------------------------------------------------

    def _transformed(
        self, columns: dict[str, Any], count: int, numbers: Numbers,
        errors: dict[int, tuple[str | None, Exception]],
    ) -> dict[str, Any]:  # fmt: skip
        """What the user's function makes of each sample."""
        function: Any = self._options.transform
        single = self._source.single and not self._options.return_index
        (first, *_) = columns

        def work(i: int) -> Any:
            if single:
                return {first: function(columns[first][i])}
            made = function({name: column[i] for name, column in columns.items()})
            if not isinstance(made, Mapping):
                raise TransformError(
                    f"transform gave {type(made).__name__}, expected a dict of values by name, "
                    "such as the one that it got"
                )
            return made

        made = self._each(work, count, "cpu", errors, numbers, None, True)
        names = next((list(sample) for sample in made if sample is not None), [])
        for i, sample in enumerate(made):
            if sample is not None and sorted(sample) != sorted(names):
                raise TransformError(
                    f"transform gave {sorted(sample)} for row {int(numbers[i])} and "
                    f"{sorted(names)} for another: all samples need the same names"
                )
        return {name: [None if s is None else s[name] for s in made] for name in names}

    def _chosen(
        self, count: int, numbers: Numbers, errors: Mapping[int, tuple[str | None, Exception]]
    ) -> Numbers | None:
        """Which samples make the batch, where some are broken; None: all."""
        if not errors:
            return None
        for i in sorted(errors):
            name, error = errors[i]
            if self._options.on_error == "raise":
                raise _told(error, name, int(numbers[i]))
            self._skipped.append((int(numbers[i]), name, error))
        good = np.array([i for i in range(count) if i not in errors], np.int64)
        if self._options.on_error == "skip" or not len(good):
            return good
        # The next good one of the batch; behind the last, the first.
        return good[np.searchsorted(good, np.arange(count)) % len(good)]

    # -- the batch ---------------------------------------------------------------

    def _value(self, name: str, column: Any, rows: list[int]) -> Any:
        if isinstance(column, np.ndarray):
            return self._to.convert(column)
        options = self._options
        return collate(name, column, options.how(name), options.filling(name), rows, self._to)

    def _formed(self, batch: dict[str, Any]) -> Any:
        if self._source.single and not self._options.return_index and len(batch) == 1:
            return next(iter(batch.values()))
        return tuple(batch.values()) if self._options.form == "tuple" else batch

    def _apart(self, columns: Mapping[str, Any], count: int) -> list[Any]:
        """Samples one by one."""
        convert = self._to.convert
        return [
            self._to.finish(
                self._formed({name: convert(column[i]) for name, column in columns.items()})
            )
            for i in range(count)
        ]


def _then(value: Any, function: Callable[[Any], Any]) -> Any:
    return function(value)


def _some(column: Any, chosen: Numbers) -> Any:
    if isinstance(column, np.ndarray):
        return column[chosen]
    return [column[i] for i in chosen.tolist()]


def _told(error: Exception, name: str | None, number: int) -> HubzarrError:
    """The error with the tensor and the row in its message."""
    what = "transform" if name is None else f"tensor {name!r}"
    if isinstance(error, HubzarrError) and f"row {number} " in str(error):
        return error
    ours = isinstance(error, HubzarrError) and not isinstance(error, TransformError)
    kind = SampleError if ours else TransformError
    said = str(error) if isinstance(error, HubzarrError) else f"{type(error).__name__}: {error}"
    return kind(
        f"row {number} of the dataset, {what}: {said}. on_error='skip' leaves such samples out, "
        "'replace' puts others in their place"
    )
