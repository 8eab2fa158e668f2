"""What a dataset remembers of an ingest: so that the next call goes on where this one ended.

The records are in the dataset's info under `KEY`, and change in the same commit as the
rows. Units of a source come in the same order each time, so a record needs no list of
those that are done: their number says which they are, and a digest of their keys tells
whether they are still the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from hubzarr.errors import InvalidError
from hubzarr.ingesting.source import Skipped, Source, Unit
from hubzarr.wording import say_bytes, say_seconds

__all__ = ["KEY", "IngestReport", "Record", "records_in", "undone"]

#: Where the records are in the info of a dataset.
KEY = "ingested"
_SHOWN = 20
# So many reasons are kept; the number of what was skipped tells of the rest.
_KEPT = 1000


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    Parameters
    ----------
    source, kind : str
        What was read, and as what.
    rows : int
        Rows that are in the dataset now.
    resumed : int
        Those of them that an earlier call had added, which was interrupted.
    skipped : int
        How many things became no row.
    reasons : tuple of Skipped
        What these were, and why; of very many, the first thousand.
    bytes : int
        Bytes of the samples.
    seconds : float
        How long it took.
    finished : bool
        Whether all is done.
    converted : int
        Files that had another format than their tensor.
    lossy : int
        Those of them that had a lossless format, and their tensor has a lossy one.

    Examples
    --------
    >>> report = IngestReport("/photos", "folders", 1200, skipped=1, bytes=18_000_000, seconds=1.5,
    ...                       reasons=(Skipped("a.jpg", "it is empty"),))
    >>> print(report)
    1200 rows from /photos (folders), 18.0 MB in 1.5 s; 1 skipped:
      a.jpg: it is empty
    """

    source: str
    kind: str
    rows: int
    resumed: int = 0
    skipped: int = 0
    reasons: tuple[Skipped, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    finished: bool = True
    converted: int = 0
    lossy: int = 0

    def __str__(self) -> str:
        text = (
            f"{self.rows} rows from {self.source} ({self.kind}), {say_bytes(self.bytes)} in "
            f"{say_seconds(self.seconds)}"
        )
        if self.resumed:
            text += f", {self.resumed} rows of them by an earlier call"
        if self.converted:
            text += f", {self.converted} files converted to the format of the others"
        if self.lossy:
            text += f" ({self.lossy} of them from a lossless format to a lossy one)"
        if not self.finished:
            text += ", not finished: the same call goes on"
        if not self.skipped:
            return text
        shown = [f"  {each}" for each in self.reasons[:_SHOWN]]
        if self.skipped > len(shown):
            shown.append(f"  and {self.skipped - len(shown)} more")
        return "\n".join([f"{text}; {self.skipped} skipped:", *shown])


@dataclass
class Record:
    """How far an ingest has come.

    Parameters
    ----------
    source, kind : str
        What is read.
    units, rows : int
        How many are done.
    bytes, seconds : int, float
        How large they are, and how long they took.
    digest : str
        Of the keys of these units.
    skipped : int
        How many things became no row.
    reasons : list of [str, str]
        What these were, and why: the first thousand.
    finished : bool
        Whether all is done.
    converted, lossy : int
        Files that had another format than their tensor, and those of them that lost something.
    """

    source: str
    kind: str
    units: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    digest: str = ""
    skipped: int = 0
    reasons: list[list[str]] = field(default_factory=list)
    finished: bool = False
    converted: int = 0
    lossy: int = 0

    def done(
        self,
        unit: Unit,
        rows: int,
        size: int,
        skipped: list[Skipped],
        *,
        converted: int = 0,
        lossy: int = 0,
    ) -> None:
        """Note that a unit is done."""
        self.units += 1
        self.rows += rows
        self.bytes += size
        self.converted += converted
        self.lossy += lossy
        self.digest = _digest(self.digest, unit)
        self.skipped += len(skipped)
        room = max(_KEPT - len(self.reasons), 0)
        self.reasons += [[each.what, each.why] for each in skipped[:room]]

    def report(self, resumed: int = 0) -> IngestReport:
        """The same for people."""
        return IngestReport(
            self.source,
            self.kind,
            self.rows,
            resumed,
            self.skipped,
            tuple(Skipped(what, why) for what, why in self.reasons),
            self.bytes,
            self.seconds,
            self.finished,
            self.converted,
            self.lossy,
        )

    def to_json(self) -> dict[str, Any]:
        """For the info of a dataset."""
        return asdict(self)


def records_in(info: Mapping[str, Any]) -> list[Record]:
    """The records in the info of a dataset.

    Examples
    --------
    >>> records_in({KEY: [{"source": "/photos", "kind": "folders", "rows": 3}]})[0].rows
    3
    >>> records_in({})
    []
    """
    found = info.get(KEY) or []
    try:
        return [Record(**record) for record in found]
    except TypeError as error:
        raise InvalidError(
            f"the records of earlier ingests in info[{KEY!r}] are of another form ({error}); "
            "remove them, or ingest into another dataset"
        ) from None


def undone(source: Source, record: Record) -> Iterator[Unit]:
    """The units that a record has not.

    Raises
    ------
    InvalidError
        Those it has are not the first of the source any more.
    """
    units = source.units()
    digest = ""
    count = 0
    for unit in islice(units, record.units):
        digest = _digest(digest, unit)
        count += 1
    if count < record.units or digest != record.digest:
        raise InvalidError(
            f"{record.source!r} has changed since a part of it was ingested: files were added, "
            "removed or renamed among those; ingest it anew with overwrite=True"
        )
    return units


def _digest(digest: str, unit: Unit) -> str:
    text = f"{digest}\n{unit.key}\n{unit.rows}\n{unit.payload if _plain(unit.payload) else ''}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _plain(payload: Any) -> bool:
    """Whether the text of a payload is the same on each run, as that of paths is."""
    if isinstance(payload, tuple | list):
        return all(map(_plain, payload))
    return payload is None or type(payload) in (str, int, bool)
