"""Parquet: one file, or a folder of parts; read by Arrow, pandas, DuckDB, Polars and others.

What each column is beyond its type is kept in the metadata of the schema: under
``hubzarr`` as in `dataset.json`, under ``huggingface`` as the package ``datasets`` expects
it. With ``labels="numbers"`` class labels are integers, as that package wants them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.exporting.arrow_columns import ArrowColumn, arrow_column, pyarrow
from hubzarr.exporting.report import Written
from hubzarr.exporting.table import Block, Table
from hubzarr.exporting.target import Target, suffix_of

__all__ = ["FORMAT", "is_single", "write"]

FORMAT: Final = "parquet"

type Advance = Callable[[int], None]

_GROUP_BYTES: Final = 32 << 20
_GROUP_ROWS: Final = 65536


def is_single(url: str) -> bool:
    """Whether the target is one file: by its extension."""
    return suffix_of(url) in (".parquet", ".pq")


def write(
    table: Table,
    target: Target,
    advance: Advance,
    *,
    labels: str = "names",
    maxsize: int = 512_000_000,
    compression: str = "zstd",
) -> Written:
    """Write row groups of bounded size.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    labels : {"names", "numbers"}
        Class labels as a dictionary of their names, or as integers.
    maxsize : int
        Bytes after which a folder gets another file.
    compression : str
        Of the columns, as Parquet knows it: "zstd", "snappy", "none".
    """
    if labels not in ("names", "numbers"):
        raise InvalidError(f"labels={labels!r}; expected 'names' or 'numbers'")
    if maxsize < 1:
        raise InvalidError(f"maxsize={maxsize}; expected a number of bytes")
    made = {field.name: arrow_column(table, field) for field in table.fields}
    columns = [column for column in made.values() if isinstance(column, ArrowColumn)]
    left_out = {name: why for name, why in made.items() if isinstance(why, str)}
    if not columns:
        raise InvalidError(f"no tensor has a place in Parquet: {left_out}")
    if labels == "numbers":
        columns = [_as_numbers(column) for column in columns]
    schema = _schema(table, columns)
    if target.single:
        with target.open() as file, _writer(file, schema, compression) as out:
            for block in _groups(table, columns):
                out.write_batch(_batch(block, columns, schema), row_group_size=block.rows)
                advance(block.rows)
    else:
        _write_parts(table, target, advance, columns, schema, (maxsize, compression))
    return Written(left_out)


def _write_parts(
    table: Table, target: Target, advance: Advance, columns: list[ArrowColumn], schema: Any,
    settings: tuple[int, str],
) -> None:  # fmt: skip
    maxsize, compression = settings
    blocks = _groups(table, columns)
    block = next(blocks, None)
    part = 0
    while block is not None or part == 0:
        name = f"part-{part:05d}.parquet"
        with target.open(name) as file, _writer(file, schema, compression) as out:
            while block is not None and (file.tell() < maxsize):
                out.write_batch(_batch(block, columns, schema), row_group_size=block.rows)
                advance(block.rows)
                block = next(blocks, None)
        part += 1


def _groups(table: Table, columns: list[ArrowColumn]) -> Iterator[Block]:
    fields = [column.field for column in columns]
    return table.blocks(fields, rows=_GROUP_ROWS, nbytes=_GROUP_BYTES)


def _writer(file: Any, schema: Any, compression: str) -> Any:
    parquet = pyarrow("pyarrow.parquet")
    try:
        return parquet.ParquetWriter(file, schema, compression=compression)
    except (OSError, ValueError, pyarrow().ArrowException) as error:
        raise InvalidError(f"compression={compression!r}: {error}") from error


def _batch(block: Block, columns: list[ArrowColumn], schema: Any) -> Any:
    arrays = [column.convert(block.columns[c], block.start) for c, column in _named(columns)]
    return pyarrow().RecordBatch.from_arrays(arrays, schema=schema)


def _named(columns: list[ArrowColumn]) -> list[tuple[str, ArrowColumn]]:
    return [(column.field.name, column) for column in columns]


def _schema(table: Table, columns: list[ArrowColumn]) -> Any:
    pa = pyarrow()
    features = _features(columns)
    metadata = {"hubzarr": json.dumps({"format": FORMAT} | table.document(), ensure_ascii=False)}
    if features is not None:
        metadata["huggingface"] = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return pa.schema([pa.field(name, c.type) for name, c in _named(columns)], metadata)


def _features(columns: list[ArrowColumn]) -> dict[str, Any] | None:
    """What Hugging Face expects of all columns; None where it has no word for one."""
    found = {}
    for name, column in _named(columns):
        feature = _feature(column)
        if feature is None:
            return None
        found[name] = feature
    return found


def _feature(column: ArrowColumn) -> dict[str, Any] | None:
    types = pyarrow("pyarrow.types")
    kind = column.type
    if column.feature is not None:
        # Its labels are numbers; it reads the names of a dictionary as text.
        text = {"dtype": "string", "_type": "Value"}
        return text if types.is_dictionary(kind) else column.feature
    if types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind):
        names = {"halffloat": "float16", "float": "float32", "double": "float64"}
        return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}
    if types.is_boolean(kind) or types.is_binary(kind):
        return {"dtype": str(kind), "_type": "Value"}
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        inner = _feature(replace(column, type=kind.value_type))
        if inner is None or types.is_struct(kind.value_type):
            return None
        length = kind.list_size if types.is_fixed_size_list(kind) else -1
        return {"feature": inner, "length": length, "_type": "Sequence"}
    return None


def _as_numbers(column: ArrowColumn) -> ArrowColumn:
    """Class labels as the integers that they are."""
    pa = pyarrow()
    field = column.field
    if not pa.types.is_dictionary(column.type):
        return column
    return replace(
        column,
        type=pa.int64(),
        convert=lambda samples, start: pa.array(np.asarray(samples).reshape(-1).astype("i8")),
        field=field,
    )
