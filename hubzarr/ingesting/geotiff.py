"""GeoTIFF rasters, one row each, with where on Earth they are.

Files keep their bytes. Where one of them is large, such as 50,000 × 50,000 pixels, all are
kept as arrays instead, and the large ones are read box by box: `RasterRegions`. Either way a
raster is (height, width, bands) of a dtype that holds those of all files. What GDAL says of
one (coordinate reference system, transform, no-data value, tags) is in the JSON column
``geo``.
"""

from __future__ import annotations

import itertools
import math
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.columns import as_json
from hubzarr.ingesting.files import find_files, format_of, read_sample
from hubzarr.ingesting.media_files import prevails
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Unit, file_units
from hubzarr.media.extras import need
from hubzarr.media.guard import broken_unless_read
from hubzarr.media.regions import RegionReader, open_region_reader

__all__ = ["KIND", "GeoTiffSource", "RasterRegions", "geography", "matches", "open_source"]

KIND = "geotiff"

#: Rasters above so many bytes, decoded, are read box by box.
LARGE = 256_000_000
_DEPTH = 6
_LOOK = 3
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory
_GEO_TAGS = frozenset({33550, 33922, 34264, 34735})
_MOST_TAGS = 4096

type Array = np.ndarray[Any, Any]


def matches(place: Place) -> bool:
    """Whether most images at the place are TIFFs, and the first ones say where they lie."""
    try:
        if place.is_file():
            return _is_tiff(place.name) and _has_geo_tags(place)
        if not prevails(place, "image"):
            return False
        images = itertools.islice(find_files(place, _is_image, depth=_DEPTH), _LOOK)
        found = [_is_tiff(image.name) and _has_geo_tags(image) for image in images]
        return 2 * sum(found) > len(found)
    except HubzarrError:
        return False


def open_source(place: Place, *, large: int = LARGE) -> GeoTiffSource:
    """Rasters as columns ``rasters``, ``geo`` and ``filenames``.

    The headers of all files are read before the first row.

    Parameters
    ----------
    place : Place
        A folder or a file.
    large : int
        Bytes, decoded, above which a raster is read box by box.
    """
    single = place.is_file()
    root = place.parent() if single else place
    dtypes, most = set(), 0
    for file in [place] if single else place.walk():
        if not _is_tiff(file.name):
            continue
        try:
            with _reader(file) as reader:
                dtypes.add(reader.dtype)
                most = max(most, math.prod(reader.shape) * reader.dtype.itemsize)
        except SampleError:
            continue  # told of when its row comes
    if not dtypes:
        raise InvalidError(f"no raster can be read in {place.url!r}")
    kept = large if most > large else None
    return GeoTiffSource(root, np.result_type(*dtypes), kept, place.name if single else None)


