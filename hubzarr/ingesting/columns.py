"""Columns guessed from values: what tensor suits what a foreign format holds.

Formats such as TFRecord, WebDataset or MDS say little about their fields, so the first
values are looked at. `guess` gives a `Field`: the column to create, and how each value is
converted for it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, SampleError
from hubzarr.ingesting.source import Column
from hubzarr.media import Sample, get_format, sniff
from hubzarr.names import check_segment

__all__ = [
    "REQUIRED",
    "Field",
    "as_json",
    "clean_names",
    "guess",
    "is_label_name",
    "is_text",
    "media_options",
]

_LABELS = frozenset(
    {"label", "labels", "cls", "class", "classes", "class_id", "class_label", "category_id"}
    | {"fine_label", "fine_labels", "coarse_label", "coarse_labels", "target", "targets", "y"}
)


class _Required:
    """One object, also after pickling."""

    def __reduce__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()
"""Stands for the missing value of fields that may not be missing."""

_MAX_LABEL = 100_000
_SNIFFED = 32  # values looked at by the parser of headers
_NUMERIC = "biufc"


@dataclass(frozen=True)
class Field:
    """One field of a foreign format: its name there, its column, how values get there.

    Parameters
    ----------
    key : str
        Name of the field in the source.
    column : Column
        The tensor that it fills.
    how : str
        One of the conversions of this module, such as ``"text"``.
    missing : Any
        The value of rows that lack the field; `REQUIRED` if there is none.

    Examples
    --------
    >>> field = guess("caption", [b"a cat", b"a dog"])
    >>> field.column.options, field.convert(b"a bird")
    ({'htype': 'text'}, 'a bird')
    """

    key: str
    column: Column
    how: str
    missing: Any = None

    def convert(self, value: Any, path: str | None = None) -> Any:
        """The value for the tensor; `path` is named if it doesn't suit.

        Raises
        ------
        SampleError
            The value is not of the kind that the first ones were.
        """
        if value is None:
            if self.missing is REQUIRED:
                raise SampleError(
                    f"{path or self.key}: field {self.key!r} is missing, which the rows looked at "
                    "before all have; look at more rows",
                    path=path,
                )
            return self.missing
        try:
            return _CONVERSIONS[self.how](value, self, path)
        except HubzarrError:
            raise
        except (TypeError, ValueError, OverflowError) as cause:
            shown = repr(value)
            raise SampleError(
                f"{path or self.key}: field {self.key!r} was expected to be "
                f"{self.column.options.get('htype', 'generic')} like the first ones, "
                f"not {shown[:60]} ({cause})",
                path=path,
            ) from cause


def guess(key: str, values: Iterable[Any], *, name: str | None = None) -> Field:
    """The column that suits some values of a field, None where it is missing.

    Parameters
    ----------
    key : str
        Name of the field.
    values : iterable
        Python or NumPy values, bytes, lists, dicts, None.
    name : str, optional
        Name of the column; without one the key.

    Examples
    --------
    >>> guess("age", [3, 4, None]).column.options
    {'htype': 'generic', 'dtype': 'float64'}
    >>> guess("label", [3, 4]).column.options
    {'htype': 'class_label'}
    >>> guess("sizes", [[1, 2], [3]]).column.options
    {'htype': 'generic', 'dtype': 'int64'}
    >>> guess("meta", [{"a": 1}, None]).column.options
    {'htype': 'json'}
    """
    values = list(values)
    there = [value for value in values if value is not None]
    how, options, missing = _guess(key, there, len(there) < len(values))
    return Field(key, Column(name or key, options), how, missing)


def clean_names(keys: Iterable[str]) -> dict[str, str]:
    """Names of tensors for the fields of a source, each one once.

    A slash stays the mark of a group; what a name can't hold becomes ``_``. Where a field
    is named like a group of others, it is called ``value`` in there.

    Examples
    --------
    >>> clean_names(["my field", "my:field", "a/b.", "a"])
    {'my field': 'my_field', 'my:field': 'my_field_2', 'a/b.': 'a/b', 'a': 'a/value'}
    """
    cleaned = {key: _clean(key) for key in keys}
    taken: set[str] = set()
    groups = {name[:at] for name in cleaned.values() for at, c in enumerate(name) if c == "/"}
    for key, name in cleaned.items():
        base = f"{name}/value" if name in groups else name
        unique = base
        for number in itertools.count(2):
            if unique not in taken:
                break
            unique = f"{base}_{number}"
        taken.add(unique)
        cleaned[key] = unique
    return cleaned


def _clean(key: str) -> str:
    parts = []
    for part in key.replace("\\", "/").split("/"):
        kept = "".join(c if c.isalnum() or c in "_-." else "_" for c in part).strip(".")
        if kept.startswith("__"):  # such names are reserved
            kept = kept.lstrip("_.") or "field"
        if kept:
            parts.append(_checked(kept[:100]))
    return "/".join(parts) or "field"


def _checked(part: str) -> str:
    try:
        return check_segment(part)
    except HubzarrError:  # letters that a name can't hold for other reasons
        return check_segment("".join(c if c.isascii() else "_" for c in part)[:100])


def is_label_name(name: str) -> bool:
    """Whether whole numbers of this name are most likely numbers of classes.

    Examples
    --------
    >>> is_label_name("objects/label"), is_label_name("age")
    (True, False)
    """
    return name.rpartition("/")[2].lower() in _LABELS


def is_text(data: bytes) -> bool:
    """Whether bytes are text in UTF-8.

    Examples
    --------
    >>> is_text("Füße\\n".encode()), is_text(bytes(4))
    (True, False)
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable() or not any(ord(c) < 32 and c not in "\t\n\r\f\v\x1b" for c in text)


