"""The nodes of a manifest: inline while they are few, in pages by path when many."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hubzarr.history.manifest import Manifest, Node
from hubzarr.table.pages import Pack, encode_document
from hubzarr.table.reader import PageReader

__all__ = ["INLINE_NODES", "nodes_of", "with_nodes"]

INLINE_NODES: Final = 256
#: Nodes per page, on average.
PER_PAGE: Final = 64


def nodes_of(manifest: Manifest, reader: PageReader) -> dict[str, Node]:
    """All nodes of a manifest, by path."""
    if manifest.nodes is not None:
        return manifest.nodes
    out: dict[str, Node] = {}
    for address in manifest.node_pages:
        page: dict[str, Any] = reader.document(bytes.fromhex(address))
        out.update((path, Node.from_json(value)) for path, value in page.items())
    return out


def with_nodes(
    manifest: Manifest,
    nodes: Mapping[str, Node],
    former: Manifest | None = None,
    reader: PageReader | None = None,
) -> tuple[Manifest, dict[str, list[bytes]]]:
    """The manifest with other nodes, and the objects that these need, by path.

    A node's page follows from its path, so a commit that changes a few nodes makes a few
    new pages; those that `former` has with the same content are used again.
    """
    if len(nodes) <= INLINE_NODES:
        return replace(manifest, nodes=dict(nodes), node_pages=()), {}
    count = 1
    while count * PER_PAGE < len(nodes):
        count *= 2
    buckets: list[dict[str, Any]] = [{} for _ in range(count)]
    for path in sorted(nodes):
        buckets[zlib.crc32(path.encode()) % count][path] = nodes[path].to_json()
    old = () if former is None or reader is None else former.node_pages
    pack = Pack()
    addresses = []
    for i, bucket in enumerate(buckets):
        kept = old[i] if len(old) == count else None
        if kept is None or reader is None or reader.document(bytes.fromhex(kept)) != bucket:
            kept = pack.add(encode_document(bucket)).hex()
        addresses.append(kept)
    return replace(manifest, nodes=None, node_pages=tuple(addresses)), pack.objects()
