"""LAS and LAZ point clouds (also COPC, which is LAZ), read by laspy.

The header of fixed layout is read here, without laspy.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media.extras import need
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read

__all__ = ["FORMATS", "decode", "encode_las", "header", "las_fields"]

type Array = np.ndarray[Any, Any]

_COMPRESSED = 0x80  # bit of the point format's number
_WIDE = 235  # where LAS 1.4 has the place and number of long records, then that of points
_RECORD, _LONG_RECORD = 54, 60  # bytes of the head of a record
_CREATED = slice(90, 94)  # day and year
_LARGEST = 2**31 - 1
_COORDINATES = ("X", "Y", "Z")


@broken_unless_read("LAS file")
def header(data: bytes) -> Header:
    """Read the number of points.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        `meta` has version, point_format, compressed, scales, offsets, mins and maxs.
    """
    if data[:4] != b"LASF":
        raise SampleError(f"no LAS file: first bytes {data[:4]!r}; expected b'LASF'")
    major, minor = data[24], data[25]
    begin, start, records, kind, length, count = struct.unpack_from("<HIIBHI", data, 94)
    records_end = begin + records * _RECORD
    if (major, minor) >= (1, 4):
        first, more, count = struct.unpack_from("<QIQ", data, _WIDE)
        records_end = max(records_end, first + more * _LONG_RECORD if more else 0)
    if records_end > len(data):  # laspy would go on reading, past the end, billions of times
        raise SampleError("broken LAS file: its header announces more records than it can hold")
    compressed = bool(kind & _COMPRESSED)
    if start > len(data) or (not compressed and start + count * length > len(data)):
        raise SampleError(
            f"broken LAS file: {len(data)} bytes can't hold the {count} points that its "
            f"header says; the file has been cut"
        )
    numbers = struct.unpack_from("<12d", data, 131)
    meta = {
        "version": f"{major}.{minor}",
        "point_format": kind & 0x3F,
        "compressed": compressed,
        "scales": _finite(numbers[:3]),
        "offsets": _finite(numbers[3:6]),
        "mins": _finite(numbers[7::2]),
        "maxs": _finite(numbers[6::2]),
    }
    return Header((count, 3), np.dtype("f8"), meta)


@broken_unless_read("LAS file")
def decode(data: bytes) -> Array:
    """Read the places of the points.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    numpy.ndarray
        float64 of shape (points, 3): x, y, z, scaled and offset as the file says.
    """
    return np.ascontiguousarray(_read(data).xyz, "f8")


@broken_unless_read("LAS file")
def las_fields(data: bytes) -> dict[str, Array]:
    """Read all fields of the points, those of extra bytes included.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        x, y and z as float64, then the others under laspy's names with their types.
    """
    cloud = _read(data)
    found = {name: np.array(cloud[name]) for name in ("x", "y", "z")}
    for name in cloud.point_format.dimension_names:
        if name not in _COORDINATES:
            found[name] = np.array(cloud[name])
    return found


def encode_las(
    compressed: bool,
    array: Any,
    *,
    fields: Mapping[str, Any] | None = None,
    scale: float = 0.001,
) -> bytes:
    """Write a point cloud.

    Parameters
    ----------
    compressed : bool
        Whether to write LAZ.
    array : array_like
        Numbers of shape (points, 3): x, y, z; kept as multiples of `scale`.
    fields : mapping of str to array_like, optional
        Further values of the points: ``"intensity"``, ``"classification"``, ``"red"``
        and others that LAS knows; those it doesn't know become extra bytes.
    scale : float, default 0.001
        Distance that is told apart, in the unit of the coordinates.

    Returns
    -------
    bytes
        The file: LAS 1.4.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> file = get_format("laz").encode(np.array([[1.5, 2, 3]]), fields={"intensity": [7]})
    >>> get_format("laz").decode(file)
    array([[1.5, 2. , 3. ]])
    """
    points = _points(array, scale)
    fields = {} if fields is None else {name: np.asarray(fields[name]) for name in fields}
    for name, values in fields.items():
        if values.shape != points.shape[:1]:
            raise SampleError(
                f"field {name!r} has shape {values.shape}; expected {points.shape[:1]}, "
                f"a value for each point"
            )
    laspy = _laspy("writing LAS files")
    top = laspy.LasHeader(version="1.4", point_format=7 if "red" in fields else 6)
    top.scales = np.full(3, scale)
    top.offsets = np.floor(points.min(axis=0)) if len(points) else np.zeros(3)
    known = set(top.point_format.dimension_names)
    top.add_extra_dims(
        [
            laspy.ExtraBytesParams(name, values.dtype)
            for name, values in fields.items()
            if name not in known
        ]
    )
    cloud = laspy.LasData(top)
    cloud.xyz = points
    for name, values in fields.items():
        _put(cloud, name, values)
    file = io.BytesIO()
    cloud.write(file, do_compress=compressed)
    file.getbuffer()[_CREATED] = bytes(4)  # the same points give the same bytes on other days
    return file.getvalue()


def _points(array: Any, scale: float) -> Array:
    points = np.asarray(array)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise SampleError(
            f"no points: {points.dtype} of shape {points.shape}; expected numbers of shape "
            f"(points, 3); pass further values as fields={{...}}"
        )
    if not scale > 0:
        raise InvalidError(f"scale={scale!r}; expected a distance, more than 0")
    points = points.astype("f8")
    if len(points):
        if not np.isfinite(points).all():
            raise SampleError("points with infinite or undefined places; LAS can't hold them")
        if np.ptp(points, axis=0).max() / scale > _LARGEST - 1 / scale:
            raise SampleError(f"points too far apart for scale={scale}; use a larger one")
    return points


def _put(cloud: Any, name: str, values: Array) -> None:
    try:
        cloud[name] = values
    except (OverflowError, ValueError, TypeError) as error:
        raise SampleError(f"LAS can't hold field {name!r}: {error}") from error
    kept = np.asarray(cloud[name])
    if not np.array_equal(kept, values, equal_nan=values.dtype.kind == "f"):
        raise SampleError(f"LAS can't hold field {name!r}: as {kept.dtype} its values change")


def _read(data: bytes) -> Any:
    told = header(data)
    expected = told.shape[0]
    if told.meta["compressed"] and expected:
        _check_chunks(data)
    laspy = _laspy("reading LAS files")
    # One thread: many files are read at a time, and the decoder with many threads reserves
    # what a garbled table says, where the process ends if that is too much.
    cloud = laspy.read(io.BytesIO(data), laz_backend=laspy.LazBackend.Lazrs)
    if len(cloud.points) != expected:
        raise SampleError(
            f"broken LAS file: {len(cloud.points)} points, not {expected} as its header says"
        )
    return cloud


def _check_chunks(data: bytes) -> None:
    """Refuse LAZ files whose table of chunks is not there, or claims to be absurdly long."""
    (start,) = struct.unpack_from("<I", data, 96)
    (table,) = struct.unpack_from("<q", data, start)
    if table == -1:  # written to a pipe: the place is at the end
        (table,) = struct.unpack_from("<q", data, len(data) - 8)
    if not start < table <= len(data) - 8:
        raise SampleError("broken LAS file: no table of chunks; the file has been cut")
    (chunks,) = struct.unpack_from("<I", data, table + 4)
    if chunks > len(data):
        raise SampleError(f"broken LAS file: {chunks} chunks in {len(data)} bytes")


def _finite(numbers: tuple[float, ...]) -> list[float | None]:
    """A list for JSON, which has neither infinity nor NaN."""
    return [number if np.isfinite(number) else None for number in numbers]


def _laspy(what: str) -> Any:
    return need("laspy", extra="points", what=what)


def _format(name: str, compressed: bool) -> Format:
    return Format(
        name=name,
        kind="point_cloud",
        extensions=(f".{name}",),
        lossless=False,  # coordinates are rounded when written
        header=header,
        decode=decode,
        encode=partial(encode_las, compressed),
        extra="points",
    )


FORMATS = (_format("las", False), _format("laz", True))
