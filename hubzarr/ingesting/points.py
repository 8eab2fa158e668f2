"""Folders of point clouds or meshes: LAS, LAZ, PCD, KITTI's .bin, PLY, STL.

The bytes of a file stay as they are, with everything it says about a point. Scans of
nuScenes (``.pcd.bin``, five float32 a point) become arrays of points.

Files ending in ``.bin`` are taken for scans only where they are named like some: by a number,
or in a folder ``velodyne``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.files import find_files, format_of
from hubzarr.ingesting.media_files import MediaSource, media_source, prevails
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Source, Unit, file_units

__all__ = ["KIND", "SweepSource", "matches", "open_source"]

KIND = "points"

_COLUMNS = {
    "point_cloud": Column("points", {"htype": "point_cloud"}),
    "mesh": Column("meshes", {"htype": "mesh"}),
}
_SWEEP = ".pcd.bin"
_SWEEP_FIELDS = ["x", "y", "z", "intensity", "ring"]
_SCAN = re.compile(r"(.*velodyne[^/]*/.*|[^/]*?/?\d+)\.bin", re.DOTALL)
_DEPTH = 6


def matches(place: Place) -> bool:
    """Whether most files of media at the place are point clouds or meshes."""
    try:
        if not prevails(place, *_COLUMNS):
            return False
        some = [place] if place.is_file() else find_files(place, _is_points, depth=_DEPTH)
        return any(not file.name.endswith(".bin") or _is_scan(file) for file in some)
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    media: str | None = None,
    sample_compression: str | None = None,
    filenames: bool | None = None,
) -> Source:
    """Point clouds or meshes, as columns ``points`` or ``meshes`` and ``labels``.

    Parameters
    ----------
    place : Place
        The folder, or one file.
    media : str, optional
        ``"point_cloud"`` or ``"mesh"``; by default what there is more of.
    sample_compression : str, optional
        Format to keep the files in; by default the one that most of them have. Between
        others than LAS and LAZ only the places of the points (vertices) are converted.
    filenames : bool, optional
        Whether to keep the names of the files, in a column ``filenames``. By default
        this is done where there are no classes.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("velodyne").mkdir()
    >>> _ = pathlib.Path("velodyne/000000.bin").write_bytes(np.ones((5, 4), "f4").tobytes())
    >>> source = open_source(Place("velodyne"))
    >>> source.columns[0].options
    {'htype': 'point_cloud', 'sample_compression': 'bin'}
    >>> [next(source.rows(unit))["points"].shape for unit in source.units()]
    [(5, 4)]
    """
    found: Counter[str] = Counter()
    for file in place.walk():
        name = next((kind for kind in _COLUMNS if format_of(file.name, kind)), None)
        found["sweep" if file.name.lower().endswith(_SWEEP) else name or ""] += 1
    kind = media or max(("sweep", *_COLUMNS), key=lambda one: found[one])
    if kind == "sweep":
        return SweepSource(place)
    if kind not in _COLUMNS:
        raise InvalidError(f"media={kind!r}; expected one of {', '.join(_COLUMNS)}")
    column = _COLUMNS[kind]
    options = {"sample_compression": sample_compression} if sample_compression else {}
    column = Column(column.name, {**column.options, **options})
    made: MediaSource = media_source(KIND, place, column, (kind,), filenames=filenames)
    return made


@dataclass(frozen=True)
class SweepSource:
    """Scans of nuScenes, as arrays of points.

    Attributes
    ----------
    root : Place
        The folder.
    """

    root: Place
    kind: str = KIND

    @property
    def columns(self) -> tuple[Column, ...]:
        """Points and names of files."""
        options = {"htype": "point_cloud", "dtype": "float32", "chunk_compression": "zstd"}
        return Column("points", options), Column("filenames", {"htype": "text"})

    @property
    def info(self) -> dict[str, Any]:
        """What the numbers of a point are."""
        return {"fields": _SWEEP_FIELDS}

    def units(self) -> Iterator[Unit]:
        """Some files at a time."""
        return file_units(self.root.walk(), self.root)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The points of each scan."""
        for path in unit.payload:
            if not path.lower().endswith(_SWEEP):
                yield Skipped(path, "its name is none of a scan", broken=False)
                continue
            try:
                yield {"points": _sweep(self.root.child(path)), "filenames": path}
            except HubzarrError as error:
                yield Skipped(path, error.message)


def _sweep(place: Place) -> np.ndarray[Any, Any]:
    data = place.read()
    width = 4 * len(_SWEEP_FIELDS)
    if not data or len(data) % width:
        raise SampleError(f"{len(data)} bytes; expected a multiple of {width}", path=place.url)
    return np.frombuffer(data, "<f4").reshape(-1, len(_SWEEP_FIELDS)).astype(np.float32)


def _is_scan(file: Place) -> bool:
    if file.name.lower().endswith(_SWEEP):
        return file.size() % (4 * len(_SWEEP_FIELDS)) == 0
    return _SCAN.fullmatch(file.url) is not None and file.size() % 16 == 0


def _is_points(name: str) -> bool:
    return any(format_of(name, kind) for kind in _COLUMNS)
