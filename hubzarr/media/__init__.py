"""Samples as files: images, video, audio, medical images, points and meshes.

A `Sample` keeps the bytes of a file and knows its shape and dtype from the header; it
is decoded when its array is asked for.  Each file format is a `Format`; `get_format`
gives it by name and `sniff` tells it from a file's first bytes.
"""

from __future__ import annotations

from hubzarr.media.format import Format, Header
from hubzarr.media.formats import get_format, names, sniff
from hubzarr.media.link import Link, link
from hubzarr.media.sample import Sample, read
from hubzarr.media.tiled import Tiled, tiled

__all__ = [
    "Format",
    "Header",
    "Link",
    "Sample",
    "Tiled",
    "get_format",
    "link",
    "names",
    "read",
    "sniff",
    "tiled",
]
