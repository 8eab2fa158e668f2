"""The log of a manifest: every commit that led to it, newest first, without a walk.

The newest commits stand in the manifest itself. When they grow to ``2 * RUN``, the oldest
`RUN` of them move to a page; when the references to such pages grow to ``2 * RUN``, the
oldest `RUN` of those move to a page one level up, and so on. So a manifest's log has a
bounded size, a commit adds at most one page now and then, and any entry is a few pages
away. In JSON::

    {"recent": [commit, ...], "runs": [[reference, ...], [reference, ...], ...]}

``runs[k]`` holds references to pages of level k, oldest first; a reference is
``{"page": address, "count": commits below, "first": time, "last": time}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hubzarr.history.manifest import Commit, Manifest
from hubzarr.table.pages import Pack, encode_document
from hubzarr.table.reader import PageReader

__all__ = ["RUN", "ancestors", "extended", "log_size"]

RUN: Final = 16


def extended(log: dict[str, Any], commit: Commit) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    """The log with one more commit, and the objects that this adds, by path."""
    recent = [*log.get("recent", ()), commit.to_json()]
    runs = [list(level) for level in log.get("runs", ())]
    pack = Pack()
    if len(recent) >= 2 * RUN:
        old, recent = recent[:RUN], recent[RUN:]
        carry = _page(old, RUN, old[0]["time"], old[-1]["time"], pack)
        for level in range(len(runs) + 1):
            if level == len(runs):
                runs.append([])
            runs[level].append(carry)
            if len(runs[level]) < 2 * RUN:
                break
            oldest, runs[level] = runs[level][:RUN], runs[level][RUN:]
            count = sum(r["count"] for r in oldest)
            carry = _page(oldest, count, oldest[0]["first"], oldest[-1]["last"], pack)
    return {"recent": recent, "runs": runs}, pack.objects()


def _page(
    items: list[dict[str, Any]], count: int, first: str, last: str, pack: Pack
) -> dict[str, Any]:
    address = pack.add(encode_document(items))
    return {"page": address.hex(), "count": count, "first": first, "last": last}


def log_size(log: dict[str, Any]) -> int:
    """How many commits a log holds."""
    below: int = sum(ref["count"] for level in log.get("runs", ()) for ref in level)
    return below + len(log.get("recent", ()))


def ancestors(
    manifest: Manifest, reader: PageReader, before: str | None = None
) -> Iterator[Commit]:
    """The commit of a manifest and all that led to it by first parents, newest first.

    Parameters
    ----------
    before : str, optional
        ISO time: pages wholly after it are skipped (single commits may still be later).
    """
    yield manifest.commit
    for item in reversed(manifest.log.get("recent", ())):
        yield Commit.from_json(item)
    for level, refs in enumerate(manifest.log.get("runs", ())):
        for ref in reversed(refs):
            yield from _below(reader, ref, level, before)


def _below(
    reader: PageReader, ref: dict[str, Any], level: int, before: str | None
) -> Iterator[Commit]:
    if before is not None and ref["first"] > before:
        return
    for item in reversed(reader.document(bytes.fromhex(ref["page"]))):
        if level:
            yield from _below(reader, item, level - 1, before)
        else:
            yield Commit.from_json(item)
