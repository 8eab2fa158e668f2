"""Codec chains that have no tight path, run by zarr's own codec classes.

Strings of variable length, filters, casts and codecs from other packages come here.
Every name that zarr does not promise to keep is imported in this module only.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Buffer, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from zarr.abc.codec import Codec, SupportsSyncCodec
from zarr.buffer import cpu, default_buffer_prototype
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.core.sync import sync
from zarr.dtype import ZDType
from zarr.errors import UnstableSpecificationWarning

from hubzarr.codecs.base import Array, ChunkCodec
from hubzarr.errors import DamagedError, HubzarrError, InvalidError

__all__ = ["ArrayV3Metadata", "ZarrChain", "chunk_spec", "evolve", "quiet"]

_quiet_lock = threading.Lock()


def _renew_lock() -> None:
    # in a forked child nobody is left who would release it
    global _quiet_lock
    _quiet_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back zarr's warning that the spec of a data type may still change.

    The lock is there because `catch_warnings` swaps a global.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        yield


def chunk_spec(shape: tuple[int, ...], dtype: ZDType[Any, Any], fill_value: Any) -> ArraySpec:
    """Describe a chunk to zarr's codecs."""
    config = ArrayConfig(order="C", write_empty_chunks=False)
    return ArraySpec(shape, dtype, fill_value, config, default_buffer_prototype())


def evolve(codecs: Sequence[Codec], spec: ArraySpec) -> list[tuple[Codec, ArraySpec]]:
    """Fit each codec to the spec that it will see; return them with these specs."""
    chain = []
    for codec in codecs:
        fitted = codec.evolve_from_array_spec(spec)
        chain.append((fitted, spec))
        spec = fitted.resolve_metadata(spec)
    return chain


class ZarrChain(ChunkCodec):
    """Any codec chain that zarr knows, one chunk at a time.

    Parameters
    ----------
    shape, dtype, fill_value
        See `ChunkCodec`.
    chain
        Result of `evolve`.
    """

    __slots__ = ("_chain",)

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        fill_value: Any,
        chain: Sequence[tuple[Codec, ArraySpec]],
    ) -> None:
        super().__init__(shape, dtype, fill_value)
        self._chain: list[tuple[Any, ArraySpec, bool]] = [
            (codec, spec, _is_sync(codec)) for codec, spec in chain
        ]

    def encode(self, array: Array) -> bytes:
        """Return the bytes to store; see `ChunkCodec.encode`."""
        self._check(array)
        value: Any = cpu.NDBuffer.from_numpy_array(array)
        for codec, spec, is_sync in self._chain:
            try:
                if is_sync:
                    value = codec._encode_sync(value, spec)
                else:
                    value = sync(codec._encode_single(value, spec))
            except HubzarrError:
                raise
            except Exception as cause:
                raise InvalidError(
                    f"codec {_name(codec)!r} can't encode the chunk: {cause}; write values that "
                    "it can hold or choose another codec"
                ) from cause
        encoded: bytes = value.to_bytes()
        return encoded

    def decode_into(self, data: Buffer, out: Array) -> None:
        """Decode into `out`; see `ChunkCodec.decode_into`."""
        self._check(out)
        out[...] = self._decode(data)

    def decode(self, data: Buffer) -> Array:
        """Decode into a new array; see `ChunkCodec.decode`."""
        return self._decode(data).astype(self.dtype, order="C")

    def _decode(self, data: Buffer) -> Array:
        value: Any = cpu.Buffer.from_bytes(data)  # type: ignore[arg-type]
        for codec, spec, is_sync in reversed(self._chain):
            try:
                if is_sync:
                    value = codec._decode_sync(value, spec)
                else:
                    value = sync(codec._decode_single(value, spec))
            except Exception as cause:
                raise DamagedError(
                    f"codec {_name(codec)!r} can't decode the chunk: {cause}", codec=_name(codec)
                ) from cause
        array: Array = np.asarray(value.as_numpy_array())
        if array.shape != self.shape:
            raise DamagedError(
                f"a chunk of shape {array.shape} was decoded; expected {self.shape}",
                codec=_name(self._chain[0][0]),
            )
        return array


def _is_sync(codec: Codec) -> bool:
    return isinstance(codec, SupportsSyncCodec) and getattr(codec, "_sync_capable", True)


def _name(codec: Codec) -> str:
    document: Mapping[str, Any] = codec.to_dict()
    return str(document.get("name", type(codec).__name__))
