"""Files of one format to files of another: as much of what they tell as the other can keep."""

from __future__ import annotations

import gzip
from typing import Any

from hubzarr.errors import SampleError
from hubzarr.media import Sample
from hubzarr.media.meshes import mesh_parts
from hubzarr.media.points import fields

__all__ = ["same_file", "told_to_encoder"]

# What encoders must be told, by the names that headers have for it.
_TOLD = {"audio": ("samplerate",), "video": ("fps",)}
_MESHES = {"ply": ("faces", "colors", "normals"), "stl": ("faces",)}
_LAS = ("las", "laz")


def same_file(sample: Sample, wanted: str) -> bytes | None:
    """Give a file in another format if that is the same file but for its wrapping.

    Parameters
    ----------
    sample : Sample
        A file.
    wanted : str
        Name of a format.

    Returns
    -------
    bytes or None
        The untouched bytes if the format is the wanted one already; NIfTI in or out of gzip;
        None if the file has to be decoded and encoded.
    """
    given = sample.compression
    # MPO is a JPEG file with more pictures behind the first
    if given == wanted or (given, wanted) == ("mpo", "jpeg"):
        return sample.compressed_bytes
    if (given, wanted) == ("nii", "nii.gz"):
        return gzip.compress(sample.compressed_bytes, mtime=0)
    if (given, wanted) == ("nii.gz", "nii"):
        return gzip.decompress(sample.compressed_bytes)
    return None


def told_to_encoder(sample: Sample, wanted: str) -> dict[str, Any]:
    """Collect what a file tells beyond its array, as options of the encoder of another format.

    Parameters
    ----------
    sample : Sample
        A file, or an array without one, which tells nothing.
    wanted : str
        Name of the other format.

    Returns
    -------
    dict
        Options.

    Raises
    ------
    SampleError
        The other format would lose what the file is about.
    """
    given = sample.compression
    if given is None:
        return {}
    kind = sample.format.kind
    if kind == "mesh" and wanted in _MESHES:
        parts = mesh_parts(sample.compressed_bytes)
        colors = parts["colors"]
        if colors is not None and colors.dtype.kind == "f":  # of OBJ: 0 to 1
            parts["colors"] = (colors.clip(0, 1) * 255).round().astype("u1")
        return {name: parts[name] for name in _MESHES[wanted] if parts[name] is not None}
    if given in _LAS and wanted in _LAS:
        found = fields(sample.compressed_bytes)
        told = {name: values for name, values in found.items() if name not in ("x", "y", "z")}
        return {"fields": told, "scale": min(sample.meta["scales"])}
    if kind == "point_cloud":
        raise SampleError(
            f"{given} file in a tensor of {wanted} files, which would lose all but coordinates; "
            "append hub.read(path).array if those are enough, or create the tensor with "
            f"sample_compression={given!r}"
        )
    return {key: sample.meta[key] for key in _TOLD.get(kind, ()) if sample.meta.get(key)}
