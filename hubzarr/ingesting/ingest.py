"""Ingest: the rows of a source appended to a dataset, and resumed where they were interrupted."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from hubzarr.computing.schedulers import known_scheduler
from hubzarr.datasets import Dataset
from hubzarr.errors import ConflictError, InvalidError, SampleError
from hubzarr.ingesting.columns import as_json
from hubzarr.ingesting.parallel import PartOfWorker, ReadWork, UnitReaders, renumbered
from hubzarr.ingesting.reading import Part, read_ahead
from hubzarr.ingesting.record import KEY, IngestReport, Record, records_in, undone
from hubzarr.ingesting.source import Block, Column, Skipped, Source
from hubzarr.media import Sample
from hubzarr.progress import Progress, progress

__all__ = ["ingest_into"]

# A commit also ends after so many bytes or seconds: what a crash costs is bounded.
_COMMIT_BYTES = 512_000_000
_COMMIT_SECONDS = 30.0
_WITH_PIXELS = ("image", "image.rgb", "image.gray", "video")
_ADVICE = "skip_broken=True leaves out such samples and reports them"

type Array = np.ndarray[Any, Any]
type Columns = dict[str, Any]


def ingest_into(
    ds: Dataset,
    source: Source,
    *,
    name: str,
    num_workers: int | None = None,
    scheduler: str = "threads",
    progressbar: bool = True,
    skip_broken: bool = False,
    verify: bool = False,
    statistics: bool = False,
    commit_every: int = 50_000,
    message: str | None = None,
    append: bool = False,
) -> IngestReport:
    """Append the rows of a source to a dataset, and make the tensors it needs.

    Rows are committed together with the number of units that are done. If the process is
    killed, the same call goes on after the last commit: no row is lost, none comes twice.

    Parameters
    ----------
    ds : Dataset
        Where to; empty, or what an interrupted call left.
    source : Source
        Where from.
    name : str
        What the source is called, by which it is recognised when the call is repeated.
    num_workers : int, optional
        Threads that read; by default two for each core, and 8 at most. 0 reads without.
        Processes: by default one for each core. Of a cluster: by default all threads.
    scheduler : {"threads", "processes", "distributed"}
        Who reads. "distributed" is the current client of dask, or a local cluster: its
        workers store samples, too.
    progressbar : bool, default True
        Whether to show a progress bar, if the settings do not say otherwise.
    skip_broken : bool, default False
        Leave out samples that are broken, and report them; by default they end the ingest.
    verify : bool, default False
        Decode each file, so that damage after the header is found, too.
    statistics : bool, default False
        Keep pixel statistics of images.
    commit_every : int, default 50_000
        Rows after which to commit; half a minute or 512 MB end a commit as well.
    message : str, optional
        Of the last commit.
    append : bool, default False
        Whether to add to rows of another origin. The tensors must be the same; classes
        are matched by name.

    Returns
    -------
    IngestReport
        What was done.

    Raises
    ------
    SampleError
        A sample is broken; what came before it is committed.
    InvalidError
        The dataset has other rows already, or the source is not as it was when a part of
        it was ingested.
    ConflictError
        Another process ingests into the same dataset; nothing came twice.

    Examples
    --------
    >>> import pandas, hubzarr as hub
    >>> from hubzarr.ingesting.tables import from_table
    >>> pets = from_table(pandas.DataFrame({"age": [3, 4], "name": ["Tom", "Rex"]}))
    >>> ds = hub.empty("examples/ingest_into")
    >>> ingest_into(ds, pets, name="pets").rows, ds["name"].text()
    (2, ['Tom', 'Rex'])
    """
    job = _Job(ds, source, name, skip_broken, append)
    resumed = job.record.rows
    bar = progress(getattr(source, "total", None), f"ingesting {name}") if progressbar else None
    try:
        job.make_tensors(statistics)
        parts = job.parts(scheduler, num_workers, verify)
        with bar or contextlib.nullcontext(), contextlib.closing(parts):
            job.write(parts, commit_every, bar)
        job.finish(message or f"ingested {name}")
    except ConflictError as error:
        ds.discard()
        raise ConflictError(
            f"another process has changed {ds.name} meanwhile, perhaps an ingest of the same "
            "source: let it end, open the dataset again, and the same call goes on"
        ) from error
    return job.record.report(resumed)


class _Job:
    """One call: what it is to do, and what it has done."""

    def __init__(
        self, ds: Dataset, source: Source, name: str, skip_broken: bool, append: bool
    ) -> None:
        self._ds = ds
        self._source = source
        self._skip_broken = skip_broken
        self._records = records_in(ds.info)
        self.record = self._resumed(name, append)
        self._renumber: dict[str, Array] = {}
        self._clock = time.monotonic()
        #: Columns of which statistics are kept.
        self.measured: set[str] = set()
        #: Processes or a cluster that read; None: threads do.
        self._readers: UnitReaders | None = None
        #: Whether earlier calls have done all units.
        self._all_done = False

    def _resumed(self, name: str, append: bool) -> Record:
        """The record of the call that this one goes on with, or a new one."""
        ds, kind = self._ds, self._source.kind
        for record in self._records:
            same = (record.source, record.kind) == (name, kind)
            if same and not (record.finished and append):
                return record
        if ds.max_len and not append:
            raise InvalidError(
                f"{ds.name} has {ds.max_len} rows of another origin: append=True adds to them, "
                "overwrite=True starts afresh, and another name makes another dataset"
            )
        record = Record(name, kind)
        self._records.append(record)
        return record

    # -- tensors -----------------------------------------------------------------------

    def make_tensors(self, statistics: bool) -> None:
        """Make the tensors that are missing, and match classes with those of the others."""
        ds, there = self._ds, self._ds.tensors
        missing = [column for column in self._source.columns if column.name not in there]
        if missing and ds.max_len:
            names = ", ".join(column.name for column in missing)
            raise InvalidError(f"{ds.name} has rows, but no tensors for {names}")
        if missing:
            with _one_commit(ds):
                for column in missing:
                    options = dict(column.options)
                    if statistics and options.get("htype") in _WITH_PIXELS:
                        options["statistics"] = True
                        self.measured.add(column.name)
                    ds.create_tensor(column.name, **options)
                self._note_info()
                self._note()
        for column in self._source.columns:
            if column.name in there and column.options.get("class_names"):
                self._match_classes(column)

    def _match_classes(self, column: Column) -> None:
        """Number the source's classes as the dataset does, which learns the new ones."""
        mine = list(column.options["class_names"])
        info = self._ds[column.name].info
        known = list(info.get("class_names") or [])
        names = [*known, *(name for name in mine if name not in known)]
        if names != known:
            info["class_names"] = names
        if names[: len(mine)] != mine:
            self._renumber[column.name] = np.array([names.index(name) for name in mine], "u4")

    def _note_info(self) -> None:
        for key, value in self._source.info.items():
            if key not in self._ds.info:
                self._ds.info[key] = as_json(value)

    @property
    def names(self) -> list[str]:
        """Names of all columns."""
        return [column.name for column in self._source.columns]

    # -- rows --------------------------------------------------------------------------

    def parts(self, scheduler: str, num_workers: int | None, verify: bool) -> Generator[Part]:
        """Units that are left, as they are read by whoever the scheduler says."""
        source, units = self._source, undone(self._source, self.record)
        first = next(units, None)
        self._all_done = first is None
        units = itertools.chain(() if first is None else (first,), units)
        # Statistics take decoding, too: broken samples are found there.
        verified = frozenset(self.names) - self.measured if verify else frozenset()
        kind = known_scheduler(scheduler)
        cores = os.cpu_count() or 1
        if kind in ("threads", "serial"):
            workers = min(2 * cores, 8) if num_workers is None else num_workers
            workers = 0 if kind == "serial" else workers
            return read_ahead(source, units, workers=workers, verify=verified)
        names = tuple(self._ds.tensors)
        work = ReadWork(source, names, verified, self._renumber)
        workers = num_workers or (cores if kind == "processes" else 0)
        self._readers = UnitReaders(self._ds, work, kind, workers)
        return self._readers.parts(units)

    def write(self, parts: Iterator[Part], commit_every: int, bar: Progress[Any] | None) -> None:
        """Append all parts, in commits of some size."""
        if bar is not None:
            bar.advance(self.record.rows)
        going, error = not self._all_done, None  # no commit of nothing
        while going:
            with self._commit_of_rows():
                units = self.record.units
                going, error = self._write_some(parts, commit_every, bar)
                if self.record.units > units:
                    self._note()
        if error is not None:
            raise error

    def _commit_of_rows(self) -> AbstractContextManager[Any]:
        if self._readers is None:
            return _one_commit(self._ds)
        return self._readers.target.transaction(None)

    def finish(self, message: str) -> None:
        """Note that all is done."""
        if not self.record.finished:
            with _one_commit(self._ds, message):
                self.record.finished = True
                self._note()

    def _write_some(
        self, parts: Iterator[Part], commit_every: int, bar: Progress[Any] | None
    ) -> tuple[bool, SampleError | None]:
        """Append parts until it is time to commit; whether there are more, or why not."""
        rows = size = 0
        deadline = time.monotonic() + _COMMIT_SECONDS
        for part in parts:
            try:
                self._write_part(part)
            except SampleError as error:
                return False, error
            rows, size = rows + part.rows, size + part.size
            if bar is not None:
                bar.advance(part.rows)
            if rows >= commit_every or size >= _COMMIT_BYTES or time.monotonic() > deadline:
                return True, None
        return False, None

    def _write_part(self, part: Part) -> None:
        """Append the rows of a unit, all or none of them."""
        broken = next((each for each in part.skipped if each.broken), None)
        if broken is not None and not self._skip_broken:
            raise SampleError(f"{broken}; {_ADVICE}", path=broken.what)
        if isinstance(part, PartOfWorker) and self._readers is not None:
            if self._readers.write(part):
                self._done(part, part.rows, part.skipped)
                return
            # Something does not fit: what, and what comes of it, shows here.
            part = self._readers.read_here(part.unit)
        before = self._ds.max_len
        left_out: list[Skipped] = []
        try:
            for block in part.blocks:
                left_out += self._extend(part, block)
        except SampleError as error:
            if self._ds.max_len > before:
                self._ds.pop(slice(before, None))
            raise SampleError(f"{error.message}; {_ADVICE}", **error.fields) from error
        self._done(part, part.rows - len(left_out), [*part.skipped, *left_out])

    def _done(self, part: Part, rows: int, skipped: list[Skipped]) -> None:
        self.record.done(
            part.unit, rows, part.size, skipped, converted=part.converted, lossy=part.lossy
        )

    def _extend(self, part: Part, block: Block) -> list[Skipped]:
        columns = dict(block.columns)
        for name, numbers in self._renumber.items():
            if name in columns:
                columns[name] = renumbered(columns[name], numbers)
        return self._append(part, columns, 0, block.rows)

    def _append(self, part: Part, columns: Columns, start: int, stop: int) -> list[Skipped]:
        """Append some rows of a block, or those of them that can be."""
        rows = {name: values[start:stop] for name, values in columns.items()}
        try:
            errors = self._ds.extend(rows, append_empty=True, ignore_errors=self._skip_broken)
        except SampleError as error:
            if not self._skip_broken:
                raise _named(error, rows) from error
            # It does not tell the row, so each half is tried.
            if stop - start == 1:
                return [_left_out(part, start, _named(error, rows))]
            middle = (start + stop) // 2
            first = self._append(part, columns, start, middle)
            return first + self._append(part, columns, middle, stop)
        return [_left_out(part, start + row, error) for row, error in errors]

    def _note(self) -> None:
        now = time.monotonic()
        self.record.seconds += now - self._clock
        self._clock = now
        self._ds.info[KEY] = [record.to_json() for record in self._records]


def _one_commit(ds: Dataset, message: str | None = None) -> AbstractContextManager[Any]:
    """A transaction; none inside one of the caller's, which decides when to commit."""
    return contextlib.nullcontext() if ds._session.in_transaction else ds.transaction(message)


def _named(error: SampleError, rows: Columns) -> SampleError:
    """The error, with the path of the file that it is about."""
    if error.fields.get("path"):
        return error
    for values in rows.values():
        for value in values:
            if isinstance(value, Sample) and value.path is not None:
                try:
                    value.verify()
                except SampleError as found:
                    return found
    return error


def _left_out(part: Part, row: int, error: SampleError) -> Skipped:
    return Skipped(error.fields.get("path") or f"{part.unit.key}, row {row}", error.message)
