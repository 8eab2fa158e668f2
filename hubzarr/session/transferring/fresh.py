"""Blocks of a tree that older trees don't have: found without looking at what they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hubzarr.table.tree import Block, Cell, Tree, page_of

__all__ = ["fresh_leaves", "fresh_pages"]

#: A block of a tree: its level, its block coordinates, the address of its page if it has one.
type Place = tuple[int, Cell, bytes | None]


def fresh_pages(tree: Tree, olds: Sequence[Tree]) -> Iterator[bytes]:
    """Addresses of the pages of a tree that none of some older trees has at the same place.

    Leaves are not read: their addresses stand in the level above.
    """
    for (_, _, address), _, _ in _fresh(tree, olds, leaves=False):
        if address is not None:
            yield address


def fresh_leaves(
    tree: Tree, olds: Sequence[Tree], addresses: list[bytes]
) -> Iterator[tuple[Cell, Block, Block]]:
    """Leaves that none of some older trees has at the same place.

    Parameters
    ----------
    addresses : list of bytes
        Takes what `fresh_pages` yields.

    Yields
    ------
    first : tuple of int
        First cell of the leaf.
    rows : ndarray
    new : ndarray of bool
        Where the rows are not zero, and unlike those of every older tree.
    """
    for (level, at, address), block, known in _fresh(tree, olds, leaves=True):
        if address is not None:
            addresses.append(address)
        if level == 0 and block is not None:
            new = block != 0
            for old in known:
                new &= block != old
            if new.any():
                yield tuple(i * n for i, n in zip(at, tree.block, strict=True)), block, new


def _fresh(
    tree: Tree, olds: Sequence[Tree], leaves: bool
) -> Iterator[tuple[Place, Block | None, list[Block]]]:
    """Blocks that differ from those of all older trees, and theirs at the same place."""
    top = tree.levels - 1
    root = tree.root if isinstance(tree.root, bytes) else None
    # Blocks of another shape hold other rows: nothing of such a tree is shared.
    like = [_as_high(old, tree) for old in olds if old.block == tree.block]
    if root is not None and any(old.root == root for old in olds if isinstance(old.root, bytes)):
        return
    if top == 0 and not leaves:
        if root is not None:
            yield (0, (0,) * len(tree.block), root), None, []
        return
    known = [(old, old.block_at(top, (0,) * len(old.block))) for old in like]
    at = (0,) * len(tree.block)
    yield from _below(tree, (top, at, root), tree.root_block(), known, leaves)


def _as_high(old: Tree, tree: Tree) -> Tree:
    return old.lifted(tree.levels, old.grid) if old.levels < tree.levels else old


def _below(
    tree: Tree, place: Place, block: Block, known: list[tuple[Tree, Block]], leaves: bool
) -> Iterator[tuple[Place, Block | None, list[Block]]]:
    yield place, block, [rows for _, rows in known]
    level, at, _ = place
    if level == 0:
        return
    new = (block["hi"] != 0) | (block["lo"] != 0)
    for _, rows in known:
        new &= (block["hi"] != rows["hi"]) | (block["lo"] != rows["lo"])
    read = leaves or level > 1
    if read:
        tree.fetch(block[new])
        for old, rows in known:
            old.fetch(rows[new])
    for row in zip(*(axis.tolist() for axis in np.nonzero(new)), strict=True):
        ref: Any = block[row]
        under = tuple(i * n + r for i, n, r in zip(at, tree.block, row, strict=True))
        place = level - 1, under, page_of(ref)
        if read:
            older = [(old, old.child(level - 1, rows[row])) for old, rows in known]
            yield from _below(tree, place, tree.child(level - 1, ref), older, leaves)
        else:
            yield place, None, []
