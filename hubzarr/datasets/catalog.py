"""Which tensors and groups a dataset has."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from difflib import get_close_matches

from hubzarr.datasets.entry import TensorEntry, entry_of
from hubzarr.datasets.layout import mark_of
from hubzarr.errors import InvalidNameError, NotFoundError
from hubzarr.htypes import TensorSpec
from hubzarr.session import Session
from hubzarr.session.state import is_array

__all__ = ["Catalog", "catalog_of", "checked_name", "join", "not_found"]


@dataclass(frozen=True)
class Catalog:
    """The tensors of a repository by path, in their order, and the paths of its groups."""

    tensors: dict[str, TensorEntry]
    groups: tuple[str, ...]

    def under(self, prefix: str) -> dict[str, TensorEntry]:
        """Tensors of a group, groups below it included, by path."""
        if not prefix:
            return self.tensors
        return {p: e for p, e in self.tensors.items() if p.startswith(prefix + "/")}


_known: weakref.WeakKeyDictionary[Session, tuple[int, Catalog]] = weakref.WeakKeyDictionary()


def catalog_of(session: Session) -> Catalog:
    """What a session's state holds; looked up again only after nodes came or went."""
    found = _known.get(session)
    if found is not None and found[0] == session.layout:
        return found[1]
    with session.lock:
        tensors: dict[str, TensorEntry] = {}
        groups: list[str] = []
        inside = "\0"
        for path in session.paths():
            if path.startswith(inside):
                continue  # arrays of a ragged tensor, saved views
            entry = entry_of(session, path)
            document = session.document(path)
            if entry is not None:
                tensors[path] = entry
                inside = path + "/"
            elif mark_of(document).get("hidden"):
                inside = path + "/"
            elif document is not None and is_array(document):
                if document["shape"]:  # a lone number has no rows
                    tensors[path] = _foreign(session, path)
            elif path:
                groups.append(path)
        ordered = dict(sorted(tensors.items(), key=lambda item: item[1].order))
        catalog = Catalog(ordered, tuple(groups))
        _known[session] = session.layout, catalog
        return catalog


def _foreign(session: Session, path: str) -> TensorEntry:
    """An array that was not made as a tensor is a generic one all the same."""
    from_document = session.array(path).engine.cells.dtype.name
    return TensorEntry(TensorSpec(dtype=from_document))


def join(prefix: str, name: str) -> str:
    """Path of a node in a group."""
    return f"{prefix}/{name}" if prefix else name


def checked_name(name: object, what: str = "tensor") -> str:
    """A name for a tensor or group, with "/" between groups."""
    if not isinstance(name, str) or not name.strip("/"):
        raise InvalidNameError(f"a {what} needs a name, not {name!r}")
    text = name.strip("/")
    for part in text.split("/"):
        if not part or part in (".", "..") or part.startswith("__") or part == "zarr.json":
            raise InvalidNameError(
                f"{name!r} can't name a {what}: {part!r} is reserved; expected names such as "
                "'images' or 'boxes/left'"
            )
        if any(ord(letter) < 32 or letter in '\\:*?"<>|' for letter in part):
            raise InvalidNameError(
                f"{name!r} can't name a {what}: leave out control characters and \\ : * ? \" < > |"
            )
    return text


def not_found(name: str, names: list[str], what: str = "tensor") -> NotFoundError:
    """The error for a tensor that isn't there."""
    near = get_close_matches(name, names, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    listed = ", ".join(names) or "none"
    return NotFoundError(f"no {what} {name!r}{hint}; there are: {listed}", name=name)
