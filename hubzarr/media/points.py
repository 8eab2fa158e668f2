"""Point clouds in LAS, LAZ, PCD and KITTI's .bin files; for PLY see `hubzarr.media.meshes`.

Point clouds decode to float64 of shape (points, 3): x, y, z, whatever type the file
keeps them in.  Only KITTI's scans, which have four float32 for each point and nothing
else, decode to just these: x, y, z and reflectance.  `fields` gives everything there is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media import las, pcd
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read
from hubzarr.media.ply import ply_elements

__all__ = ["FORMATS", "fields"]

type Array = np.ndarray[Any, Any]

_KITTI = ("x", "y", "z", "reflectance")
_WIDTH = 4
_CHECKED = 256
_FARTHEST = 1e5  # metres from a scanner; far less than float32 made of random bytes gives


@broken_unless_read("point cloud")
def fields(data: bytes) -> dict[str, Array]:
    """Read all that a point cloud's file says about its points.

    Parameters
    ----------
    data : bytes
        A LAS, LAZ, PCD, PLY or KITTI .bin file.

    Returns
    -------
    dict of str to numpy.ndarray
        One array for each field, as long as there are points, of the file's types (x, y
        and z of LAS as float64).

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> from hubzarr.media.points import fields
    >>> points = np.array([[1, 2, 3, 0.5]], "f4")
    >>> file = get_format("pcd").encode(points, names=["x", "y", "z", "t"])
    >>> fields(file)["t"]
    array([0.5], dtype=float32)
    """
    if data[:4] == b"LASF":
        return las.las_fields(data)
    if data[:3] == b"ply":
        vertex = ply_elements(data).get("vertex", {})
        return {name: values for name, values in vertex.items() if isinstance(values, np.ndarray)}
    if b"\nFIELDS" in data[:10_000] or data.startswith(b"FIELDS"):
        return pcd.pcd_fields(data)
    scan = _kitti_decode(data)
    return {name: scan[:, place].copy() for place, name in enumerate(_KITTI)}


@broken_unless_read("KITTI scan")
def _kitti_header(data: bytes) -> Header:
    return Header(_kitti_scan(data).shape, np.dtype("f4"), {})


@broken_unless_read("KITTI scan")
def _kitti_decode(data: bytes) -> Array:
    return _kitti_scan(data).astype("f4")


def _kitti_scan(data: bytes) -> Array:
    if not data or len(data) % (4 * _WIDTH):
        raise SampleError(
            f"no KITTI scan: {len(data)} bytes; expected a multiple of 16, four float32 a point"
        )
    scan = np.frombuffer(data, "<f4").reshape(-1, _WIDTH)
    start = scan[:_CHECKED]
    if not (np.abs(start) < _FARTHEST).all():
        raise SampleError("no KITTI scan: values that no scanner measures")
    return scan


def _kitti_encode(array: Any) -> bytes:
    scan = np.asarray(array)
    if scan.ndim != 2 or scan.shape[1] != _WIDTH or not len(scan) or scan.dtype.kind not in "fiu":
        raise SampleError(
            f"no KITTI scan: {scan.dtype} of shape {scan.shape}; expected numbers of shape "
            f"(points, 4): x, y, z, reflectance"
        )
    return scan.astype("<f4").tobytes()


FORMATS = (
    *las.FORMATS,
    *pcd.FORMATS,
    Format(
        name="bin",
        kind="point_cloud",
        extensions=(".bin",),
        lossless=True,
        header=_kitti_header,
        decode=_kitti_decode,
        encode=_kitti_encode,
        extra=None,
    ),
)
