"""Making arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hubzarr.arrays import Array
from hubzarr.arrays.attributes import checked
from hubzarr.arrays.values import check_size
from hubzarr.codecs import array_document, auto_chunks
from hubzarr.config import get_config
from hubzarr.dtypes import as_dtype, kind_of
from hubzarr.errors import ExistsError, InvalidError, InvalidTypeError
from hubzarr.history.manifest import Node
from hubzarr.names import DEFAULT_VERSION
from hubzarr.session import Session, create_version
from hubzarr.session.place import Options, parsed_name, session_of, storage_of

__all__ = ["array"]


def array(
    shape: int | Sequence[int],
    name: str,
    dtype: Any = "float64",
    chunks: Any = "auto",
    shards: Any = "auto",
    codec: Any = "zstd",
    fill_value: Any = 0,
    attributes: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    overwrite: bool = False,
    *,
    dimension_names: Sequence[str | None] | None = None,
    storage_options: Options = None,
) -> Array:
    """Create a named array. It takes no space until elements are written.

    Parameters
    ----------
    shape : int or sequence of int
        Length of each axis; axis 0 may be 0, to be appended to.
    name : str
        ``[namespace/]base[:version]``, or a URL or path in place of ``namespace/base``. The
        version is "main" by default. A version that is new in an existing repository starts
        there independently of the others.
    dtype : dtype-like
        Any NumPy dtype that Zarr can store; ``"bfloat16"``, ``"float8_e4m3fn"`` and
        ``"float8_e5m2"`` need the extra ``bfloat16``.
    chunks : "auto", int or sequence of int
        Shape of what is compressed as one piece.
    shards : "auto", None or sequence of int
        Shape of what is stored as one object, a multiple of `chunks`; None: each chunk is
        one object.
    codec : str, codec or list of codecs
        "zstd", "zstd:9", "lz4", "blosc", "gzip", "none", or codecs of Zarr.
    fill_value : scalar
        Value of elements never written.
    attributes : mapping, optional
        JSON values by name.
    exist_ok : bool
        Load the array if it exists; its shape and dtype must be the same.
    overwrite : bool
        Replace the array if it exists. The former state stays in the history.
    dimension_names : sequence of str, optional
        A name for each axis, as xarray uses them.
    storage_options : mapping, optional
        For the store.

    Returns
    -------
    Array

    Raises
    ------
    ExistsError
        The array exists; the message names the two ways on.
    InvalidNameError, InvalidError, InvalidTypeError
        An argument can't be used.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((1000, 512, 512, 3), "examples/big:v0", dtype="uint8")
    >>> a.shape, a.nbytes_stored
    ((1000, 512, 512, 3), 0)
    """
    if exist_ok and overwrite:
        raise InvalidError("exist_ok and overwrite exclude each other: choose one")
    parsed = parsed_name(name, "create an array")
    version = parsed.version or DEFAULT_VERSION
    lengths = _shape(shape)
    data_type = np.dtype(str) if dtype is str else dtype
    chunk_shape, shard_shape = auto_chunks(lengths, data_type, chunks, shards)
    document = array_document(
        lengths, data_type, chunk_shape, shard_shape, codec=codec,
        fill_value=_fill(fill_value, data_type), attributes=checked(attributes),
        dimension_names=dimension_names,
    )  # fmt: skip
    storage = storage_of(parsed, storage_options)
    try:
        create_version(
            storage, version, None, author=get_config().author, message="created",
            name=parsed.repository, nodes={"": Node(document, "")},
        )  # fmt: skip
    except ExistsError as error:
        if not (exist_ok or overwrite):
            raise ExistsError(
                f"{parsed.repository}:{version} exists already. To use it: "
                f"hub.load({str(name)!r}), or exist_ok=True here. To start afresh: another "
                "version or name, or overwrite=True (the old state stays in the history)",
                name=parsed.repository,
                version=version,
            ) from error
        session = session_of(parsed, storage, "r+", version)
        if overwrite:
            session.check_writable()
            session.create_array("", document)
            session.commit("overwritten")
        elif _differs(session, document):
            raise ExistsError(
                f"{parsed.repository}:{version} exists with shape "
                f"{session.array().shape} and dtype {session.array().engine.cells.dtype}, not "
                f"{lengths} and {data_type}; choose another version, or overwrite=True",
                name=parsed.repository,
                version=version,
            ) from error
        return Array(session, parsed.repository)
    return Array(session_of(parsed, storage, "r+", version), parsed.repository)


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    try:
        lengths = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        lengths = tuple(int(n) if int(n) == n else n for n in lengths)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(
            f"shape must be an integer or a sequence of integers, not {shape!r}"
        ) from error
    if any(not isinstance(n, int) for n in lengths):
        raise InvalidTypeError(f"shape must hold integers, not {shape!r}")
    if any(n < 0 for n in lengths):
        raise InvalidError(f"shape can't hold negative lengths: {shape!r}")
    check_size(lengths)
    return lengths


def _fill(fill_value: Any, dtype: Any) -> Any:
    """0 means the zero of the dtype: empty text, NaT, False."""
    if isinstance(fill_value, int) and fill_value == 0:
        try:
            kind = kind_of(as_dtype(dtype))
        except TypeError:
            kind = "T"
        if kind not in "biufc":
            return None
    return fill_value


def _differs(session: Session, document: dict[str, Any]) -> bool:
    mine = session.array().document
    return any(mine[k] != document[k] for k in ("shape", "data_type"))
