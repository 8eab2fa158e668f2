"""The newest commit of a version.

Numbers have no gaps. On a local disk, where a request costs microseconds, the hint is a
place to start from, and doubling steps followed by bisection find the end. Elsewhere round
trips count: a listing says what is newest, and the hint holds its manifest already, most
of the time.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

from hubzarr.errors import DamagedError, NotFoundError, OfflineError, UnsupportedError
from hubzarr.history.hints import Hint, hint_path, parse_hint
from hubzarr.history.manifest import Manifest
from hubzarr.history.versions import manifest_path, read_manifest
from hubzarr.storage.base import Storage
from hubzarr.threads import map_all

__all__ = ["head", "head_number"]

_FILE: Final = re.compile(r"([0-9]{12})\.json")
#: Names that a store lists in one request.
LISTED: Final = 1000


def head(storage: Storage, version: str, at_least: int = -1) -> Manifest | None:
    """Newest manifest of a version; None when the version was never created.

    A deleted version has a head too: its state says so.

    Parameters
    ----------
    at_least : int
        Number of a commit that is known to exist.
    """
    if storage.is_local:
        number = head_number(storage, version, at_least)
        return None if number is None else _must_be(storage, version, number)
    with contextlib.suppress(UnsupportedError):
        if at_least >= 0:
            return _newer(storage, version, at_least)
        return _found_at_once(storage, version)
    number = head_number(storage, version, at_least)  # a store that can't list
    return None if number is None else _must_be(storage, version, number)


def head_number(storage: Storage, version: str, at_least: int = -1) -> int | None:
    """Newest number of a version, by asking for numbers; None when it was never created."""
    low = max(at_least, parse_hint(storage.get(hint_path(version)), version).number)
    if low < 0:
        if not storage.exists(manifest_path(version, 0)):
            return None
        low = 0
    elif low != at_least and not storage.exists(manifest_path(version, low)):
        low = max(at_least, 0)  # a hint without its manifest is worth nothing
        if not storage.exists(manifest_path(version, low)):
            return None
    step = 1
    while storage.exists(manifest_path(version, low + step)):
        low, step = low + step, 2 * step
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if storage.exists(manifest_path(version, middle)):
            low = middle
        else:
            high = middle
    return low


def _listed(storage: Storage, version: str, after: int, limit: int | None = None) -> list[int]:
    """Numbers after one, sorted; the first ones if there are more than a listing gives."""
    start = f"{after:012d}.json" if after >= 0 else ""
    names = storage.list_dir(f"versions/{version}", start, limit)
    return [int(found[1]) for name in names if (found := _FILE.fullmatch(name))]


def _first(storage: Storage, version: str) -> Manifest | None:
    # It is not the one that was asked for.
    with contextlib.suppress(DamagedError, OfflineError, UnsupportedError):
        return read_manifest(storage, version, 0)
    return None


def _must_be(storage: Storage, version: str, number: int) -> Manifest:
    manifest = read_manifest(storage, version, number)
    if manifest is None:
        raise NotFoundError(
            f"manifest {manifest_path(version, number)} disappeared while it was read from "
            f"{storage.url}: was the repository deleted?",
            version=version,
        )
    return manifest


def _found_at_once(storage: Storage, version: str) -> Manifest | None:
    """The newest manifest, in one round trip if the hint is up to date."""
    asked: list[Any] = [
        lambda: parse_hint(storage.get(hint_path(version)), version),
        lambda: _first(storage, version),
        lambda: _listed(storage, version, -1, limit=LISTED),
    ]
    hint: Hint
    first: Manifest | None
    numbers: list[int]
    hint, first, numbers = map_all(lambda ask: ask(), asked, storage.concurrency)
    if first is None and not numbers:
        return None
    if len(numbers) >= LISTED and hint.number > numbers[-1]:
        numbers = _listed(storage, version, hint.number - 1)
    elif len(numbers) >= LISTED:
        numbers = _listed(storage, version, numbers[-1] - 1)
    if not numbers:  # a hint that is ahead of everything: of another life
        numbers = _listed(storage, version, -1)
    if not numbers:  # deleted, or created, while it was asked for
        number = head_number(storage, version)
        return None if number is None else _must_be(storage, version, number)
    newest = numbers[-1]
    if hint.number >= newest and _is_of(hint, first):
        return hint.manifest
    if newest == 0 and first is not None:
        return first
    return _must_be(storage, version, newest)


def _is_of(hint: Hint, first: Manifest | None) -> bool:
    return first is not None and hint.manifest is not None and hint.life == first.commit.id


def _newer(storage: Storage, version: str, known: int) -> Manifest:
    """The newest manifest from a commit on that is known: most often that, or the next."""
    asked: list[Any] = [
        lambda: read_manifest(storage, version, known + 1),
        lambda: _listed(storage, version, known),
    ]
    following, numbers = map_all(lambda ask: ask(), asked, storage.concurrency)
    newest = max([known, *numbers, known + 1 if following is not None else known])
    if following is not None and newest == known + 1:
        found: Manifest = following
        return found
    return _must_be(storage, version, newest)
