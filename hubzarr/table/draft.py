"""Changes on top of a tree, before they become pages."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Final

import numpy as np

from hubzarr.table.pages import Pack, encode_rows
from hubzarr.table.tree import (
    Block,
    Cell,
    Tree,
    block_indices,
    encode_block,
    levels_for,
    overlap,
)
from hubzarr.table.walk import written_leaves

__all__ = ["TreeDraft"]

#: A root of at most this many bytes lives in the manifest, a larger one in a page.
INLINE: Final = 4096


class TreeDraft:
    """A tree plus changed leaves, each a writable copy of a block of rows.

    Parameters
    ----------
    tree : Tree
        What the changes are on top of; never modified.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.dirty: dict[Cell, Block] = {}
        #: Changed leaves that a frozen tree shows too: copied before they change again.
        self._shared: set[Cell] = set()

    def copy(self) -> TreeDraft:
        """The same changes, apart from these."""
        twin = TreeDraft(self.tree)
        twin.dirty = {index: rows.copy() for index, rows in self.dirty.items()}
        return twin

    def leaf(self, index: Cell) -> Block:
        """The rows of a block for reading."""
        rows = self.dirty.get(index)
        return self.tree.leaf(index) if rows is None else rows

    def own_leaf(self, index: Cell) -> Block:
        """The rows of a block for writing."""
        rows = self.dirty.get(index)
        if rows is None:
            rows = self.dirty[index] = self.tree.leaf(index).copy()
        elif index in self._shared:
            rows = self.dirty[index] = rows.copy()
            self._shared.discard(index)
        return rows

    def get(self, cell: Cell) -> Any:
        """The row of one cell."""
        if not self.dirty:
            return self.tree.get(cell)
        block = self.tree.block
        index = tuple([c // b for c, b in zip(cell, block, strict=True)])
        return self.leaf(index)[tuple([c % b for c, b in zip(cell, block, strict=True)])]

    def set(self, cell: Cell, row: Any) -> None:
        """Set the row of one cell."""
        block = self.tree.block
        index = tuple([c // b for c, b in zip(cell, block, strict=True)])
        self.own_leaf(index)[tuple([c % b for c, b in zip(cell, block, strict=True)])] = row

    def read_box(self, start: Cell, stop: Cell) -> Block:
        """The rows of all cells in a box."""
        shape = tuple(max(0, b - a) for a, b in zip(start, stop, strict=True))
        out = self.tree.kind.empty(0, shape)
        for index in block_indices(start, stop, self.tree.block):
            inside, outside = overlap(index, self.tree.block, start, stop)
            out[outside] = self.leaf(index)[inside]
        return out

    def set_box(self, start: Cell, stop: Cell, rows: Any) -> None:
        """Set all rows of a box: to one row, or to an array of the box's shape."""
        per_cell = np.ndim(rows) == len(start) + (self.tree.kind.channels > 0)
        for index in block_indices(start, stop, self.tree.block):
            inside, outside = overlap(index, self.tree.block, start, stop)
            self.own_leaf(index)[inside] = rows[outside] if per_cell else rows

    def resize(self, grid: Cell) -> None:
        """Change the grid; rows that fall outside are emptied, so that they stay empty."""
        old = self.tree.grid
        levels = levels_for(grid, self.tree.block)
        if levels is None or any(g < o for g, o in zip(grid, old, strict=True)):
            self._empty_outside(old, grid)
        self.tree = self.tree.lifted(max(levels or 1, self.tree.levels), grid)

    def _empty_outside(self, old: Cell, grid: Cell) -> None:
        for axis, (before, after) in enumerate(zip(old, grid, strict=True)):
            if after < before:
                start = tuple(after if d == axis else 0 for d in range(len(old)))
                # Only what holds anything: the grid may be larger than any memory.
                for index, _ in written_leaves(self, start, old):
                    inside, _ = overlap(index, self.tree.block, start, old)
                    self.own_leaf(index)[inside] = np.zeros((), self.tree.kind.leaf.base)

    def freeze(self, pack: Pack) -> Tree:
        """The tree with the changes in it; its new pages go into `pack`.

        The result knows its new blocks (`Tree.held`) though no store holds them yet.
        """
        tree = self.tree
        if not self.dirty and not tree.lifted_levels and tree.text is not None:
            return tree
        held: dict[bytes, Block] = {}
        self._shared = set(self.dirty)
        first = (0,) * len(tree.block)
        blocks: dict[Cell, Block] = self.dirty
        for level in range(tree.levels - 1):
            if level in tree.lifted_levels and first not in blocks:
                blocks = {**blocks, first: tree.block_at(level, first)}
            parents: dict[Cell, Block] = {}
            for index, block in blocks.items():
                up = tuple([i // n for i, n in zip(index, tree.block, strict=True)])
                parent = parents.get(up)
                if parent is None:
                    parent = parents[up] = tree.block_at(level + 1, up).copy()
                extent, whole = _extent(tree, level, index)
                ref, address = encode_block(tree.kind, level, block, extent, whole, pack)
                if address is not None:
                    held[address] = block
                parent[tuple([i % n for i, n in zip(index, tree.block, strict=True)])] = ref
            blocks = parents
        root = blocks[first].copy() if first in blocks else tree.root_block()
        text, address = _root_text(tree, root, pack)
        if address is not None:
            held[address] = root
        return replace(tree, root=root, held=held, text=text, lifted_levels=frozenset(), _leaves={})


def _root_text(tree: Tree, root: Block, pack: Pack) -> tuple[str, bytes | None]:
    """A root as a manifest has it: small ones inline, others as the address of a page."""
    extent, _ = _extent(tree, tree.levels - 1, (0,) * len(tree.block))
    data = encode_rows(root[tuple(slice(n) for n in extent)])
    if len(data) <= INLINE:
        return "data:" + base64.b64encode(data).decode(), None
    address = pack.add(data)
    return "page:" + address.hex(), address


def _extent(tree: Tree, level: int, index: Cell) -> tuple[Cell, bool]:
    """Rows of a block that lie inside the grid, and whether all of its cells do."""
    extent, whole = [], True
    for i, n, s, grid in zip(index, tree.block, tree.span(level), tree.grid, strict=True):
        room = grid - i * n * s
        extent.append(max(0, min(n, -(-room // s))))
        whole = whole and room >= n * s
    return tuple(extent), whole
