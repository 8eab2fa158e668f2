"""New arrays: from what a user says to a complete Zarr v3 document."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec, BytesBytesCodec
from zarr.dtype import VariableLengthBytes, VariableLengthUTF8, ZDType, parse_dtype
from zarr.registry import get_codec_class

from hubzarr.codecs.zarr_chain import ArrayV3Metadata, quiet
from hubzarr.dtypes import kind_of
from hubzarr.errors import HubzarrError, InvalidError, InvalidTypeError, UnsupportedError
from hubzarr.zarr_types import register

__all__ = ["array_document", "data_type_of", "default_codecs"]

register()

type CodecLike = str | Mapping[str, Any] | Sequence[Any] | Any | None

_CRC: Final = {"name": "crc32c"}
_LITTLE: Final = {"name": "bytes", "configuration": {"endian": "little"}}
_LEVELS: Final = {"zstd": (3, -131072, 22), "lz4": (5, 0, 9), "blosc": (5, 0, 9), "gzip": (5, 0, 9)}
_SERIALIZERS: Final[dict[type, str]] = {
    VariableLengthUTF8: "vlen-utf8",
    VariableLengthBytes: "vlen-bytes",
}


def data_type_of(dtype: Any) -> ZDType[Any, Any]:
    """Return zarr's data type for anything that names a dtype."""
    if isinstance(dtype, ZDType):
        return dtype
    if dtype is str:
        dtype = np.dtypes.StringDType()
    try:
        # numpy warns about units; zarr decides whether it can store them
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            parsed: ZDType[Any, Any] = parse_dtype(dtype, zarr_format=3)
    except Exception as cause:
        raise InvalidTypeError(
            f"dtype {dtype!r} can't be stored: {cause}; expected a bool, number, datetime, "
            "timedelta, fixed or variable string, bytes, structured dtype, or bfloat16",
            dtype=str(dtype),
        ) from cause
    native = parsed.to_native_dtype()
    # documents know no byte order; the codec `bytes` has it
    if native.kind not in "TO" and native != native.newbyteorder("="):
        return data_type_of(native.newbyteorder("="))
    return parsed


