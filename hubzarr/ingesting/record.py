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

__all__ = ["KEY", "Record", "records_in", "undone"]

#: Where the records are in the info of a dataset.
KEY = "ingested"
# So many reasons are kept; the number of what was skipped tells of the rest.
_KEPT = 1000


@dataclass
class Record:
    """How far an ingest has come.

    Parameters
    ----------
    source, kind : str
        What is read.
    units, rows : int
        How many are done.
    digest : str
        Of the keys of these units.
    skipped : int
        How many things became no row.
    reasons : list of [str, str]
        What these were, and why: the first thousand.
    finished : bool
        Whether all is done.
    """

    source: str
    kind: str
    units: int = 0
    rows: int = 0
    digest: str = ""
    skipped: int = 0
    reasons: list[list[str]] = field(default_factory=list)
    finished: bool = False

    def done(self, unit: Unit, rows: int, skipped: list[Skipped]) -> None:
        """Note that a unit is done."""
        self.units += 1
        self.rows += rows
        self.digest = _digest(self.digest, unit)
        self.skipped += len(skipped)
        room = max(_KEPT - len(self.reasons), 0)
        self.reasons += [[each.what, each.why] for each in skipped[:room]]

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
    text = f"{digest}\n{unit.key}\n{unit.rows}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
