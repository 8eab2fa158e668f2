"""What samples of Hub 2 are in hubzarr: options of the tensor, and values from bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, SampleError
from hubzarr.htypes import tensor_spec
from hubzarr.media import get_format
from hubzarr.media.guard import broken_unless_read

__all__ = ["column_options", "format_name", "from_text", "polygons", "stored_as"]

_TEXT_LIKE = frozenset({"text", "json", "list", "tag"})
_INFORMATION = ("class_names", "coords", "keypoints", "connections", "intrinsics")
_FORMATS = {"dcm": "dicom"}  # names of Hub that get_format does not know
_RENAMED = {"point_cloud.calibration_matrix": "intrinsics"}

type Array = np.ndarray[Any, Any]


def stored_as(meta: Mapping[str, Any]) -> str:
    """How the samples of a tensor are stored.

    One of ``link``, ``text``, ``json``, ``polygon``; ``file``, where each sample is a file;
    ``strip``, where a chunk is one picture with the samples side by side; ``array``.

    Parameters
    ----------
    meta : mapping
        Of the file ``tensor_meta.json``.

    Examples
    --------
    >>> stored_as({"htype": "image", "sample_compression": "jpeg"})
    'file'
    >>> stored_as({"htype": "image", "chunk_compression": "png"})
    'strip'
    """
    htype = meta.get("htype")
    if meta.get("is_link"):
        return "link"
    if htype in _TEXT_LIKE:
        return "text" if htype == "text" else "json"
    if htype == "polygon":
        return "polygon"
    if meta.get("sample_compression") not in (None, "lz4"):
        return "file"
    return "array" if meta.get("chunk_compression") in (None, "lz4") else "strip"


def column_options(meta: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the tensor that takes the samples; generic where the htype can't have them.

    Parameters
    ----------
    meta : mapping
        Of the file ``tensor_meta.json``.
    info : mapping
        Of the file ``tensor_info.json``.

    Examples
    --------
    >>> column_options({"htype": "image", "sample_compression": "jpeg", "dtype": "uint8"}, {})
    {'htype': 'image', 'dtype': 'uint8', 'sample_compression': 'jpeg'}
    >>> column_options({"htype": "class_label", "dtype": "uint32"}, {"class_names": ["cat"]})
    {'htype': 'class_label', 'dtype': 'uint32', 'class_names': ['cat']}
    >>> column_options({"htype": "binary_mask", "dtype": "uint8", "is_sequence": True}, {})
    {'htype': 'sequence[generic]', 'dtype': 'uint8'}
    """
    how = stored_as(meta)
    base = meta.get("htype") or "generic"
    base = _RENAMED.get(base, base)
    dtype = meta.get("dtype")
    options: dict[str, Any] = {}
    if how in ("array", "polygon", "strip") or base.startswith("image"):
        options |= {} if dtype is None or how == "link" else {"dtype": dtype}
    if how == "file":
        options["sample_compression"] = format_name(meta["sample_compression"])
    elif how == "strip":
        options["sample_compression"] = _lossless(meta["chunk_compression"])
    elif "lz4" in (meta.get("sample_compression"), meta.get("chunk_compression")):
        options["chunk_compression"] = "lz4"
    known = {key: info[key] for key in _INFORMATION if info.get(key)}
    for htype, extra in ((base, known), (base, {}), ("generic", {})):
        made = {"htype": _wrapped(htype, meta), **options, **extra}
        try:
            tensor_spec(**made)
        except InvalidError:
            continue
        return made
    raise InvalidError(f"no tensor of hubzarr can hold what is of htype {base!r}, dtype {dtype!r}")


def format_name(compression: str) -> str:
    """The name that a format of Hub has in hubzarr.

    Examples
    --------
    >>> format_name("dcm"), format_name("jpeg")
    ('dicom', 'jpeg')
    """
    return get_format(_FORMATS.get(compression, compression)).name


def from_text(data: bytes, htype: str) -> Any:
    """A string, an object or a list from its bytes.

    Examples
    --------
    >>> from_text(b'{"a": 1}', "json"), from_text(b"", "list"), from_text(b"cat", "text")
    ({'a': 1}, [], 'cat')
    """
    try:
        if htype == "text":
            return data.decode()
        if not data:
            return [] if htype in ("list", "tag") else None
        found = json.loads(data, object_hook=_plain)
        # Deep Lake writes no tags as one that is null.
        return [tag for tag in found if tag is not None] if htype == "tag" else found
    except (ValueError, TypeError) as error:
        raise SampleError(f"broken {htype}: {error}") from error


@broken_unless_read("polygons")
def polygons(data: bytes, dtype: np.dtype[Any], ndim: int) -> list[Array]:
    """Polygons from their bytes: how many, the points of each (``uint16``), all points.

    Examples
    --------
    >>> data = np.array([1, 3], "<u2").tobytes() + np.arange(6, dtype="<f4").tobytes()
    >>> [polygon.tolist() for polygon in polygons(data, np.dtype("f4"), 2)]
    [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]]
    """
    if not data:
        return []
    count = int.from_bytes(data[:2], "little")
    lengths = np.frombuffer(data, "<u2", count, 2)
    points = np.frombuffer(data, dtype, offset=2 + 2 * count).reshape(-1, ndim)
    return np.split(points, np.cumsum(lengths)[:-1]) if count else []


def _wrapped(htype: str, meta: Mapping[str, Any]) -> str:
    inner = f"link[{htype}]" if meta.get("is_link") else htype
    return f"sequence[{inner}]" if meta.get("is_sequence") else inner


def _lossless(name: str) -> str:
    """A format for pictures that were part of a larger one."""
    made = get_format(name)
    return made.name if made.lossless and made.encode is not None else "png"


def _plain(value: dict[str, Any]) -> Any:
    """Objects that Hub writes for arrays, as lists; others as they are."""
    if value.get("_hub_custom_type") == "ndarray":
        data = base64.b64decode(value["data"])
        return np.frombuffer(data, value["dtype"]).reshape(value["shape"]).tolist()
    return value
