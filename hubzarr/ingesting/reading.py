"""Reading units of a source ahead, in threads, in order, in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from hubzarr.errors import SampleError, StorageError
from hubzarr.ingesting.source import Block, Skipped, Source, Unit
from hubzarr.media import Sample, get_format

__all__ = ["LOOK_AHEAD", "Part", "compressions_of", "read_ahead", "read_unit"]

#: Units are read ahead until what waits has so many bytes.
LOOK_AHEAD = 256_000_000


@dataclass
class Part:
    """What was in a unit.

    Parameters
    ----------
    unit : Unit
        The unit.
    blocks : list of Block
        Its rows, in order.
    skipped : list of Skipped
        What became no row.
    size : int
        Bytes that the rows take, more or less.
    converted, lossy : int
        Files that had another format than their tensor, and those of them that lost something.
    idle : float
        Share of the time for reading it in which a thread waited, as for a remote store.
    """

    unit: Unit
    blocks: list[Block] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    size: int = 0
    converted: int = 0
    lossy: int = 0
    idle: float = 0.0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(block.rows for block in self.blocks)


def read_ahead(
    source: Source,
    units: Iterable[Unit],
    *,
    workers: int,
    verify: Collection[str] = (),
    max_bytes: int = LOOK_AHEAD,
) -> Generator[Part]:
    """The units of a source, read.

    One thread is enough as long as files are only taken as they are from a quick disk:
    more would take turns at it. There are more where they wait, decode or convert.

    Parameters
    ----------
    source : Source
        Where to read.
    units : iterable of Unit
        What to read.
    workers : int
        Threads to read with at most; 0 reads each unit when it is wanted.
    verify : collection of str
        Columns whose samples are decoded, to find broken ones.
    max_bytes : int, optional
        No more units are begun while so many bytes wait to be taken.
    """
    compressions = compressions_of(source)

    def read(unit: Unit) -> Part:
        began, used = time.perf_counter(), time.thread_time()
        part = read_unit(source, unit, compressions, verify)
        used, took = time.thread_time() - used, time.perf_counter() - began
        part.idle = 1 - used / max(took, used, 1e-9)
        return part

    if workers < 1:
        yield from map(read, units)
        return
    todo = iter(units)
    waiting: deque[Future[Part]] = deque()
    ahead = workers + 1 if verify else 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hubzarr-ingest")
    try:
        while True:
            while len(waiting) < ahead and _held(waiting) < max_bytes:
                begun = [pool.submit(read, unit) for unit in islice(todo, 1)]
                if not begun:
                    break
                waiting += begun
            if not waiting:
                return
            part = waiting.popleft().result()
            if part.idle > 0.5 or part.converted:
                ahead = workers + 1
            yield part
    finally:
        pool.shutdown(cancel_futures=True)


def _held(waiting: Iterable[Future[Part]]) -> int:
    return sum(part.result().size for part in waiting if part.done() and part.exception() is None)


def compressions_of(source: Source) -> dict[str, str | None]:
    """The format that files of each column are to have."""
    return {column.name: column.options.get("sample_compression") for column in source.columns}


def read_unit(
    source: Source, unit: Unit, compressions: Mapping[str, str | None], verify: Collection[str]
) -> Part:
    """Read one unit, here and now."""
    part = Part(unit)
    rows: list[dict[str, Any]] = []
    try:
        for row in source.rows(unit):
            if isinstance(row, Skipped):
                part.skipped.append(row)
            elif isinstance(row, Block):
                _add(part, rows)
                rows = []
                part.blocks.append(row)
                part.size += sum(map(_size, row.columns.values()))
            else:
                try:
                    _ready(part, row, compressions, verify)
                    rows.append(row)
                except (SampleError, StorageError) as error:
                    what = error.fields.get("path") or unit.key
                    part.skipped.append(Skipped(what, error.message))
    except SampleError as error:  # no way to read on in this unit
        part.skipped.append(Skipped(unit.key, error.message))
    _add(part, rows)
    return part


def _add(part: Part, rows: list[dict[str, Any]]) -> None:
    if rows:
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
        part.blocks.append(Block(columns, len(rows)))


def _ready(
    part: Part, row: dict[str, Any], compressions: Mapping[str, str | None], verify: Collection[str]
) -> None:
    """Do here, in a thread, what takes time with the values of a row."""
    for name, value in row.items():
        if isinstance(value, Sample):
            row[name] = _ready_sample(part, value, compressions.get(name), name in verify)
        elif isinstance(value, list) and value and isinstance(value[0], Sample):
            wanted, check = compressions.get(name), name in verify
            row[name] = [_ready_sample(part, item, wanted, check) for item in value]
        else:
            part.size += _size(value)


def _ready_sample(part: Part, sample: Sample, wanted: str | None, verify: bool) -> Sample:
    """Read and check a file, and convert it if it has another format than the tensor."""
    compression = sample.compression
    if compression is None:  # an array, which is encoded when it is stored
        part.size += sample.array.nbytes
        return sample
    if verify:
        sample.verify()
    if wanted is not None and compression != wanted:
        sample = Sample(_converted(sample, wanted), path=sample.path, compression=wanted)
        part.converted += 1
        part.lossy += get_format(compression).lossless and not get_format(wanted).lossless
    _ = sample.header  # read now, and kept
    part.size += len(sample.compressed_bytes)
    return sample


def _converted(sample: Sample, wanted: str) -> bytes:
    """The file in the format of its tensor, or why that can't keep what the file holds."""
    try:
        return sample.encoded(wanted)
    except SampleError as error:
        try:
            shape = sample.array.shape
        except SampleError:  # the file is broken, and no other format would help
            raise error from None
        image = get_format(wanted).kind == "image"
        why = "it has transparency" if image and shape[2:] == (4,) else error.message
        best = '"png"' if image and wanted != "png" else "..."
        raise SampleError(
            f"it can't become {wanted}, the format of its tensor: {why}; sample_compression={best} "
            "chooses another format for all files",
            path=error.fields.get("path") or sample.path,
        ) from error


def _size(value: Any) -> int:
    """Bytes that a value takes, more or less."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Sample):
        return value.array.nbytes if value.compression is None else len(value.compressed_bytes)
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_size, value)) if len(value) < 64 else len(value) * _size(value[0])
    return 8
