"""CSV: numbers, text and labels by name; what is no single value as JSON in its cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from hubzarr.errors import InvalidError
from hubzarr.exporting.cells import cells, has_cells
from hubzarr.exporting.report import Written
from hubzarr.exporting.table import Table
from hubzarr.exporting.target import Target

__all__ = ["FORMAT", "csv_text", "is_single", "write"]

FORMAT = "csv"

_ROWS = 8192

type Advance = Callable[[int], None]


def is_single(url: str) -> bool:
    """Whether the target is one file: it always is."""
    return True


def write(table: Table, target: Target, advance: Advance, *, delimiter: str = ",") -> Written:
    """Write one line for each row.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    delimiter : str
        Between columns.
    """
    if len(delimiter) != 1:
        raise InvalidError(f"delimiter={delimiter!r}: expected one character, such as ',' or ';'")
    fields = [field for field in table.fields if has_cells(field)]
    if not fields:
        raise InvalidError(
            "all tensors are files or images, for which CSV has no place: use format='folder'"
        )
    with target.open() as file:
        file.write(csv_text([[field.name] for field in fields], delimiter))
        for block in table.blocks(fields, rows=_ROWS):
            columns = [cells(field, block.columns[field.name]) for field in fields]
            file.write(csv_text(columns, delimiter))
            advance(block.rows)
    left_out = {f.name: "files have no place in CSV" for f in table.fields if f not in fields}
    return Written(left_out)


def csv_text(columns: Sequence[Sequence[str]], delimiter: str = ",") -> bytes:
    """Columns of cells as lines of text.

    Examples
    --------
    >>> csv_text([["a", "b"], ["1", "2,5"]])
    b'a,1\\nb,"2,5"\\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode()
