"""The manifest: the one JSON file that a commit writes, root of a repository's state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from hubzarr.errors import DamagedError, UnsupportedError

__all__ = ["FORMAT", "Commit", "Manifest", "Node", "decode", "encode", "open_state"]

#: The format that this release writes; docs/format.md is the norm.
FORMAT: Final = 1
_TAIL: Final = len(',"digest":""}') + 32


@dataclass(frozen=True, slots=True, repr=False)
class Commit:
    """What the history remembers of one commit.

    Attributes
    ----------
    id : str
        64-bit random, 16 hex digits.
    version, number : str, int
        Where the commit was made: ``version@number``.
    parent : str or None
        ``version@number`` of the state it was made on.
    merged : str or None
        ``version@number`` of the second parent of a merge.
    message : str or None
        None for an automatic sync.
    author, time : str
        Who; when, as ISO 8601 in UTC with microseconds.
    depth : int
        Above all that led to this commit: one more than the largest of its parents'.
    state : str
        "open", or what the commit did to the version: "sealed" or "deleted".
    writes : tuple of str
        Write ids that the commit brought in, 16 hex digits each.
    changes : dict
        Summary per node path: cells changed, rows appended, attributes set, ….
    """

    id: str
    version: str
    number: int
    parent: str | None
    merged: str | None
    message: str | None
    author: str
    time: str
    depth: int
    state: str = "open"
    writes: tuple[str, ...] = ()
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """``version@number``."""
        return f"{self.version}@{self.number}"

    def __repr__(self) -> str:
        text = "sync" if self.message is None else repr(self.message)
        return f"<Commit {self.address} {self.id} {text} by {self.author} at {self.time}>"

    def to_json(self) -> dict[str, Any]:
        """The commit as JSON, without what is at its default."""
        out: dict[str, Any] = {
            "id": self.id,
            "version": self.version,
            "number": self.number,
            "parent": self.parent,
            "message": self.message,
            "author": self.author,
            "time": self.time,
            "depth": self.depth,
            "state": self.state,
            "writes": list(self.writes),
            "changes": self.changes,
        }
        if self.merged:
            out["merged"] = self.merged
        return out

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Commit:
        """The inverse of `to_json`; unknown keys are ignored."""
        return cls(
            id=value["id"],
            version=value["version"],
            number=value["number"],
            parent=value["parent"],
            merged=value.get("merged"),
            message=value["message"],
            author=value["author"],
            time=value["time"],
            depth=value["depth"],
            state=value["state"],
            writes=tuple(value["writes"]),
            changes=value["changes"],
        )


@dataclass(frozen=True, slots=True)
class Node:
    """One group or array: its full ``zarr.json``, where its chunks live, its chunk table.

    `table` is the JSON of a `hubzarr.table.Table`, None for groups.
    """

    document: dict[str, Any]
    home: str
    table: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"document": self.document, "home": self.home}
        if self.table is not None:
            out["table"] = self.table
        return out

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Node:
        return cls(value["document"], value["home"], value.get("table"))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One commit and the state of the whole repository after it.

    Attributes
    ----------
    commit : Commit
    nodes : dict or None
        Node path ("" is the root) to `Node`. None when the nodes live in pages.
    node_pages : tuple of str
        Addresses (hex) of the pages that hold the nodes, bucketed by path.
    objects : dict
        Store keys that belong to no node, to (write id, size in bytes).
    log : dict
        Earlier commits: see `hubzarr.history.log`.
    parent_digest, digest : str
        The chain: BLAKE2b-128 of the parent's file and of this one.
    """

    commit: Commit
    nodes: dict[str, Node] | None
    node_pages: tuple[str, ...] = ()
    objects: dict[str, tuple[str, int]] = field(default_factory=dict)
    log: dict[str, Any] = field(default_factory=dict)
    parent_digest: str | None = None
    digest: str = ""

    @property
    def sealed(self) -> bool:
        return self.commit.state == "sealed"


def encode(manifest: Manifest) -> tuple[bytes, Manifest]:
    """A manifest as the bytes of its file; and the manifest with its digest."""
    value: dict[str, Any] = {
        "hubzarr": FORMAT,
        **manifest.commit.to_json(),
        "objects": {k: list(v) for k, v in manifest.objects.items()},
        "log": manifest.log,
        "parent_digest": manifest.parent_digest,
    }
    if manifest.nodes is None:
        value["node_pages"] = list(manifest.node_pages)
    else:
        value["nodes"] = {path: node.to_json() for path, node in manifest.nodes.items()}
    body = msgspec.json.encode(value)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return body[:-1] + f',"digest":"{digest}"}}'.encode(), replace(manifest, digest=digest)


def decode(data: bytes, path: str) -> Manifest:
    """Parse and check a manifest.

    Raises
    ------
    DamagedError
        Not the bytes that were written.
    UnsupportedError
        A format number that this release doesn't know.
    """
    try:
        value = msgspec.json.decode(data)
        number = value["hubzarr"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"manifest {path} is damaged: it is not the JSON that hubzarr writes ({error!r}); "
            "restore the file from a copy, or load an earlier commit by its number, as in name@7",
            path=path,
        ) from error
    if number != FORMAT:
        raise UnsupportedError(
            f"manifest {path} has format {number}; this release of hubzarr reads format "
            f"{FORMAT}: install the newest hubzarr (pip install -U hubzarr)",
            path=path,
            format=number,
        )
    body = data[:-_TAIL] + b"}"
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    if value.get("digest") != digest:
        raise DamagedError(
            f"manifest {path} is damaged: its digest does not match its content, so it was "
            "changed after it was written; restore the file from a copy, or load an earlier "
            "commit by its number, as in name@7",
            path=path,
        )
    nodes = value.get("nodes")
    return Manifest(
        commit=Commit.from_json(value),
        nodes=None if nodes is None else {p: Node.from_json(n) for p, n in nodes.items()},
        node_pages=tuple(value.get("node_pages", ())),
        objects={k: (w, n) for k, (w, n) in value["objects"].items()},
        log=value["log"],
        parent_digest=value["parent_digest"],
        digest=digest,
    )


def open_state(manifest: Manifest) -> bool:
    """Whether the version still takes commits after this manifest."""
    return manifest.commit.state == "open"
