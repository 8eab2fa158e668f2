"""A persistent tree over an N-d grid: what a chunk table and its statistics are stored in.

The grid's cells are cut into *blocks* of one fixed shape (at most 256 cells). A leaf page
holds the rows of one block of cells; a page one level up holds the references of one block
of leaves, and so on, until one block covers the grid: the root, which lives in the
manifest. Changing k cells therefore rewrites at most ``k * levels`` small pages, and
everything else is shared with the version before.

A reference is two 64-bit words. ``(0, 0)`` is a block never written. ``(0, x)`` is a block
inside the grid whose every row is ``x`` (one write stored all of it; only in trees of write
ids). Anything else is the address of a page. In a tree of statistics each reference also
carries the combined statistics of all the cells below it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import Any, Final

import numpy as np

from hubzarr.errors import DamagedError
from hubzarr.stats import combine
from hubzarr.table.pages import Pack, encode_rows
from hubzarr.table.reader import PageReader

__all__ = [
    "Block",
    "Cell",
    "Kind",
    "Root",
    "Tree",
    "block_indices",
    "block_shape",
    "encode_block",
    "levels_for",
    "overlap",
    "page_of",
]

type Cell = tuple[int, ...]
type Block = np.ndarray[Any, Any]
#: A root: its decoded block, or the address of the page that holds it.
type Root = Block | bytes

BLOCK_CELLS: Final = 256
#: Leaves whose pages are read at the same time.
LEAVES_AT_ONCE: Final = 512
#: Bytes of decoded leaves kept per tree for repeated look-ups.
LEAVES_KEPT: Final = 8 << 20


def block_shape(grid: Cell) -> Cell:
    """Shape of a block for a new table: a power of two per axis, 256 cells in all.

    Axes get cells in proportion to their extent; what is left over goes to axis 0, the one
    that appends lengthen.

    Examples
    --------
    >>> block_shape((1_000_000, 1, 1, 1)), block_shape((64, 64)), block_shape((0, 1))
    ((256, 1, 1, 1), (16, 16), (256, 1))
    >>> block_shape((6000, 2))
    (128, 2)
    """
    # More levels cover more cells only along axes on which a block has at least two.
    block = [2 if extent > 1 else 1 for extent in grid]
    while block and math.prod(block) < BLOCK_CELLS:
        room = [extent / size for extent, size in zip(grid, block, strict=True)]
        axis = max(range(len(grid)), key=lambda d: (room[d] if room[d] > 1 else 0.0, -d))
        block[axis] *= 2
    return tuple(block)


def levels_for(grid: Cell, block: Cell) -> int | None:
    """How many levels of `block` cover `grid`; None when an axis of extent 1 never will."""
    levels = 1
    for extent, size in zip(grid, block, strict=True):
        if size == 1:
            if extent > 1:
                return None
            continue
        need, covered = 1, size
        while covered < extent:
            covered *= size
            need += 1
        levels = max(levels, need)
    return levels


@dataclass(frozen=True, slots=True)
class Kind:
    """What the rows of a tree are: write ids, or statistics of one row per channel."""

    leaf: np.dtype[Any]
    inner: np.dtype[Any]
    channels: int  # 0 for write ids

    @classmethod
    def ids(cls) -> Kind:
        return cls(np.dtype("<u8"), np.dtype([("hi", "<u8"), ("lo", "<u8")]), 0)

    @classmethod
    def statistics(cls, rows: np.dtype[Any], channels: int) -> Kind:
        leaf = np.dtype((rows, (channels,)))
        inner = np.dtype([("hi", "<u8"), ("lo", "<u8"), ("roll", rows, (channels,))])
        return cls(leaf, inner, channels)

    def empty(self, level: int, shape: Cell) -> Block:
        if level:
            return np.zeros(shape, self.inner)
        return np.zeros(shape, self.leaf)  # sub-array dtypes become a trailing axis


@dataclass(frozen=True, slots=True)
class Tree:
    """One immutable state of a tree.

    Parameters
    ----------
    reader : PageReader
        Where pages come from.
    kind : Kind
        What the rows are.
    grid, block : tuple of int
        Extent of the grid in cells; shape of a block.
    levels : int
        Levels of pages, 1 or more; the root is at level ``levels - 1``.
    root : ndarray or bytes
        The root block, or its page's address.
    """

    reader: PageReader
    kind: Kind
    grid: Cell
    block: Cell
    levels: int
    root: Root
    #: Blocks that no store may hold yet, by address.
    held: dict[bytes, Block] = field(default_factory=dict, compare=False, repr=False)
    #: Levels at which the first block stands in `held` only, under a name without a pack:
    #: roots that growth has put other roots on top of.
    lifted_levels: frozenset[int] = frozenset()
    #: The root as the manifest has it.
    text: str | None = None
    _leaves: dict[Cell, Block] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def new(cls, reader: PageReader, kind: Kind, grid: Cell, block: Cell) -> Tree:
        levels = levels_for(grid, block) or 1
        return cls(reader, kind, grid, block, levels, kind.empty(levels - 1, block))

    # -- blocks --------------------------------------------------------------

    def span(self, level: int) -> Cell:
        """Cells covered per axis by one row of a block at `level`."""
        return tuple(size**level for size in self.block)

    def root_block(self) -> Block:
        root = self.root
        return self._page(root) if isinstance(root, bytes) else root

    def _page(self, address: bytes) -> Block:
        held = self.held.get(address)
        return self._pad(self.reader.rows(address)) if held is None else held

    def child(self, level: int, ref: Any) -> Block:
        """The block at `level` that `ref` (a row of the level above) points to."""
        address = page_of(ref)
        if address is not None:
            return self._page(address)
        block = self.kind.empty(level, self.block)
        lo = int(ref["lo"])
        if lo:
            if level:
                block["lo"] = lo
            else:
                block[...] = lo
        return block

    def _pad(self, rows: Block) -> Block:
        nd = len(self.block)
        if rows.shape[:nd] == self.block:
            return rows
        if rows.ndim < nd or any(a > b for a, b in zip(rows.shape[:nd], self.block, strict=True)):
            raise DamagedError(
                f"a page of a chunk table has shape {rows.shape}, more than its block {self.block}"
            )
        full = np.zeros(self.block + rows.shape[nd:], rows.dtype)
        full[tuple(slice(n) for n in rows.shape[:nd])] = rows
        return full

    def block_at(self, level: int, index: Cell) -> Block:
        """The block at `level` with block coordinates `index`."""
        block = self.root_block()
        for at in range(self.levels - 1, level, -1):
            step = at - level - 1
            row = tuple((i // size**step) % size for i, size in zip(index, self.block, strict=True))
            ref = block[row]
            if not (ref["hi"] or ref["lo"]):
                return self.kind.empty(level, self.block)
            block = self.child(at - 1, ref)
        return block

    def leaf(self, index: Cell) -> Block:
        """The rows of the block of cells at `index`, read-only; kept for the next look-up."""
        rows = self._leaves.get(index)
        if rows is None:
            rows = self.block_at(0, index)
            if len(self._leaves) * rows.nbytes >= LEAVES_KEPT:
                self._leaves.clear()
            self._leaves[index] = rows
        return rows

    # -- reading -------------------------------------------------------------

    def get(self, cell: Cell) -> Any:
        """The row of one cell."""
        block = self.block
        if len(cell) == 1:
            return self.leaf((cell[0] // block[0],))[cell[0] % block[0]]
        index = tuple([c // b for c, b in zip(cell, block, strict=True)])
        return self.leaf(index)[tuple([c % b for c, b in zip(cell, block, strict=True)])]

    def read_box(self, start: Cell, stop: Cell) -> Block:
        """The rows of all cells in a box, as an array of the box's shape."""
        shape = tuple(max(0, b - a) for a, b in zip(start, stop, strict=True))
        out = self.kind.empty(0, shape)
        for batch in batched(block_indices(start, stop, self.block), LEAVES_AT_ONCE):
            self._fetch_leaves(batch)
            for index in batch:
                inside, outside = overlap(index, self.block, start, stop)
                out[outside] = self.leaf(index)[inside]
        return out

    def _fetch_leaves(self, indices: Sequence[Cell]) -> None:
        """Read the pages of several leaves, level by level, where requests are slow."""
        if self.reader.storage.is_local or len(indices) < 2:
            return
        wanted = [index for index in indices if index not in self._leaves]
        for level in range(self.levels - 1, 0, -1):
            if not wanted:
                return
            below = {
                tuple([i // n ** (level - 1) for i, n in zip(index, self.block, strict=True)])
                for index in wanted
            }
            refs = []
            for index in below:
                block = self.block_at(
                    level, tuple([i // n for i, n in zip(index, self.block, strict=True)])
                )
                refs.append(block[tuple([i % n for i, n in zip(index, self.block, strict=True)])])
            self.fetch(refs)

    def fetch(self, refs: Iterable[Any]) -> None:
        """Read the pages that references point to at the same time, where requests are slow."""
        if not self.reader.storage.is_local:
            self.reader.fetch(
                address for ref in refs if (address := page_of(ref)) and address not in self.held
            )

    def roll_box(self, start: Cell, stop: Cell) -> Block:
        """Combined statistics of all cells in a box: one row per channel."""
        parts: list[Block] = [np.zeros((1, self.kind.channels), self.kind.leaf.base)]
        if all(a < b for a, b in zip(start, stop, strict=True)):
            blocks = [((0,) * len(start), self.root_block())]
            for level in range(self.levels - 1, -1, -1):
                blocks = self._roll(level, blocks, start, stop, parts)
        return combine(np.concatenate(parts), axis=0)

    def _roll(
        self,
        level: int,
        blocks: list[tuple[Cell, Block]],
        start: Cell,
        stop: Cell,
        parts: list[Block],
    ) -> list[tuple[Cell, Block]]:
        """Add statistics of blocks of one level to `parts`; returns those that the box cuts.

        Blocks come with their first cells.
        """
        channels = self.kind.channels
        refs: list[tuple[Cell, Any]] = []
        for origin, block in blocks:
            if level == 0:
                part = block[overlap_at(origin, self.block, start, stop)]
                parts.append(part.reshape(-1, channels))
                continue
            whole, cut = self._children(level, origin, start, stop)
            if whole is not None:
                parts.append(block["roll"][whole].reshape(-1, channels))
            span = self.span(level)
            for row in cut:
                ref = block[row]
                if ref["hi"] or ref["lo"]:
                    below = tuple(o + r * s for o, r, s in zip(origin, row, span, strict=True))
                    refs.append((below, ref))
        self.fetch(ref for _, ref in refs)
        return [(below, self.child(level - 1, ref)) for below, ref in refs]

    def _children(
        self, level: int, origin: Cell, start: Cell, stop: Cell
    ) -> tuple[tuple[slice, ...] | None, list[Cell]]:
        """Rows of a block wholly inside a box, as one box of rows, and those it cuts."""
        whole: list[slice] = []
        touched: list[range] = []
        for o, size, s, a, b, extent in zip(
            origin, self.block, self.span(level), start, stop, self.grid, strict=True
        ):
            lo, hi = max(a - o, 0), min(b - o, size * s)
            # A row that hangs over the grid's edge counts as inside when the box reaches it.
            reach = hi if b < extent else math.ceil(max(hi, 0) / s) * s
            whole.append(slice(math.ceil(lo / s), max(reach // s, math.ceil(lo / s))))
            touched.append(range(lo // s, math.ceil(max(hi, 0) / s)))
        if any(w.start == w.stop for w in whole):
            return None, list(itertools.product(*touched))
        cut = [
            row
            for row in itertools.product(*touched)
            if not all(w.start <= r < w.stop for r, w in zip(row, whole, strict=True))
        ]
        return tuple(whole), cut

    def unknown_cells(self, start: Cell, stop: Cell) -> Iterator[Cell]:
        """Cells of a box that hold a chunk whose statistics are absent."""
        return self._unknown(self.levels - 1, self.root_block(), (0,) * len(start), start, stop)

    def _unknown(
        self, level: int, block: Block, origin: Cell, start: Cell, stop: Cell
    ) -> Iterator[Cell]:
        counts = (block["roll"]["unknown"] if level else block["unknown"]).any(axis=-1)
        span = self.span(level)
        if level:
            self.fetch(block[counts])
        for row in zip(*(axis.tolist() for axis in np.nonzero(counts)), strict=True):
            below = tuple(o + r * s for o, r, s in zip(origin, row, span, strict=True))
            if any(
                o >= b or o + s <= a for o, s, a, b in zip(below, span, start, stop, strict=True)
            ):
                continue
            if level == 0:
                yield below
            else:
                child = self.child(level - 1, block[row])
                yield from self._unknown(level - 1, child, below, start, stop)

    # -- walking -------------------------------------------------------------

    def walk(self) -> Iterator[tuple[int, Cell, Block, bytes | None]]:
        """All blocks that hold anything: (level, block coordinates, rows, page's address)."""
        root = self.root if isinstance(self.root, bytes) else None
        yield from self._walk(self.levels - 1, (0,) * len(self.block), self.root_block(), root)

    def _walk(
        self, level: int, at: Cell, block: Block, address: bytes | None
    ) -> Iterator[tuple[int, Cell, Block, bytes | None]]:
        yield level, at, block, address
        if level == 0:
            return
        filled = (block["hi"] != 0) | (block["lo"] != 0)
        self.fetch(block[filled])
        for row in zip(*(axis.tolist() for axis in np.nonzero(filled)), strict=True):
            ref = block[row]
            below = tuple(i * n + r for i, n, r in zip(at, self.block, row, strict=True))
            yield from self._walk(level - 1, below, self.child(level - 1, ref), page_of(ref))

    def written_leaves(self) -> Iterator[tuple[Cell, Block]]:
        """Blocks of cells that hold anything: (first cell, rows)."""
        for level, at, block, _ in self.walk():
            if level == 0:
                yield tuple(i * n for i, n in zip(at, self.block, strict=True)), block

    # -- growing -------------------------------------------------------------

    def lifted(self, levels: int, grid: Cell) -> Tree:
        """The same rows in a larger grid: with `levels` levels, new roots on top."""
        tree = replace(self, grid=grid, text=None, _leaves={})
        while tree.levels < levels:
            pack = Pack()
            below = tree.root_block()
            ref, address = encode_block(self.kind, tree.levels - 1, below, None, False, pack)
            held = tree.held if address is None else {**tree.held, address: below}
            root = self.kind.empty(tree.levels, self.block)
            root[(0,) * len(self.block)] = ref
            tree = replace(
                tree,
                levels=tree.levels + 1,
                root=root,
                held=held,
                lifted_levels=tree.lifted_levels | {tree.levels - 1},
                _leaves={},
            )
        return tree


def page_of(ref: Any) -> bytes | None:
    """Address of the page that a reference points to, if it is one of a page."""
    hi = int(ref["hi"])
    return hi.to_bytes(8, "big") + int(ref["lo"]).to_bytes(8, "big") if hi else None


def encode_block(
    kind: Kind,
    level: int,
    block: Block,
    extent: Cell | None,
    whole: bool | None,
    pack: Pack,
) -> tuple[Any, bytes | None]:
    """A block as a reference row and, unless the reference says it all, a page.

    Parameters
    ----------
    extent : tuple of int, optional
        Rows of the block that lie inside the grid; the others are not stored.
    whole : bool, optional
        Whether the block lies inside the grid entirely, so that it may become uniform.
    pack : Pack
        Where the page goes.

    Returns
    -------
    ref : structured scalar
    address : bytes or None
        Of the page, if there is one.
    """
    ref = np.zeros((), kind.inner)
    if kind.channels:
        rows = block["roll"] if level else block
        ref["roll"] = combine(rows.reshape(-1, kind.channels), axis=0)
    elif level == 0:
        first = block.flat[0]
        if (first == 0 or whole) and (block == first).all():
            ref["lo"] = first
            return ref, None
    if level:
        if not block["hi"].any():
            first = block["lo"].flat[0]
            if (first == 0 or whole) and (block["lo"] == first).all():
                ref["lo"] = first
                return ref, None
    elif kind.channels and not (block["n"].any() or block["nan"].any() or block["unknown"].any()):
        return ref, None
    data = encode_rows(block if extent is None else block[tuple(slice(n) for n in extent)])
    address = pack.add(data)
    ref["hi"] = int.from_bytes(address[:8], "big")
    ref["lo"] = int.from_bytes(address[8:], "big")
    return ref, address


def block_indices(start: Cell, stop: Cell, block: Cell) -> Iterator[Cell]:
    """Block coordinates of the blocks that a box of cells touches."""
    return itertools.product(
        *(
            range(a // n, -(-b // n) if b > a else a // n)
            for a, b, n in zip(start, stop, block, strict=True)
        )
    )


def overlap(
    index: Cell, block: Cell, start: Cell, stop: Cell
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a block and a box overlap: slices into the block, slices into the box."""
    inside, outside = [], []
    for i, n, a, b in zip(index, block, start, stop, strict=True):
        lo, hi = max(a, i * n), min(b, (i + 1) * n)
        inside.append(slice(lo - i * n, hi - i * n))
        outside.append(slice(lo - a, hi - a))
    return tuple(inside), tuple(outside)


def overlap_at(origin: Cell, block: Cell, start: Cell, stop: Cell) -> tuple[slice, ...]:
    """Slices into the block at `origin` of what a box covers of it."""
    return tuple(
        slice(max(a - o, 0), max(min(b - o, n), 0))
        for o, n, a, b in zip(origin, block, start, stop, strict=True)
    )
