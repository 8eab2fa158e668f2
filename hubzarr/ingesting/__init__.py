"""Ingest: what other formats hold, read into datasets.

A *place* is where data lies: a folder or file, local or on any fsspec store (`place`).
A *source* reads one kind of place as rows of a dataset, unit by unit (`source`); each
other module here is one kind of source, and `recognise` finds the kind that fits.
"""

from __future__ import annotations

from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import kinds, open_source, recognise
from hubzarr.ingesting.source import Block, Column, Skipped, Source, Unit

__all__ = [
    "Block",
    "Column",
    "Place",
    "Skipped",
    "Source",
    "Unit",
    "kinds",
    "open_source",
    "recognise",
]
