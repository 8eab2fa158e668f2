"""From what stands in ``a[...]`` to work on chunks: pure functions over plain values."""

from __future__ import annotations

from hubzarr.indexing.blocks import blocks
from hubzarr.indexing.boxes import Piece, box_cells, box_pieces, split_box
from hubzarr.indexing.errors import IndexTypeError, InvalidIndexError
from hubzarr.indexing.maps import Affine, Box, Const, Gather, Map, Transform, identity
from hubzarr.indexing.plan import pieces
from hubzarr.indexing.transform import apply, apply_oindex, apply_vindex

__all__ = [
    "Affine",
    "Box",
    "Const",
    "Gather",
    "IndexTypeError",
    "InvalidIndexError",
    "Map",
    "Piece",
    "Transform",
    "apply",
    "apply_oindex",
    "apply_vindex",
    "blocks",
    "box_cells",
    "box_pieces",
    "identity",
    "pieces",
    "split_box",
]
