"""Parts of huge images: only the tiles or strips of a TIFF that a box touches are read.

A GeoTIFF of 50,000 × 50,000 pixels is read box by box in the memory of the box and of a
few tiles.  Formats without tiles are decoded once, as a whole.
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Lock
from typing import Any, BinaryIO, Protocol, Self

import numpy as np

from hubzarr.errors import InvalidError, OutOfBoundsError, SampleError
from hubzarr.media.extras import have, need
from hubzarr.media.formats import sniff
from hubzarr.media.images.exif import oriented
from hubzarr.media.images.tiff import Layout, layout, tiff_errors
from hubzarr.media.sample import Sample

__all__ = ["RegionReader", "TiffRegions", "WholeRegions", "open_region_reader"]

type Array = np.ndarray[Any, Any]
type Box = tuple[slice, ...]

_CACHED_BYTES = 32 << 20  # of decoded tiles, for boxes that are not aligned with them
_BAND_BYTES = 1 << 20  # of rows read at once where rows are not compressed
_PLAIN = 1  # compression
_SEPARATE_PLANES = 2


class RegionReader(Protocol):
    """An image of which boxes can be read.

    Attributes
    ----------
    shape : tuple of int
        As decoding the file would give.
    dtype : numpy.dtype
        As decoding the file would give.
    tile_shape : tuple of int
        Boxes aligned with these are the cheapest.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def tile_shape(self) -> tuple[int, ...]: ...

    def read(self, box: Box) -> Array:
        """Read a box: a slice of step 1 for each axis; axes left out are read whole."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def _bounds(box: Box, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Start and stop for each axis."""
    if len(box) > len(shape):
        raise OutOfBoundsError(f"box of {len(box)} axes in an image of shape {shape}")
    found = []
    for axis, length in enumerate(shape):
        start, stop, step = (box[axis] if axis < len(box) else slice(None)).indices(length)
        if step != 1:
            raise InvalidError(f"box {box} with steps; expected slices of step 1")
        found.append((start, max(start, stop)))
    return found


