"""NIfTI volumes (.nii, .nii.gz), read by nibabel.

A volume decodes to an array indexed as in the file, (x, y, z, time, ...): of the stored
type where the file gives no scale, else scaled, as float64, like nibabel's `get_fdata`.
RGB voxels become a last axis of 3 (RGBA: 4) of uint8.
"""

from __future__ import annotations

import gzip
import io
import zlib
from functools import partial
from math import prod
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.media.extras import need
from hubzarr.media.format import Format, Header
from hubzarr.media.guard import broken_unless_read

__all__ = ["FORMATS", "decode", "encode_nifti", "header"]

type Array = np.ndarray[Any, Any]

_HEADER = 540  # bytes of the longer of the two headers, that of NIfTI-2
_COMPRESSION = 6
_STORABLE = frozenset(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16"])


@broken_unless_read("NIfTI file")
def header(data: bytes) -> Header:
    """Read the shape and type of a volume; of a compressed file only the start is expanded.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    Header
        `meta` has affine (4 × 4, voxels to millimetres), zooms (size of a voxel), units,
        slope and inter (where values are scaled), stored (dtype in the file) and version.
    """
    found = _parsed(data)
    shape = tuple(int(n) for n in found.get_data_shape())
    if not shape or min(shape) < 1:
        raise SampleError(f"broken NIfTI file: no voxels in shape {shape}")
    stored = found.get_data_dtype().newbyteorder("=")
    slope, inter = found.get_slope_inter()
    scaled = _is_scaled(slope, inter)
    dtype = np.dtype("f8") if scaled else stored
    _check_whole(data, int(found.get_data_offset()) + prod(shape) * stored.itemsize)
    if stored.fields:
        shape, dtype = (*shape, len(stored.fields)), np.dtype("u1")
    meta = {
        "affine": _finite(found.get_best_affine()),
        "zooms": _finite(found.get_zooms()),
        "units": list(found.get_xyzt_units()),
        "slope": slope if scaled else None,
        "inter": inter if scaled else None,
        "stored": stored.name
        if not stored.fields
        else "rgb"
        if len(stored.fields) == 3
        else "rgba",
        "version": 2 if found.sizeof_hdr == _HEADER else 1,
    }
    return Header(shape, dtype, meta)


@broken_unless_read("NIfTI file")
def decode(data: bytes) -> Array:
    """Read a volume.

    Parameters
    ----------
    data : bytes
        The file, compressed or not.

    Returns
    -------
    numpy.ndarray
        As the header says, in the machine's byte order.
    """
    nibabel = _nibabel()
    plain = gzip.decompress(data) if _is_gzip(data) else data
    kind = nibabel.Nifti2Image if header(plain).meta["version"] == 2 else nibabel.Nifti1Image
    image = kind.from_bytes(plain)
    proxy = image.dataobj
    array = image.get_fdata() if _is_scaled(proxy.slope, proxy.inter) else np.asarray(proxy)
    if array.dtype.fields:  # RGB
        array = np.stack([array[name] for name in array.dtype.fields], axis=-1)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def encode_nifti(compressed: bool, array: Any, *, affine: Any = None, zooms: Any = None) -> bytes:
    """Write a volume.

    Parameters
    ----------
    compressed : bool
        Whether to write .nii.gz.
    array : array_like
        Integers, float32, float64 or complex numbers of one to seven dimensions.
    affine : array_like, optional
        4 × 4 matrix from voxels to millimetres; the identity unless given.
    zooms : sequence of float, optional
        Size of a voxel along each axis.

    Returns
    -------
    bytes
        The file.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import get_format
    >>> file = get_format("nii.gz").encode(np.zeros((4, 3, 2), "i2"), zooms=(1, 1, 2.5))
    >>> get_format("nii.gz").header(file).meta["zooms"]
    [1.0, 1.0, 2.5]
    """
    values = np.asarray(array)
    if values.dtype == bool:
        values = values.view("u1")
    if values.dtype.str[1:] not in _STORABLE or not 1 <= values.ndim <= 7 or not values.size:
        raise SampleError(
            f"no NIfTI volume: {values.dtype} of shape {values.shape}; expected integers, "
            f"float32, float64 or complex numbers of one to seven dimensions"
        )
    nibabel = _nibabel()
    native = values.dtype.newbyteorder("=")
    # NIfTI-1 counts voxels of an axis in 16 bits.
    kind = nibabel.Nifti2Image if max(values.shape) > 0x7FFF else nibabel.Nifti1Image
    image = kind(values, np.eye(4) if affine is None else np.asarray(affine), dtype=native)
    if zooms is not None:
        image.header.set_zooms(zooms)
    plain: bytes = image.to_bytes()
    return gzip.compress(plain, _COMPRESSION, mtime=0) if compressed else plain


def _parsed(data: bytes) -> Any:
    nibabel = _nibabel()
    start = _start(data)
    two = start[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    kind = nibabel.Nifti2Header if two else nibabel.Nifti1Header
    found = kind.from_fileobj(io.BytesIO(start))
    magic = bytes(found["magic"])[:3]
    if magic == b"ni1" or magic == b"ni2":
        raise SampleError("header of a NIfTI pair, whose values are in a second file (.img)")
    if not magic.startswith(b"n+"):
        raise SampleError(f"no NIfTI file: magic {magic!r}; expected 'n+1' or 'n+2'")
    return found


def _check_whole(data: bytes, expected: int) -> None:
    if not _is_gzip(data) and len(data) < expected:
        raise SampleError(
            f"broken NIfTI file: {len(data)} bytes, not {expected} as its header says; "
            f"the file has been cut"
        )


def _finite(values: Any) -> Any:
    """Lists for JSON, which has neither infinity nor NaN."""
    array = np.asarray(values, "f8")
    plain = array.astype(object)
    plain[~np.isfinite(array)] = None
    return plain.tolist()


def _start(data: bytes) -> bytes:
    if not _is_gzip(data):
        return data[:_HEADER]
    return zlib.decompressobj(wbits=31).decompress(data, _HEADER)


def _is_gzip(data: bytes) -> bool:
    return data[:2] == b"\x1f\x8b"


def _is_scaled(slope: float | None, inter: float | None) -> bool:
    return slope is not None and (slope, inter) != (1.0, 0.0)


def _nibabel() -> Any:
    return need("nibabel", extra="medical", what="reading NIfTI files")


def _format(name: str, compressed: bool) -> Format:
    return Format(
        name=name,
        kind="nifti",
        extensions=(f".{name}",),
        lossless=True,
        header=header,
        decode=decode,
        encode=partial(encode_nifti, compressed),
        extra="medical",
    )


FORMATS = (_format("nii", False), _format("nii.gz", True))
