"""Walks over tables, block by block: which cells hold a chunk, and which differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hubzarr.table.tree import Block, Cell, Tree, overlap

if TYPE_CHECKING:
    from hubzarr.table.draft import TreeDraft

__all__ = ["differing_leaves", "written_blocks", "written_cells", "written_leaves"]


def written_blocks(draft: TreeDraft, start: Cell, stop: Cell) -> Iterator[tuple[Cell, Block]]:
    """Parts of a box of cells that hold any write id.

    Only pages that hold something are read, so an empty table of any size costs nothing. The
    table may change while this goes on; what changes then is seen or not.

    Yields
    ------
    first : tuple of int
        First cell of the part.
    ids : ndarray
        Its write ids, 0 where nothing was written.
    """
    block = draft.tree.block
    for index, rows in written_leaves(draft, start, stop):
        inside, _ = overlap(index, block, start, stop)
        ids = rows[inside]
        if ids.any():
            first = tuple(
                i * n + part.start for i, n, part in zip(index, block, inside, strict=True)
            )
            yield first, ids


def written_cells(draft: TreeDraft, start: Cell, stop: Cell) -> Iterator[Cell]:
    """Cells of a box that hold any write id, as `written_blocks` finds them."""
    for first, ids in written_blocks(draft, start, stop):
        for within in np.argwhere(ids).tolist():
            yield tuple(f + w for f, w in zip(first, within, strict=True))


def written_leaves(draft: TreeDraft, start: Cell, stop: Cell) -> Iterator[tuple[Cell, Block]]:
    """Leaves that may hold anything inside a box: (block coordinates, rows).

    Works for write ids and for statistics. Changed leaves come last.
    """
    tree, dirty = draft.tree, dict(draft.dirty)
    top = tree.levels - 1
    yield from _leaves(tree, top, tree.root_block(), (0,) * len(start), start, stop, dirty)
    for index, rows in dirty.items():
        inside, _ = overlap(index, tree.block, start, stop)
        if all(part.start < part.stop for part in inside):
            yield index, rows


def _leaves(
    tree: Tree,
    level: int,
    block: Block,
    at: Cell,
    start: Cell,
    stop: Cell,
    skip: Mapping[Cell, Block],
) -> Iterator[tuple[Cell, Block]]:
    """Leaves below a block that hold anything and touch a box: (block coordinates, rows)."""
    if level == 0:
        if at not in skip and all(
            i * n < b and (i + 1) * n > a
            for i, n, a, b in zip(at, tree.block, start, stop, strict=True)
        ):
            yield at, block
        return
    span = tree.span(level)
    written = (block["hi"] != 0) | (block["lo"] != 0)
    touched = []
    for row in zip(*(axis.tolist() for axis in np.nonzero(written)), strict=True):
        below = tuple([i * n + r for i, n, r in zip(at, tree.block, row, strict=True)])
        if all(
            i * s < b and (i + 1) * s > a
            for i, s, a, b in zip(below, span, start, stop, strict=True)
        ):
            touched.append((below, block[row]))
    tree.fetch(ref for _, ref in touched)
    for below, ref in touched:
        child = tree.child(level - 1, ref)
        yield from _leaves(tree, level - 1, child, below, start, stop, skip)


def differing_leaves(a: Tree, b: Tree) -> Iterator[tuple[Cell, Block, Block]]:
    """Leaves whose rows may differ between two trees of one block shape.

    Yields block coordinates and the rows on both sides. Only pages whose references differ
    are read.
    """
    levels = max(a.levels, b.levels)
    a, b = a.lifted(levels, a.grid), b.lifted(levels, b.grid)
    if isinstance(a.root, bytes) and a.root == b.root:
        return
    yield from _differing(a, b, levels - 1, a.root_block(), b.root_block(), (0,) * len(a.block))


def _differing(
    a: Tree, b: Tree, level: int, rows_a: Block, rows_b: Block, at: Cell
) -> Iterator[tuple[Cell, Block, Block]]:
    if level == 0:
        if not np.array_equal(rows_a, rows_b):
            yield at, rows_a, rows_b
        return
    unlike = (rows_a["hi"] != rows_b["hi"]) | (rows_a["lo"] != rows_b["lo"])
    a.fetch([*rows_a[unlike], *rows_b[unlike]])
    for row in zip(*(axis.tolist() for axis in np.nonzero(unlike)), strict=True):
        below = tuple(i * n + r for i, n, r in zip(at, a.block, row, strict=True))
        yield from _differing(
            a, b, level - 1, a.child(level - 1, rows_a[row]), b.child(level - 1, rows_b[row]), below
        )
