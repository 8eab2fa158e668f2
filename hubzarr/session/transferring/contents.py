"""The objects that a state of a repository needs, and that earlier states don't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hubzarr.codecs import ChunkCodec
from hubzarr.engine import CellStore, shared_cache
from hubzarr.engine.objects import data_path
from hubzarr.errors import DamagedError
from hubzarr.history.compare import differing_nodes
from hubzarr.history.manifest import Manifest, Node
from hubzarr.history.nodes import nodes_of
from hubzarr.session.state import is_array, side_of
from hubzarr.session.transferring.fresh import fresh_leaves, fresh_pages
from hubzarr.storage.base import Storage
from hubzarr.table.pages import check_page, pack_path, page_place
from hubzarr.table.reader import PageReader
from hubzarr.table.table import Table

__all__ = ["Contents", "Item"]

type Check = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Item:
    """An object to carry over.

    Attributes
    ----------
    path : str
    size : int
        About how many bytes at most: what to reserve for it.
    check : callable
        Raises `DamagedError` where bytes are not those that were stored.
    fresh : bool
        Whether the state's own commit brought it in, so that it is hardly there yet.
    """

    path: str
    size: int
    check: Check
    fresh: bool = True


class Contents:
    """Lists what states of one repository consist of.

    Parameters
    ----------
    storage : Storage
        The repository's.
    thorough : bool
        Have chunks decoded as a check, instead of a look at their checksum.
    """

    def __init__(self, storage: Storage, thorough: bool = False) -> None:
        self.storage = storage
        self.reader = PageReader(storage)
        self.thorough = thorough

    def state(self, manifest: Manifest, bases: Sequence[Manifest] = ()) -> Iterator[Item]:
        """Chunks, tables and loose objects of a state that none of some others needs.

        Parameters
        ----------
        manifest : Manifest
        bases : sequence of Manifest
            States that are where the objects go to, such as the state's parents.
        """
        commit = manifest.commit
        writes = {int(write_id, 16) for write_id in commit.writes} if bases else None
        for key, (write_id, size) in manifest.objects.items():
            if not any(base.objects.get(key) == (write_id, size) for base in bases):
                path = f"{data_path(int(write_id, 16), '.loose')}{key}"
                fresh = writes is None or int(write_id, 16) in writes
                yield Item(path, size, partial(_check_size, path, size), fresh)
        for node, olds in self._changed(manifest, bases):
            if is_array(node.document) and node.table is not None:
                yield from self._array(node, olds, writes)

    def pages(
        self, manifest: Manifest, bases: Sequence[Manifest], log: bool = True
    ) -> Iterator[Item]:
        """Pages of the nodes, and of the log, to which no manifest of some states refers.

        Older pages, to which pages of the log refer, came with earlier states.
        """
        old = {address for base in bases for address in _outer_pages(base, log)}
        yield from _packs(address for address in _outer_pages(manifest, log) if address not in old)

    # -- nodes -----------------------------------------------------------------

    def _changed(
        self, manifest: Manifest, bases: Sequence[Manifest]
    ) -> Iterator[tuple[Node, list[Node]]]:
        """Nodes that differ from those of every base, and what the bases have instead."""
        if not bases:
            yield from ((node, []) for node in nodes_of(manifest, self.reader).values())
            return
        found = [differing_nodes(base, manifest, self.reader) for base in bases]
        # A node that was moved has its home in common with one elsewhere.
        homes = [
            {before.home: before for before, _ in pairs.values() if before is not None}
            for pairs in found
        ]
        for path, (_, node) in found[0].items():
            if node is None or not all(path in pairs for pairs in found):
                continue
            olds = []
            for pairs, by_home in zip(found, homes, strict=True):
                old = pairs[path][0]
                if old is None or old.home != node.home:
                    old = by_home.get(node.home)
                if old is not None and old.table is not None:
                    olds.append(old)
            if all(old.table != node.table for old in olds):
                yield node, olds

    def _array(self, node: Node, olds: Sequence[Node], writes: set[int] | None) -> Iterator[Item]:
        cells = CellStore(self.storage, node.home, node.document, shared_cache)
        table = Table.parse(self.reader, node.table or {}, cells.stats, cells.channels)
        known = [side_of(old, self.storage, self.reader).table for old in olds]
        before = [old for old in known if old is not None]
        axes = len(node.document["shape"])
        check = _check_of(cells.codec, self.thorough)
        addresses: list[bytes] = []
        leaves = fresh_leaves(table.ids, [old.ids for old in before], addresses)
        for first, ids, new in leaves:
            for within in np.argwhere(new).tolist():
                write_id = int(ids[tuple(within)])
                cell = tuple(f + w for f, w in zip(first, within, strict=True))
                path = cells.path(write_id, cell if axes else ())
                fresh = writes is None or write_id in writes
                yield Item(path, cells.codec.nbytes, partial(check, path), fresh)
        if table.stats is not None:
            older = [old.stats for old in before if old.stats is not None]
            addresses += fresh_pages(table.stats, older)
        yield from _packs(addresses)


def _outer_pages(manifest: Manifest, log: bool) -> Iterator[bytes]:
    """Pages that a manifest itself refers to, past its tables."""
    yield from map(bytes.fromhex, manifest.node_pages)
    for level in manifest.log.get("runs", ()) if log else ():
        yield from (bytes.fromhex(ref["page"]) for ref in level)


def _packs(addresses: Iterable[bytes]) -> Iterator[Item]:
    """The packs that hold some pages."""
    packs: dict[str, set[tuple[int, int]]] = {}
    for address in addresses:
        packs.setdefault(pack_path(address), set()).add(page_place(address))
    for path, places in packs.items():
        size = max(stop for _, stop in places)
        yield Item(path, size, partial(_check_pages, path, sorted(places)))


# -- checks ----------------------------------------------------------------------------


def _check_size(path: str, size: int, data: bytes) -> None:
    if len(data) != size:
        raise DamagedError(
            f"object {path} has {len(data)} bytes where a commit says {size}", path=path
        )


def _check_pages(path: str, places: Sequence[tuple[int, int]], data: bytes) -> None:
    for start, stop in places:
        try:
            check_page(data[start:stop])
        except DamagedError as error:
            raise DamagedError(
                f"pack {path} is damaged at bytes {start}:{stop}: {error}", path=path
            ) from error


def _check_of(codec: ChunkCodec, thorough: bool) -> Callable[[str, bytes], None]:
    """How to tell a sound chunk: decode it, or look at its checksum or at a shard's index."""
    look = codec.view if thorough else codec.check

    def check(path: str, data: bytes) -> None:
        try:
            look(data)
        except DamagedError as error:
            raise DamagedError(f"chunk {path} is damaged: {error}", path=path) from error

    return check