class WholeRegions:
    """Boxes of an image that can only be decoded as a whole.

    Parameters
    ----------
    sample : Sample
        Whose array is kept until `close`.
    """

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self.shape = sample.shape
        self.dtype = sample.dtype
        self.tile_shape = sample.shape

    def read(self, box: Box) -> Array:
        """Read a box; the first one decodes the image."""
        bounds = _bounds(box, self.shape)
        return self._sample.array[tuple(slice(*pair) for pair in bounds)].copy()

    def close(self) -> None:
        """Forget the image."""
        del self._sample

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TiffRegions:
    """Boxes of the first page of a TIFF, BigTIFF or GeoTIFF; safe to use from threads.

    Parameters
    ----------
    page : tifffile.TiffPage
        Of an open file.
    file : file object
        The same one, for its bytes.
    found : Layout
        How the page is shown.
    closing : contextlib.ExitStack
        Closes what was opened.
    """

    def __init__(self, page: Any, file: BinaryIO, found: Layout, closing: ExitStack) -> None:
        self._page, self._file, self._layout, self._closing = page, file, found, closing
        self._lock = Lock()
        self._cache: OrderedDict[int, Array] = OrderedDict()
        self._cached = 0
        self._planes = found.samples if int(page.planarconfig) == _SEPARATE_PLANES else 1
        self._stored_dtype = np.dtype(page.dtype)
        # Read now: later, threads move the position in the file.
        self._jpeg = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        bits = int(page.bitspersample)
        self._plain = (
            int(page.compression) == _PLAIN
            and not page.is_tiled
            and int(page.predictor) == 1
            and bits == 8 * self._stored_dtype.itemsize
            and int(page.fillorder) == 1
        )
        self._row_bytes = found.width * (found.samples // self._planes)
        self._row_bytes *= self._stored_dtype.itemsize
        self.shape = found.shape
        self.dtype = found.dtype
        self.tile_shape = self._tile_shape()

    def _tile_shape(self) -> tuple[int, ...]:
        found, page = self._layout, self._page
        if page.is_tiled:
            tile = (int(page.tilelength), int(page.tilewidth))
        elif self._plain:
            tile = (max(1, _BAND_BYTES // self._row_bytes), found.width)
        else:
            tile = (int(page.rowsperstrip), found.width)
        tile = (min(tile[0], found.height), min(tile[1], found.width))
        if found.orientation >= 5:
            tile = tile[::-1]
        return (*tile, found.channels) if found.channels else tile

    def read(self, box: Box) -> Array:
        """Read a box, decoding only the tiles or strips that it touches."""
        rows, columns, *rest = _bounds(box, self.shape)
        found, (height, width) = self._layout, self.shape[:2]
        if found.orientation in (3, 4, 7, 8):
            rows = (height - rows[1], height - rows[0])
        if found.orientation in (2, 3, 6, 7):
            columns = (width - columns[1], width - columns[0])
        if found.orientation >= 5:
            rows, columns = columns, rows
        with tiff_errors():
            stored = self._read_plain(rows) if self._plain else self._read_tiles(rows, columns)
            if self._plain:
                stored = stored[:, slice(*columns)]
            shown = oriented(found.show(stored), found.orientation)
        if rest:
            shown = shown[:, :, slice(*rest[0])]
        return np.ascontiguousarray(shown, dtype=self.dtype)

    def close(self) -> None:
        """Close the file."""
        self._cache.clear()
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Rows that are stored as they are

    def _read_plain(self, rows: tuple[int, int]) -> Array:
        page, planes = self._page, self._planes
        order = ">" if page.parent.byteorder == ">" else "<"
        samples = self._layout.samples // planes
        shape = (rows[1] - rows[0], self._layout.width, samples)
        out = np.empty((planes, *shape), self._stored_dtype.newbyteorder(order))
        per_strip = min(int(page.rowsperstrip), self._layout.height)
        strips = -(-self._layout.height // per_strip)
        row_bytes = self._row_bytes
        for plane in range(planes):
            row = rows[0]
            while row < rows[1]:
                strip, first = divmod(row, per_strip)
                stop = min(rows[1], (strip + 1) * per_strip)
                offset = int(page.dataoffsets[plane * strips + strip]) + first * row_bytes
                data = self._bytes(offset, (stop - row) * row_bytes)
                target = out[plane, row - rows[0] : stop - rows[0]]
                target[...] = np.frombuffer(data, out.dtype).reshape(target.shape)
                row = stop
        return out[0] if planes == 1 else out[..., 0].transpose(1, 2, 0)

    # Tiles and compressed strips

    def _read_tiles(self, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        shape = (rows[1] - rows[0], columns[1] - columns[0], self._layout.samples)
        out = np.empty(shape, self._stored_dtype.newbyteorder("="))
        for index, plane, top, left in self._touched(rows, columns):
            tile = self._tile(index)
            bottom, right = top + tile.shape[0], left + tile.shape[1]
            y, x = max(top, rows[0]), max(left, columns[0])
            part = tile[y - top : rows[1] - top, x - left : columns[1] - left]
            y_out, x_out = slice(y - rows[0], bottom - rows[0]), slice(x - columns[0], None)
            target = out[y_out, x_out][: part.shape[0], : min(right - x, part.shape[1])]
            if self._planes > 1:
                target[..., plane] = part[: target.shape[0], : target.shape[1], 0]
            else:
                target[...] = part[: target.shape[0], : target.shape[1]]
        return out

    def _touched(
        self, rows: tuple[int, int], columns: tuple[int, int]
    ) -> Iterator[tuple[int, int, int, int]]:
        """Index, plane, top row and left column of each tile that a box touches."""
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return
        page, found = self._page, self._layout
        if page.is_tiled:
            tall, wide = int(page.tilelength), int(page.tilewidth)
        else:
            tall, wide = min(int(page.rowsperstrip), found.height), found.width
        down, across = -(-found.height // tall), -(-found.width // wide)
        for plane in range(self._planes):
            for i in range(rows[0] // tall, -(-rows[1] // tall)):
                for j in range(columns[0] // wide, -(-columns[1] // wide)):
                    yield (plane * down + i) * across + j, plane, i * tall, j * wide

    def _tile(self, index: int) -> Array:
        """One decoded tile ``(h, w, samples)``, from the cache if it is there."""
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
        page = self._page
        length = int(page.databytecounts[index])
        data = self._bytes(int(page.dataoffsets[index]), length) if length else None
        tile, _, shape = page.decode(data, index, **self._jpeg)
        if tile is None:  # sparse: never written
            tile = np.full(shape, page.nodata, self._stored_dtype)
        made: Array = tile[0]
        with self._lock:
            if index not in self._cache:  # else another thread was quicker
                self._cache[index] = made
                self._cached += made.nbytes
            while self._cached > _CACHED_BYTES and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return made

    def _bytes(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(length)
        if len(data) < length:
            raise SampleError(f"truncated TIFF file: {length} bytes at {offset} are missing")
        return data


def open_region_reader(
    source: str | os.PathLike[str] | BinaryIO | Sample,
    storage_options: dict[str, Any] | None = None,
) -> RegionReader:
    """Open an image for reading boxes of it.

    Parameters
    ----------
    source : str, os.PathLike, file object or Sample
        Local path, URL of fsspec, or an open binary file, which stays open.
    storage_options : dict, optional
        For fsspec, where `source` is a URL.

    Returns
    -------
    RegionReader
        With `shape`, `dtype`, `tile_shape` and ``read(box)``; close it, or use ``with``.

    Raises
    ------
    SampleError
        The file is missing, broken, truncated, or no image.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import Sample
    >>> from hubzarr.media.regions import open_region_reader
    >>> values = np.arange(60_000, dtype="u2").reshape(200, 300)
    >>> tiles = Sample(array=values).encoded("tiff", tile=(64, 64))
    >>> with open_region_reader(Sample(tiles)) as image:
    ...     print(image.shape, image.tile_shape)
    ...     print(image.read((slice(100, 102), slice(3))).tolist())
    (200, 300) (64, 64)
    [[30000, 30001, 30002], [30300, 30301, 30302]]
    """
    with ExitStack() as closing:
        path = None
        if isinstance(source, Sample):
            file: Any = io.BytesIO(source.compressed_bytes)
            path = source.path
        elif isinstance(source, str | os.PathLike):
            path = os.fspath(source)
            file = closing.enter_context(_open(path, storage_options))
        else:
            file = source
        try:
            reader = _tiff_reader(file, path, closing)
        except SampleError as error:
            named = f"{path}: {error.message}" if path and not error.path else error.message
            raise SampleError(named, path=path) from error
        if reader is not None:
            reader._closing = closing.pop_all()
            return reader
        if isinstance(source, Sample):
            return WholeRegions(source)
        file.seek(0)
        return WholeRegions(Sample(file.read(), path=path))


def _open(path: str, storage_options: dict[str, Any] | None) -> Any:
    try:
        if "://" not in path and "::" not in path:
            return open(path, "rb")
        fsspec = need("fsspec", extra="samples", what=f"reading {path}")
        return fsspec.open(path, "rb", **(storage_options or {})).open()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise SampleError(f"{path}: no such file", path=path) from error


def _tiff_reader(file: BinaryIO, path: str | None, closing: ExitStack) -> TiffRegions | None:
    """A reader of boxes, or None for files that have to be decoded as a whole."""
    file.seek(0)
    if sniff(file.read(512), path) != "tiff":
        return None
    tifffile = have("tifffile")
    if tifffile is None:
        return None
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with tiff_errors():
        page = closing.enter_context(tifffile.TiffFile(file)).pages.first
        found = layout(page, size)
    return None if found is None else TiffRegions(page, file, found, closing)
