"""Notes by which the owner of a forked store and its workers find each other's objects.

They lie in a folder of the repository that exists only while the fork does:

==========================================  ===============================================
path below ``forks/<token>/``               what it says
==========================================  ===============================================
``open``                                    what is stored now is still taken in
``<n>.json``                                state ``n`` of the session, as a manifest
``<n>-<slot>-<writer>-<turn>-<write id>``   a writer stores chunks of state ``n`` under it
==========================================  ===============================================

No commit refers to any of them. The *slot* tells arrays with the same home apart. Of several
objects that a writer stored for a chunk, the one of the last *turn* holds everything.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from hubzarr.errors import ClosedError
from hubzarr.history.manifest import Manifest, Node, decode
from hubzarr.session.state import is_array
from hubzarr.storage.base import Storage

__all__ = ["Notes", "Signature", "slots_of"]

_SIGNATURE: Final = re.compile(r"(\d+)-(\d+)-([0-9a-f]+)-(\d+)-([0-9a-f]{16})")


class Signature(NamedTuple):
    """Under which write id a process stores chunks, and of which state of the session."""

    state: int
    slot: int
    writer: str
    turn: int
    write_id: int


def slots_of(nodes: Mapping[str, Node]) -> dict[str, int]:
    """For each array, how many others of the same home come before it.

    >>> array = {"node_type": "array"}
    >>> slots_of({"a": Node(array, "a"), "b": Node(array, "a"), "c": Node(array, "c")})
    {'a': 0, 'b': 1, 'c': 0}
    """
    seen: dict[str, int] = {}
    slots = {}
    for path, node in sorted(nodes.items()):
        if is_array(node.document):
            slots[path] = seen.get(node.home, 0)
            seen[node.home] = slots[path] + 1
    return slots


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one fork.

    Parameters
    ----------
    storage : Storage
        The repository's.
    token : str
        Tells forks apart.
    """

    storage: Storage
    token: str

    @property
    def folder(self) -> str:
        """Where they lie."""
        return f"forks/{self.token}"

    # -- the owner's ---------------------------------------------------------

    def open(self) -> None:
        """Let workers store chunks."""
        self.storage.put_atomic(f"{self.folder}/open", _who())

    def close(self) -> None:
        """Take nothing more: what is stored from now on finds that out."""
        self.storage.delete([f"{self.folder}/open"])

    def remove(self) -> None:
        """Take nothing more, and leave no note."""
        self.storage.delete_dir(self.folder)

    def put_state(self, number: int, manifest: bytes) -> None:
        """Say what the session holds."""
        self.storage.put_atomic(f"{self.folder}/{number}.json", manifest)

    def signatures(self) -> list[Signature]:
        """All write ids under which chunks are stored: by state, each writer's in order."""
        found = map(_SIGNATURE.fullmatch, self.storage.list_dir(self.folder))
        return sorted(
            Signature(int(one[1]), int(one[2]), one[3], int(one[4]), int(one[5], 16))
            for one in found
            if one
        )

    # -- a worker's ----------------------------------------------------------

    def state(self, number: int) -> Manifest:
        """A state of the session."""
        path = f"{self.folder}/{number}.json"
        data = self.storage.get(path)
        if data is None:
            raise self.ended()
        return decode(data, path)

    def sign(self, signature: Signature) -> None:
        """Say under which write id chunks will be stored."""
        *parts, write_id = signature
        name = "-".join(map(str, parts))
        self.storage.put_atomic(f"{self.folder}/{name}-{write_id:016x}", _who())

    def is_open(self) -> bool:
        """Whether what has been stored until now is taken in."""
        return self.storage.exists(f"{self.folder}/open")

    def ended(self) -> ClosedError:
        """The error for those who come too late."""
        return ClosedError(
            f"this fork of {self.storage.url} has ended: its changes were committed or dropped "
            "already, and what this task writes is in no commit. Wait for all tasks before the "
            "end of the with block, then write in a new fork"
        )


def _who() -> bytes:
    """For people who look at what a crashed program left behind."""
    return f"{platform.node()} {os.getpid()}\n".encode()
