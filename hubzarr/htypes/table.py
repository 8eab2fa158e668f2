"""The htypes for people: a list of names, a table for the documentation, a line in a summary."""

from __future__ import annotations

from hubzarr.htypes.kinds import HTYPES, Htype
from hubzarr.htypes.spec import TensorSpec

__all__ = ["describe", "names", "picture", "table"]


def names() -> list[str]:
    """List the htypes.

    Returns
    -------
    list of str
        Each may also stand in ``sequence[...]``, and those of files in ``link[...]``.

    Examples
    --------
    >>> from hubzarr import htypes
    >>> "image" in htypes.names(), "embedding" in htypes.names()
    (True, True)
    """
    return list(HTYPES)


def picture(spec: TensorSpec) -> str:
    """Give the character for a tensor's htype.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.

    Returns
    -------
    str
        One character, one column wide.

    Examples
    --------
    >>> from hubzarr.htypes import picture, tensor_spec
    >>> picture(tensor_spec("image")[0]), picture(tensor_spec("link[image]")[0])
    ('▦', '↗')
    """
    if spec.is_sequence:
        return "⋯"
    return "↗" if spec.is_link else spec.kind.picture


def describe(spec: TensorSpec) -> str:
    """Say in a few words what a tensor holds.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.

    Returns
    -------
    str
        Picture, htype, dtype, compression.

    Examples
    --------
    >>> from hubzarr.htypes import describe, tensor_spec
    >>> describe(tensor_spec("image", sample_compression="jpg")[0])
    '▦ image · uint8 · jpeg'
    >>> describe(tensor_spec("json")[0])
    '≡ json · zstd'
    """
    dtype = None if spec.dtype in (None, "str") else spec.dtype
    compression = spec.sample_compression or spec.chunk_compression
    words = (f"{picture(spec)} {spec.htype}", dtype, compression)
    return " · ".join(word for word in words if word)


def table() -> list[tuple[str, str, str, str, str]]:
    """Give the table of htypes, for documentation.

    Returns
    -------
    list of tuple of str
        Picture, name, what a sample is, default dtype, default compression.

    Examples
    --------
    >>> from hubzarr import htypes
    >>> next(row for row in htypes.table() if row[1] == "embedding")
    ('→', 'embedding', 'vector', 'float32', 'zstd')
    """
    return [
        (kind.picture, kind.name, kind.sample, _dtype(kind), _compression(kind))
        for kind in HTYPES.values()
    ]


def _dtype(kind: Htype) -> str:
    if kind.dtype is not None:
        return kind.dtype
    if kind.stores == "json":
        return "–"
    return "of the first sample" if kind.name == "generic" else "of the file"


def _compression(kind: Htype) -> str:
    return "to choose" if kind.needs_compression else kind.compression or "zstd"