def default_codecs(
    dtype: Any,
    codec: CodecLike = "zstd",
    inner_shape: tuple[int, ...] | None = None,
    shard_shape: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """Return the parts of a `zarr.json` that say how chunks are laid out and encoded.

    Parameters
    ----------
    dtype
        Anything that `numpy.dtype` takes, `str` for strings of any length, or a zarr
        data type.
    codec : str, mapping, zarr codec, sequence of these, or None
        ``"zstd"``, ``"lz4"``, ``"blosc"``, ``"gzip"``, with a level as in ``"zstd:9"``,
        or ``"none"``. Anything else as Zarr v3 writes codecs. A CRC-32C is added,
        unless a sequence holds the whole chain from array to bytes already.
    inner_shape : tuple of int
        Shape of the chunks.
    shard_shape : tuple of int, optional
        Shape of the shards that hold them.

    Returns
    -------
    dict
        With the keys ``codecs`` and, if `inner_shape` is given, ``chunk_grid``.

    Examples
    --------
    >>> from hubzarr.codecs import default_codecs
    >>> [codec["name"] for codec in default_codecs("uint8", "lz4")["codecs"]]
    ['bytes', 'blosc', 'crc32c']
    """
    data_type = data_type_of(dtype)
    chain = _chain(codec, data_type)
    pieces: dict[str, Any] = {"codecs": chain}
    if shard_shape is not None:
        sharding = {
            "chunk_shape": list(inner_shape or ()),
            "codecs": chain,
            "index_codecs": [_LITTLE, _CRC],
            "index_location": "end",
        }
        pieces["codecs"] = [{"name": "sharding_indexed", "configuration": sharding}]
    outer = inner_shape if shard_shape is None else shard_shape
    if outer is not None:
        configuration = {"chunk_shape": list(outer)}
        pieces["chunk_grid"] = {"name": "regular", "configuration": configuration}
    return pieces


def _chain(codec: CodecLike, data_type: ZDType[Any, Any]) -> list[dict[str, Any]]:
    """Return the codecs of one chunk, completed by a serializer and a checksum."""
    given = codec if isinstance(codec, list | tuple) else [codec]
    filters: list[dict[str, Any]] = []
    serializer: dict[str, Any] | None = None
    compressors: list[dict[str, Any]] = []
    for item in given:
        document = _codec_document(item, data_type)
        if document is None:
            continue
        kind = _codec_class(document)
        if issubclass(kind, ArrayArrayCodec):
            filters.append(document)
        elif issubclass(kind, ArrayBytesCodec):
            serializer = document
        else:
            compressors.append(document)
    if serializer is not None:  # a whole chain is taken as it is
        return [*filters, serializer, *compressors]
    if not compressors or compressors[-1]["name"] != "crc32c":
        compressors.append(dict(_CRC))
    name = _SERIALIZERS.get(type(data_type))
    return [*filters, dict(_LITTLE) if name is None else {"name": name}, *compressors]


def _codec_document(item: Any, data_type: ZDType[Any, Any]) -> dict[str, Any] | None:
    if item is None:
        return None
    if isinstance(item, str):
        return _named_codec(item, data_type)
    if isinstance(item, ArrayArrayCodec | ArrayBytesCodec | BytesBytesCodec):
        document: dict[str, Any] = item.to_dict()
        return document
    if isinstance(item, Mapping) and isinstance(item.get("name"), str):
        return dict(item)
    raise InvalidTypeError(
        f"codec {item!r} is not known; expected 'zstd', 'lz4', 'blosc', 'gzip' or 'none', a "
        "codec from zarr.codecs, a mapping with 'name' and 'configuration', or a list of these"
    )


def _named_codec(text: str, data_type: ZDType[Any, Any]) -> dict[str, Any] | None:
    name, _, suffix = text.partition(":")
    if name == "none" and not suffix:
        return None
    if name not in _LEVELS:
        raise InvalidError(
            f"codec {text!r} is not known; expected 'zstd', 'lz4', 'blosc', 'gzip' or 'none', "
            "with a level after a colon as in 'zstd:9', or a codec from zarr.codecs"
        )
    level, lowest, highest = _LEVELS[name]
    if suffix:
        try:
            level = int(suffix)
        except ValueError:
            level = highest + 1
        if not lowest <= level <= highest:
            raise InvalidError(
                f"level {suffix!r} of codec {text!r} can't be; expected a whole number from "
                f"{lowest} to {highest}"
            )
    if name == "zstd":
        return {"name": "zstd", "configuration": {"level": level, "checksum": False}}
    if name == "gzip":
        return {"name": "gzip", "configuration": {"level": level}}
    return _blosc("lz4" if name == "lz4" else "zstd", level, data_type)


def _blosc(cname: str, level: int, data_type: ZDType[Any, Any]) -> dict[str, Any]:
    native = data_type.to_native_dtype()
    # strings of variable length are bytes without a stride; so are structs, nearly
    kind = kind_of(native)
    typesize = 1 if kind in "TOSV" else native.itemsize
    if kind == "U":
        typesize = 4
    configuration = {
        "typesize": min(typesize, 255),
        "cname": cname,
        "clevel": level,
        "shuffle": "shuffle" if typesize > 1 else "noshuffle",
        "blocksize": 0,
    }
    return {"name": "blosc", "configuration": configuration}


def _codec_class(document: Mapping[str, Any]) -> type:
    try:
        return get_codec_class(document["name"])
    except Exception as cause:
        raise UnsupportedError(
            f"codec {document['name']!r} is not installed: {cause}; install the package that has "
            "it or choose another codec"
        ) from cause


def array_document(
    shape: tuple[int, ...],
    dtype: Any,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
    *,
    codec: CodecLike = "zstd",
    fill_value: Any = None,
    attributes: Mapping[str, Any] | None = None,
    dimension_names: Sequence[str | None] | None = None,
) -> dict[str, Any]:
    """Return the whole `zarr.json` of a new array.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype, codec
        See `default_codecs`.
    chunks : tuple of int
        Shape of the chunks; inner chunks if there are shards.
    shards : tuple of int, optional
        Shape of the shards, a multiple of `chunks`.
    fill_value : optional
        Value of elements never written. Default: 0, False, "" or NaT.
    attributes : mapping, optional
        Attributes to store, as JSON takes them.
    dimension_names : sequence of str or None, optional
        A name for each axis.

    Raises
    ------
    InvalidTypeError
        `dtype` can't be stored.
    InvalidError
        `fill_value` can't be an element, or the shapes don't fit.

    Examples
    --------
    >>> from hubzarr.codecs import array_document
    >>> document = array_document((100, 28, 28), "uint8", chunks=(10, 28, 28))
    >>> document["chunk_key_encoding"]
    {'name': 'default', 'configuration': {'separator': '.'}}
    """
    data_type = data_type_of(dtype)
    _check_shapes(shape, chunks, shards)
    parts = default_codecs(data_type, codec, tuple(chunks), None if shards is None else shards)
    value = _fill_scalar(data_type, fill_value)
    try:
        with quiet():
            metadata = ArrayV3Metadata(
                shape=tuple(map(int, shape)),
                data_type=data_type,
                chunk_grid=parts["chunk_grid"],
                # one directory per write, not one per axis
                chunk_key_encoding={"name": "default", "separator": "."},
                fill_value=value,
                codecs=parts["codecs"],
                attributes=dict(attributes or {}),
                dimension_names=dimension_names,
            )
            document: dict[str, Any] = metadata.to_dict()
    except HubzarrError:
        raise
    except ImportError as cause:
        raise UnsupportedError(
            f"codec {codec!r} lacks a package: {cause}; install it or choose another codec"
        ) from cause
    except Exception as cause:
        raise InvalidError(
            f"an array of shape {shape}, dtype {dtype!r}, chunks {chunks}, shards {shards} and "
            f"codec {codec!r} can't be made: {cause}; change one of these"
        ) from cause
    as_json: dict[str, Any] = _as_json(document)
    return as_json


def _check_shapes(
    shape: Sequence[int], chunks: Sequence[int], shards: Sequence[int] | None
) -> None:
    if len(chunks) != len(shape) or (shards is not None and len(shards) != len(shape)):
        raise InvalidError(
            f"chunks {chunks} and shards {shards} don't fit shape {shape}; expected one number "
            "for each axis"
        )
    if prod(chunks) < 1 or min(chunks, default=1) < 1:
        raise InvalidError(f"chunks {chunks} can't be; expected numbers from 1 up")
    if shards is not None and any(
        outer < 1 or outer % inner for outer, inner in zip(shards, chunks, strict=True)
    ):
        raise InvalidError(
            f"shards {shards} are not whole multiples of chunks {chunks}; change either"
        )


def _fill_scalar(data_type: ZDType[Any, Any], fill_value: Any) -> Any:
    if fill_value is None:
        return data_type.default_scalar()
    dtype = data_type.to_native_dtype()
    reason: object
    try:
        if isinstance(fill_value, np.ndarray):
            fill_value = fill_value[()]
        with np.errstate(over="ignore"):
            scalar = data_type.cast_scalar(fill_value)
        if _is_kept(fill_value, scalar, kind_of(dtype)):
            return scalar
        reason = f"it would become {scalar!r}"
    except Exception as cause:
        reason = cause
    raise InvalidError(
        f"fill value {fill_value!r} can't be an element of dtype {dtype}: {reason}; pass a value "
        "of that type"
    )


def _is_kept(value: Any, scalar: Any, kind: str) -> bool:
    """Say whether a fill value kept its meaning as it became an element.

    Rounding of floats is fine, what zarr does besides is not: cutting off fractions,
    strings and times, and overflow to infinity.
    """
    if kind in "biu" and not isinstance(value, str | bytes):
        return bool(scalar == value)
    if kind in "fc" and not isinstance(value, str):
        return bool(np.isfinite(scalar)) or not np.isfinite(value)
    if (kind == "U" and isinstance(value, str)) or (kind == "S" and isinstance(value, bytes)):
        return bool(scalar == value)
    if kind == "M" and isinstance(value, str | np.datetime64) and not np.isnat(scalar):
        return bool(scalar == np.datetime64(value))
    if kind == "m" and isinstance(value, np.timedelta64) and not np.isnat(scalar):
        return bool(scalar == value)
    return kind != "V" or not isinstance(value, bytes) or len(value) <= scalar.itemsize


def _as_json(value: Any) -> Any:
    """Turn tuples into lists, as they come back from a file."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return value
