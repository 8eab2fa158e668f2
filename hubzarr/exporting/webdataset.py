"""WebDataset: tar archives in which files with one stem are one row.

``000000.jpg``, ``000000.cls`` and ``000000.txt`` next to each other are row 0. Files are
written as they are stored. `dataset.json` beside the archives has the names of classes,
for which the format has no place.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from hubzarr.errors import InvalidError
from hubzarr.exporting.archive_members import Member, members_of
from hubzarr.exporting.report import Written
from hubzarr.exporting.table import Table
from hubzarr.exporting.target import Target, suffix_of

__all__ = ["FORMAT", "is_single", "write"]

FORMAT: Final = "webdataset"

type Advance = Callable[[int], None]
type Files = list[tuple[str, bytes]]


def is_single(url: str) -> bool:
    """Whether the target is one archive: by its extension."""
    return suffix_of(url) == ".tar"


def write(
    table: Table,
    target: Target,
    advance: Advance,
    *,
    maxsize: int = 1_000_000_000,
    maxcount: int = 100_000,
) -> Written:
    """Write archives of bounded size.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    maxsize, maxcount : int
        Bytes and rows after which a folder gets another archive.
    """
    if maxsize < 1 or maxcount < 1:
        raise InvalidError(f"maxsize={maxsize}, maxcount={maxcount}: expected 1 or more")
    members, left_out = members_of(table.fields)
    if not members:
        raise InvalidError("no tensor has a place in an archive")
    rows = _rows(table, members, advance)
    if target.single:
        with target.open() as file, _archive(file) as archive:
            for files in rows:
                _add(archive, files)
    else:
        _write_shards(target, rows, maxsize, maxcount)
    tensors = {member.field.name: {"extension": member.extension} for member in members}
    return Written(left_out, tensors=tensors)


def _write_shards(target: Target, rows: Iterator[Files], maxsize: int, maxcount: int) -> None:
    files = next(rows, None)
    shard = 0
    while files is not None or shard == 0:
        with target.open(f"shard-{shard:06d}.tar") as file, _archive(file) as archive:
            count = 0
            while files is not None and (
                not count or (archive.offset < maxsize and count < maxcount)
            ):
                _add(archive, files)
                count += 1
                files = next(rows, None)
        shard += 1


def _rows(table: Table, members: Sequence[Member], advance: Advance) -> Iterator[Files]:
    """The files of each row."""
    width = max(6, len(str(len(table))))
    for block in table.blocks([member.field for member in members]):
        for row, samples in block.each():
            files = []
            for member in members:
                data = member.encoded(samples[member.field.name])
                if data is not None:
                    files.append((f"{row:0{width}d}.{member.extension}", data))
            yield files
        advance(block.rows)


def _archive(file: object) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload, no-any-return]


def _add(archive: tarfile.TarFile, files: Files) -> None:
    for name, data in files:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
