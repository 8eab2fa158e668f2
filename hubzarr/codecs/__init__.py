"""Chunks to bytes and back, exactly as Zarr v3 specifies them.

`array_document` makes the `zarr.json` of a new array, `compile_codec` and
`compile_key` turn such a document into what reading and writing need. The usual
codecs take a short path of our own, the others go through zarr's codec classes.
"""

from hubzarr.codecs.base import ChunkCodec
from hubzarr.codecs.compile import compile_codec, compile_key
from hubzarr.codecs.document import array_document, default_codecs
from hubzarr.codecs.layout import auto_chunks
from hubzarr.codecs.shard import ABSENT, ShardCodec

__all__ = [
    "ABSENT",
    "ChunkCodec",
    "ShardCodec",
    "array_document",
    "auto_chunks",
    "compile_codec",
    "compile_key",
    "default_codecs",
]
