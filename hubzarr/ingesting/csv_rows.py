"""CSV files, read in pieces: each piece can be read alone, so that many are read at once.

The file is gone through once: to find where its records begin, which only shows from the
quotes before, and to know the type of each column, which only shows from all its values.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting.arrow import MAX_CLASSES, Known, label_names, pyarrow
from hubzarr.ingesting.columns import is_label_name
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.unpacked import Unpacked

__all__ = ["CsvRows"]

_BLOCK = 1 << 18
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A"]
_LONGEST = 64_000_000
# Numbers that a number can't hold as they are written: 007, or 16 digits and more.
_NO_INTEGER = r"^[+-]?0[0-9]"
_NO_FLOAT = r"^[+-]?(0[0-9]|[0-9]{16,}$)"


class CsvRows:
    """The rows of a CSV or TSV file, by pieces.

    Parameters
    ----------
    place : Place
        The file, which may be gzipped.
    encoding : str, optional
        Of its text: any that has ASCII for ASCII.
    """

    def __init__(self, place: Place, encoding: str = "utf8") -> None:
        self._place = place
        self._encoding = encoding
        self._unpacked = Unpacked()
        self._delimiter = self._guess_delimiter()
        self._names: list[str] = []

    def head(self, rows: int) -> Any:
        """A table of the first rows, as text, without going through the file."""
        with self._open() as file:
            _, _, data = next(_records(file))
        self._names = self._header(data)
        text = dict.fromkeys(self._names, pyarrow().string())
        return self._parsed(data.partition(b"\n")[2], text).slice(0, rows)

    def first(self, rows: int) -> Any:
        """A table of the first rows."""
        return self.read(0).slice(0, rows) if self._scan.rows else self._schema.empty_table()

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Number and rows of each piece."""
        yield from enumerate(self._scan.rows)

    @cached_property
    def _schema(self) -> Any:
        return self._scan.types.schema(self._names)

    @property
    def known(self) -> Known:
        """What all rows tell of the columns."""
        return self._scan.types.known()

    def read(self, piece: int) -> Any:
        """A table of the rows of one piece."""
        start, stop = self._scan.starts[piece : piece + 2]
        with self._open() as file:
            file.seek(start)
            data = file.read(stop - start)
        return self._parsed(data, {field.name: field.type for field in self._schema})

    def _parsed(self, data: bytes, types: dict[str, Any], missing_text: bool = False) -> Any:
        csv = pyarrow("pyarrow.csv")
        try:
            return csv.read_csv(
                io.BytesIO(data),
                read_options=csv.ReadOptions(
                    column_names=self._names,
                    use_threads=False,
                    block_size=len(data) + 1,
                    encoding=self._encoding,
                ),
                parse_options=csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=types,
                    null_values=_MISSING,
                    strings_can_be_null=missing_text,
                ),
            )
        except (pyarrow().ArrowInvalid, ValueError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> SampleError:
        advice = "; say encoding=..." if "UTF8" in str(error) or "utf-8" in str(error) else ""
        return SampleError(f"{self._place.url}: {error}{advice}", path=self._place.url)

    @cached_property
    def _scan(self) -> _Scan:
        scan = _Scan([], [], _Types())
        with self._open() as file:
            records = _records(file)
            head = next(records)
            self._names = self._header(head[2])
            text = dict.fromkeys(self._names, pyarrow().string())
            length = len(head[2].partition(b"\n")[0]) + 1
            for start, stop, data in self._without_header(head, records, length):
                table = self._parsed(data, text, missing_text=True)
                scan.types.see(table)
                scan.starts.extend([start, stop] if not scan.rows else [stop])
                scan.rows.append(table.num_rows)
        return scan

    def _without_header(
        self, head: tuple[int, int, bytes], rest: Iterator[tuple[int, int, bytes]], length: int
    ) -> Iterator[tuple[int, int, bytes]]:
        start, stop, data = head
        if len(data) > length:
            yield start + length, stop, data[length:]
        yield from rest

    def _header(self, data: bytes) -> list[str]:
        csv = pyarrow("pyarrow.csv")
        line = data.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            raise InvalidError(f"{self._place.url}: empty; expected a line of column names")
        try:
            names = csv.read_csv(
                io.BytesIO(line + b"\n"),
                read_options=csv.ReadOptions(encoding=self._encoding),
                parse_options=csv.ParseOptions(delimiter=self._delimiter),
            ).column_names
        except (pyarrow().ArrowInvalid, ValueError) as error:
            raise self._broken(error) from error
        if len(set(names)) < len(names):
            raise InvalidError(f"{self._place.url}: columns share a name: {', '.join(names)}")
        return [name or f"column{number}" for number, name in enumerate(names)]

    def _guess_delimiter(self) -> str:
        with self._open() as file:
            line = file.read(1 << 16).partition(b"\n")[0].decode("utf-8", "replace")
        tab_first = self._place.suffix.startswith((".tsv", ".tab"))
        candidates = "\t,;|" if tab_first else ",;\t|"
        return max(candidates, key=lambda mark: (line.count(mark) > 0, -candidates.index(mark)))

    def _open(self) -> BinaryIO:
        return self._unpacked.open(self._place)


@dataclass(frozen=True)
class _Scan:
    """What going through the whole file tells."""

    starts: list[int]
    rows: list[int]
    types: _Types


class _Types:
    """What the values of each column can all be read as."""

    def __init__(self) -> None:
        self._possible: dict[str, list[Any]] = {}
        self._distinct: dict[str, dict[str | None, None]] = {}
        self._lacking: set[str] = set()

    def see(self, table: Any) -> None:
        """Take more rows, whose values are text, into account."""
        pa = pyarrow()
        kinds = [pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us")]
        for name, values in zip(table.column_names, table.columns, strict=True):
            possible = self._possible.setdefault(name, kinds)
            self._possible[name] = [kind for kind in possible if _readable(values, kind)]
            if values.null_count:
                self._lacking.add(name)
            seen = self._distinct.setdefault(name, {})
            if is_label_name(name) and len(seen) <= MAX_CLASSES:
                seen.update(dict.fromkeys(values.unique().to_pylist()))

    def schema(self, names: list[str]) -> Any:
        """The first type that was possible throughout, else text."""
        pa = pyarrow()
        return pa.schema(
            [(name, next(iter(self._possible.get(name, ())), pa.string())) for name in names]
        )

    def known(self) -> Known:
        text = (name for name, possible in self._possible.items() if not possible)
        names = {name: label_names(list(self._distinct[name])) for name in text}
        classes = {name: found for name, found in names.items() if found}
        return Known(frozenset(self._lacking), classes)


def _readable(values: Any, kind: Any) -> bool:
    pa, compute = pyarrow(), pyarrow("pyarrow.compute")
    lossy = {pa.int64(): _NO_INTEGER, pa.float64(): _NO_FLOAT}.get(kind)
    if lossy and compute.any(compute.match_substring_regex(values, lossy)).as_py():
        return False
    try:
        compute.cast(values, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _records(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Pieces of whole records: start, stop and bytes of each.

    A line end outside quotes ends a record: one with an even number of quotes before it.
    """
    position, rest = 0, b""
    while True:
        data = file.read(_BLOCK)
        block = rest + data
        cut = len(block) if not data else _last_end(block)
        if cut or not (data or position):
            yield position, position + cut, block[:cut]
            position += cut
        rest = block[cut:]
        if len(rest) > _LONGEST:
            raise InvalidError(f"a record of more than {_LONGEST} bytes; expected quotes in pairs")
        if not data:
            return


def _last_end(block: bytes) -> int:
    marks = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(marks == ord('"'))
    ends = np.flatnonzero(marks == ord("\n"))
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0