def media_options(files: Iterable[bytes]) -> dict[str, Any] | None:
    """Options of the tensor for files of samples; None if one is of no known format.

    Where formats differ, the most frequent one is kept and others will be converted.

    Examples
    --------
    >>> file = Sample(array=np.zeros((2, 3, 3), "u1")).encoded("png")
    >>> media_options([file, file])
    {'htype': 'image', 'sample_compression': 'png'}
    >>> media_options([b"no picture"])
    """
    formats: Counter[str] = Counter()
    for data in files:
        try:
            name = sniff(data)
            get_format(name).header(data)
        except HubzarrError:
            return None
        formats[name] += 1
    kinds = {get_format(name).kind for name in formats}
    if len(kinds) != 1:
        return None
    best = max(formats, key=lambda name: (formats[name], name))
    return {"htype": kinds.pop(), "sample_compression": best}


def as_json(value: Any) -> Any:
    """What JSON can hold, for values that tables and archives know besides.

    Examples
    --------
    >>> as_json({"day": date(2026, 1, 31), "n": np.arange(2), "times": (1.5, float("nan"))})
    {'day': '2026-01-31', 'n': [0, 1], 'times': [1.5, None]}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return as_json((value.astype(str) if value.dtype.kind in "mM" else value).tolist())
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return data.decode() if is_text(data) else data.hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, complex):
        return [value.real, value.imag]
    return str(value)


def _guess(key: str, there: list[Any], lacking: bool) -> tuple[str, dict[str, Any], Any]:
    """Conversion, options and the value of rows that lack the field."""
    types = {type(value) for value in there}
    if types and types <= {bytes, bytearray, memoryview}:
        return _guess_bytes([bytes(value) for value in there])
    if types == {str}:
        return "text", {"htype": "text"}, ""
    if types and all(issubclass(kind, bool | int | float | np.generic) for kind in types):
        return _guess_numbers(key, there, lacking)
    if types and types <= {list, tuple, np.ndarray}:
        return _guess_lists(key, there)
    return "json", {"htype": "json"}, None


def _guess_bytes(there: list[bytes]) -> tuple[str, dict[str, Any], Any]:
    filled = [data for data in there if data]
    options = media_options(filled[:_SNIFFED]) if filled else None
    if options is not None:
        return "file", options, None
    if all(is_text(data) for data in there):
        return "text", {"htype": "text"}, ""
    return "bytes", {"htype": "generic", "dtype": "uint8"}, np.empty(0, np.uint8)


def _guess_numbers(key: str, there: list[Any], lacking: bool) -> tuple[str, dict[str, Any], Any]:
    dtype = np.result_type(*{np.asarray(value).dtype for value in there})
    if dtype.kind not in _NUMERIC + "mM":
        return "json", {"htype": "json"}, None
    if dtype.kind == "b" and lacking:
        return "json", {"htype": "json"}, None
    if dtype.kind in "iu":
        if lacking:  # whole numbers have no mark for "missing", floats do
            return "number", _generic(np.dtype("float64")), float("nan")
        if is_label_name(key) and min(there) >= 0 and max(there) < _MAX_LABEL:
            return "label", {"htype": "class_label"}, REQUIRED
    if dtype.kind in "mM":
        return "number", _generic(dtype), np.array("NaT", dtype)[()]
    return "number", _generic(dtype), float("nan") if dtype.kind in "fc" else REQUIRED


def _guess_lists(key: str, there: list[Any]) -> tuple[str, dict[str, Any], Any]:
    items = [item for value in there for item in value[:64]] if _flat_lists(there) else []
    if items and all(isinstance(item, str) for item in items):
        return "list", {"htype": "list"}, []
    if items and all(isinstance(item, bytes) for item in items):
        return _guess_bytes_lists(items)
    try:
        arrays = [np.asarray(value) for value in there]
    except ValueError:  # lists of lists of different lengths
        return "json", {"htype": "json"}, None
    filled = [array for array in arrays if array.size]
    dtypes = {array.dtype for array in filled or arrays}
    if any(dtype.kind not in _NUMERIC for dtype in dtypes):
        return "json", {"htype": "json"}, None
    dtype = np.result_type(*dtypes).newbyteorder("=")
    empty = np.empty((0,) * max(array.ndim for array in arrays), dtype)
    whole = dtype.kind in "iu" and all(a.min() >= 0 and a.max() < _MAX_LABEL for a in filled)
    if filled and whole and empty.ndim == 1 and is_label_name(key):
        return "labels", {"htype": "class_label"}, np.empty(0, np.uint32)
    return "array", _generic(dtype), empty


def _guess_bytes_lists(items: list[bytes]) -> tuple[str, dict[str, Any], Any]:
    options = media_options([data for data in items if data][:_SNIFFED])
    if options is not None and any(items):
        return "files", {**options, "htype": f"sequence[{options['htype']}]"}, []
    if all(is_text(data) for data in items):
        return "list", {"htype": "list"}, []
    return "byte_lists", {"htype": "sequence[generic]", "dtype": "uint8"}, []


def _flat_lists(there: list[Any]) -> bool:
    return all(isinstance(value, list | tuple) for value in there)


def _generic(dtype: np.dtype[Any]) -> dict[str, Any]:
    return {"htype": "generic", "dtype": dtype.newbyteorder("=").name}


def _to_file(value: Any, field: Field, path: str | None) -> Sample:
    return Sample(bytes(value), path=path)


def _to_text(value: Any, field: Field, path: str | None) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    raise TypeError("it is no text")


def _to_bytes(value: Any, field: Field, path: str | None) -> np.ndarray[Any, Any]:
    data = value.encode() if isinstance(value, str) else value
    return np.frombuffer(data, np.uint8)


def _to_number(value: Any, field: Field, path: str | None) -> Any:
    if not isinstance(value, int | float | complex | np.generic):
        raise TypeError("it is no number")
    dtype = np.dtype(field.column.options["dtype"])
    if dtype.kind == "f" and isinstance(value, int) and int(dtype.type(value)) != value:
        raise ValueError(f"{value} can't be kept exactly as {dtype.name}")
    if dtype.kind in "iub" and isinstance(value, float | np.floating):
        raise ValueError("it is not a whole number")
    return dtype.type(value)


def _to_label(value: Any, field: Field, path: str | None) -> int:
    number = int(value)
    if number != value or number < 0:
        raise ValueError("labels are whole numbers from 0 on")
    return number


def _to_labels(value: Any, field: Field, path: str | None) -> np.ndarray[Any, Any]:
    numbers = np.asarray(value)
    if numbers.size == 0:
        return np.empty(0, np.uint32)
    if numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise ValueError("labels are whole numbers from 0 on")
    return numbers


def _to_array(value: Any, field: Field, path: str | None) -> np.ndarray[Any, Any]:
    dtype = np.dtype(field.column.options["dtype"])
    array = np.asarray(value)
    if array.size == 0:
        return array.astype(dtype) if array.ndim > 1 else field.missing
    return array.astype(dtype, casting="same_kind", copy=False)


def _to_list(value: Any, field: Field, path: str | None) -> list[Any]:
    return [_to_text(item, field, path) for item in value]


def _to_files(value: Any, field: Field, path: str | None) -> list[Sample]:
    return [_to_file(item, field, path) for item in value]


def _to_byte_lists(value: Any, field: Field, path: str | None) -> list[np.ndarray[Any, Any]]:
    return [_to_bytes(item, field, path) for item in value]


def _to_json(value: Any, field: Field, path: str | None) -> Any:
    return as_json(value)


_CONVERSIONS: dict[str, Callable[[Any, Field, str | None], Any]] = {
    "array": _to_array,
    "byte_lists": _to_byte_lists,
    "bytes": _to_bytes,
    "file": _to_file,
    "files": _to_files,
    "json": _to_json,
    "label": _to_label,
    "labels": _to_labels,
    "list": _to_list,
    "number": _to_number,
    "text": _to_text,
}
