"""From an array's Zarr v3 document to its chunk codec and its chunk keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from zarr.abc.codec import Codec
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)
from zarr.dtype import UInt64, ZDType

from hubzarr.codecs.base import ChunkCodec
from hubzarr.codecs.compressors import Blosc, Compressor, Gzip, Zstd
from hubzarr.codecs.plain import PlainCodec
from hubzarr.codecs.shard import ABSENT, ShardCodec
from hubzarr.codecs.zarr_chain import ArrayV3Metadata, ZarrChain, chunk_spec, evolve, quiet
from hubzarr.dtypes import is_small_float
from hubzarr.errors import HubzarrError, InvalidError, UnsupportedError

__all__ = ["compile_codec", "compile_key"]

type Codecs = Sequence[Codec]


def compile_codec(document: Mapping[str, Any]) -> ChunkCodec:
    """Return the codec for the cells of an array.

    Parameters
    ----------
    document : mapping
        The array's `zarr.json`.

    Returns
    -------
    ChunkCodec
        A `ShardCodec` if the cells are shards. The same object for every document
        with equal data type, fill value, chunks and codecs.

    Raises
    ------
    InvalidError
        `document` is not that of a Zarr v3 array.
    UnsupportedError
        It names something that this installation does not know.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.codecs import array_document, compile_codec
    >>> document = array_document((6, 4), "int16", chunks=(3, 4))
    >>> codec = compile_codec(document)
    >>> chunk = np.arange(12, dtype="int16").reshape(3, 4)
    >>> (codec.decode(codec.encode(chunk)) == chunk).all()
    np.True_
    """
    try:
        parts = [document[key] for key in ("data_type", "chunk_grid", "fill_value", "codecs")]
        key = json.dumps([*parts, document.get("storage_transformers") or []], sort_keys=True)
    except (KeyError, TypeError, ValueError) as cause:
        raise InvalidError(
            f"not the document of a Zarr v3 array: {cause!r} is missing or is not JSON; pass the "
            "whole zarr.json"
        ) from cause
    return _compile(key)


@lru_cache(maxsize=1024)
def _compile(key: str) -> ChunkCodec:
    data_type, grid, fill_value, codecs, transformers = json.loads(key)
    if transformers:
        raise UnsupportedError(
            f"the array uses storage transformers {transformers!r}, which hubzarr does not know; "
            "copy it without them"
        )
    shape = _cell_shape(grid)
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": grid,
        "chunk_key_encoding": {"name": "default"},
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": {},
    }
    try:
        with quiet():
            metadata = ArrayV3Metadata.from_dict(document)
            return _build(metadata.codecs, shape, metadata.data_type, metadata.fill_value)
    except HubzarrError:
        raise
    except Exception as cause:  # zarr and codec packages raise what they like
        raise UnsupportedError(
            f"can't use data type {data_type!r}, fill value {fill_value!r} and codecs {codecs!r}: "
            f"{cause}; expected what the installed zarr can open: install the codec's package or "
            "a newer zarr"
        ) from cause


def _cell_shape(grid: Any) -> tuple[int, ...]:
    if isinstance(grid, Mapping) and grid.get("name") == "regular":
        return tuple(map(int, grid["configuration"]["chunk_shape"]))
    raise UnsupportedError(
        f"chunk grid {grid!r} is not regular; hubzarr reads chunks that all have one shape: copy "
        "the array with regular chunks"
    )


def _build(
    codecs: Codecs, shape: tuple[int, ...], data_type: ZDType[Any, Any], fill_value: Any
) -> ChunkCodec:
    """Return the tightest codec for a chain."""
    native = data_type.to_native_dtype()
    dtype = native if native.kind in "TO" else native.newbyteorder("=")
    chain = evolve(codecs, chunk_spec(shape, data_type, fill_value))
    fitted = [codec for codec, _ in chain]
    if len(fitted) == 1 and type(fitted[0]) is ShardingCodec:
        shard = _build_shard(fitted[0], shape, data_type, fill_value)
        if shard is not None:
            return shard
    plain = None if dtype.hasobject or dtype.kind == "T" else _plain(fitted, shape, dtype)
    if plain is None:
        return ZarrChain(shape, dtype, fill_value, chain)
    return PlainCodec(shape, dtype, fill_value, **plain)


def _build_shard(
    sharding: ShardingCodec, shape: tuple[int, ...], data_type: ZDType[Any, Any], fill_value: Any
) -> ShardCodec | None:
    inner = _build(sharding.codecs, tuple(sharding.chunk_shape), data_type, fill_value)
    grid = tuple(outer // inside for outer, inside in zip(shape, inner.shape, strict=True))
    unsigned = UInt64(endianness="little")
    index = _build(sharding.index_codecs, (*grid, 2), unsigned, np.uint64(ABSENT))
    if not isinstance(index, PlainCodec) or index.compressed:
        return None
    at_end = str(sharding.index_location) == "end"
    return ShardCodec(shape, inner.dtype, fill_value, inner=inner, index=index, index_at_end=at_end)


def _plain(codecs: Codecs, shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """Return the arguments of `PlainCodec`, or None if the chain is not such."""
    rest: list[Any] = list(codecs)
    order = tuple(range(len(shape)))
    while rest and type(rest[0]) is TransposeCodec:
        order = tuple(order[axis] for axis in rest.pop(0).order)
    serializer = rest.pop(0)
    if type(serializer) is not BytesCodec:
        return None
    endian = serializer.endian
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    compressor = _compressor(rest[0], nbytes) if rest else None
    if compressor is not None:
        rest.pop(0)
    checksum = bool(rest) and type(rest[0]) is Crc32cCodec
    if len(rest) != checksum:
        return None
    stored_dtype = dtype if endian is None else _ordered(dtype, endian)
    return {"compressor": compressor, "checksum": checksum, "order": order,
            "stored_dtype": stored_dtype}  # fmt: skip


def _ordered(dtype: np.dtype[Any], endian: str) -> np.dtype[Any]:
    """A dtype in a byte order; ml_dtypes has its dtypes in that of the machine only."""
    if is_small_float(dtype) and endian != sys.byteorder:
        raise UnsupportedError(
            f"{dtype} stored {endian}-endian, which ml_dtypes doesn't know; copy the array with "
            f"the codec bytes, endian={sys.byteorder!r}"
        )
    return dtype.newbyteorder(endian)  # type: ignore[arg-type]


def _compressor(codec: Codec, nbytes: int) -> Compressor | None:
    # exact types: a class that someone registered in place of zarr's is left to itself
    if type(codec) is ZstdCodec:
        return Zstd(nbytes, codec.level, codec.checksum)
    if type(codec) is BloscCodec:
        return Blosc(nbytes, codec.to_dict()["configuration"])  # type: ignore[arg-type]
    if type(codec) is GzipCodec:
        return Gzip(nbytes, codec.level)
    return None


_DEFAULT_SEPARATORS: Final = {"default": "/", "v2": "."}


def compile_key(document: Mapping[str, Any]) -> Callable[[tuple[int, ...]], str]:
    """Return the function from a cell of an array to its Zarr key.

    Parameters
    ----------
    document : mapping
        The array's `zarr.json`.

    Examples
    --------
    >>> from hubzarr.codecs import array_document, compile_key
    >>> key = compile_key(array_document((6, 4), "int16", chunks=(3, 4)))
    >>> key((1, 0))
    'c.1.0'
    """
    encoding = document["chunk_key_encoding"]
    if isinstance(encoding, str):
        encoding = {"name": encoding}
    name = encoding["name"]
    configuration = encoding.get("configuration") or {}
    separator = configuration.get("separator", _DEFAULT_SEPARATORS.get(name))
    ndim = len(document["shape"])
    if separator not in ("/", ".") or name not in _DEFAULT_SEPARATORS:
        raise UnsupportedError(
            f"chunk key encoding {encoding!r} is not known; expected 'default' or 'v2' with the "
            "separator '/' or '.': copy the array with one of these"
        )
    fields = ["%d"] * ndim
    template = str(separator).join(["c", *fields] if name == "default" else fields)
    return (template or "0").__mod__
