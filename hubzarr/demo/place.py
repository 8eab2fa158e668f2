"""A root of its own for the demo, so that it leaves nothing in the user's."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hubzarr as hub
from hubzarr.config import get_config
from hubzarr.errors import ExistsError, StorageError

__all__ = ["own_root"]

_MARK: Final = ".hubzarr-demo"


@contextlib.contextmanager
def own_root(out: Path) -> Iterator[Path]:
    """An empty store below a folder, as the root for the time of a ``with`` block.

    What an earlier demo left there is removed; anything else stays, and is refused.
    """
    store = out / "store"
    mark = store / _MARK
    if store.exists() and not mark.exists():
        raise ExistsError(
            f"{store} exists and is not of an earlier demo; choose another folder: "
            "hubzarr demo --out DIR",
        )
    try:
        if store.exists():
            shutil.rmtree(store)
        store.mkdir(parents=True)
        mark.write_text("Made by `hubzarr demo`, which replaces this folder each time.\n")
    except OSError as error:
        raise StorageError(
            f"can't write to {out}: {error.strerror}; choose another folder: hubzarr demo --out DIR"
        ) from error
    before = get_config()
    try:
        hub.configure(root=store.resolve())
        yield store
    finally:
        hub.configure(root=None, author=None)
        # What was set by `configure`, not by the environment or a file, is set again.
        for key in ("root", "author"):
            if getattr(get_config(), key) != getattr(before, key):
                hub.configure(**{key: getattr(before, key)})