@dataclass(frozen=True)
class GeoTiffSource:
    """Rasters of a folder.

    Attributes
    ----------
    root : Place
        The folder.
    dtype : numpy.dtype
        That holds the values of all rasters.
    large : int or None
        Bytes above which a raster is read box by box; None where rasters are kept as files.
    only : str, optional
        Name of the one file that is wanted.
    """

    root: Place
    dtype: np.dtype[Any]
    large: int | None
    only: str | None = None
    kind: str = KIND

    @property
    def info(self) -> dict[str, Any]:
        """Nothing that is common to all rasters."""
        return {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """Pixels, place on Earth, name."""
        files = {"sample_compression": "tiff"}
        kept = files if self.large is None else {"chunk_compression": "zstd"}
        return (
            Column("rasters", {"htype": "image", "dtype": self.dtype.name, **kept}),
            Column("geo", {"htype": "json"}),
            Column("filenames", {"htype": "text"}),
        )

    def units(self) -> Iterator[Unit]:
        """Some files at a time, in the order of their paths."""
        files = self.root.walk() if self.only is None else [self.root.child(self.only)]
        return file_units(files, self.root)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The rasters of a unit."""
        for path in unit.payload:
            if not _is_tiff(path):
                yield Skipped(path, "its name is none of a TIFF", broken=False)
                continue
            place = self.root.child(path)
            try:
                yield {"rasters": self._raster(place), "geo": geography(place), "filenames": path}
            except SampleError as error:
                yield Skipped(path, error.message)

    def _raster(self, place: Place) -> Any:
        if self.large is None:
            return read_sample(place)
        region = RasterRegions(place, self.dtype)
        if math.prod(region.shape) * region.dtype.itemsize > self.large:
            return region
        return region.read(tuple(slice(0, size) for size in region.shape))


class RasterRegions:
    """A raster (height, width, bands) of which boxes are read; it can be pickled.

    Parameters
    ----------
    place : Place
        The file.
    dtype : numpy.dtype
        To convert to.

    Attributes
    ----------
    shape : tuple of int
    tile_shape : tuple of int
        Boxes aligned with these are the cheapest.
    """

    def __init__(self, place: Place, dtype: np.dtype[Any]) -> None:
        self.place = place
        self.dtype = dtype
        self._lock = threading.Lock()
        self._opened: RegionReader | None = None
        with _reader(place) as reader:
            self._has_bands = len(reader.shape) == 3
            self.shape = reader.shape if self._has_bands else (*reader.shape, 1)
            tile = reader.tile_shape
            self.tile_shape = tile if self._has_bands else (*tile, 1)

    def read(self, box: tuple[slice, ...]) -> Array:
        """The pixels of a box: a slice for each axis."""
        with self._lock:
            if self._opened is None:
                self._opened = _reader(self.place)
        found = self._opened.read(box if self._has_bands else box[:2])
        found = found if self._has_bands else found[:, :, None][:, :, box[2]]
        return found.astype(self.dtype, copy=False)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def __del__(self) -> None:
        if getattr(self, "_opened", None) is not None:
            self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return RasterRegions, (self.place, self.dtype)


@broken_unless_read("GeoTIFF")
def geography(place: Place) -> dict[str, Any]:
    """Where a raster is: what GDAL says of a file, as JSON can hold it.

    Returns
    -------
    dict
        ``crs`` ("EPSG:32618", or WKT), ``transform`` (six numbers a, b, c, d, e, f: from
        column and row to x = a·column + b·row + c, y = d·column + e·row + f), ``bounds``
        (left, bottom, right, top), ``nodata`` (of each band), ``descriptions`` of bands and
        ``tags``; what is missing is left out.
    """
    if not _has_geo_tags(place):
        return {}
    rasterio = need("rasterio", extra="geo", what="reading GeoTIFF")
    with place.open() as file, rasterio.open(file) as raster:
        found = {
            "crs": raster.crs.to_string() if raster.crs else None,
            "transform": None if raster.transform.is_identity else list(raster.transform)[:6],
            "bounds": list(raster.bounds),
            "nodata": _numbers(raster.nodatavals),
            "descriptions": list(raster.descriptions) if any(raster.descriptions) else None,
            "tags": raster.tags() or None,
        }
    kept: dict[str, Any] = as_json({key: value for key, value in found.items() if value})
    return kept


def _numbers(values: tuple[float | None, ...]) -> list[float | str | None] | None:
    """Numbers for JSON, which has no NaN and no infinity: those as text."""
    if all(value is None for value in values):
        return None
    return [v if v is None or math.isfinite(v) else str(v) for v in values]


def _reader(place: Place) -> RegionReader:
    return open_region_reader(place.url, place.options or None)


def _is_tiff(name: str) -> bool:
    return format_of(name) == "tiff"


def _is_image(name: str) -> bool:
    return format_of(name) is not None


def _has_geo_tags(place: Place) -> bool:
    """Whether the first page of a TIFF has a tag that says where it lies."""
    try:
        with place.open() as file:
            return not _GEO_TAGS.isdisjoint(_tags(file))
    except (struct.error, ValueError):
        return False


def _tags(file: BinaryIO) -> Iterator[int]:
    """Numbers of the tags of the first page of a TIFF or BigTIFF."""
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 8:
        return
    big = struct.unpack_from(f"{order}H", start, 2)[0] == 43
    (place,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", start, 8 if big else 4)
    file.seek(place)
    (count,) = struct.unpack(f"{order}Q" if big else f"{order}H", file.read(8 if big else 2))
    size = 20 if big else 12
    entries = file.read(min(count, _MOST_TAGS) * size)
    for offset in range(0, len(entries) - size + 1, size):
        yield struct.unpack_from(f"{order}H", entries, offset)[0]
