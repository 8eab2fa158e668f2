"""Making, renaming and removing tensors and groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hubzarr.arrays.attributes import checked
from hubzarr.datasets.catalog import catalog_of, checked_name, join
from hubzarr.datasets.columns import create_ragged
from hubzarr.datasets.entry import TensorEntry, default_channels
from hubzarr.datasets.layout import MARK, group_document
from hubzarr.errors import ExistsError, InvalidError
from hubzarr.history.documents import copied
from hubzarr.htypes import tensor_spec
from hubzarr.session import Session
from hubzarr.session.state import is_array

__all__ = [
    "Wish",
    "create_group",
    "create_like",
    "create_tensor",
    "delete_group",
    "delete_tensor",
    "rename",
]


@dataclass(frozen=True)
class Wish:
    """What a user asks of a new tensor."""

    htype: str | None
    dtype: Any
    sample_compression: str | None
    chunk_compression: str | None
    hidden: bool
    statistics: bool
    ragged: bool


def create_tensor(
    session: Session, group: str, name: str, wish: Wish, options: Mapping[str, Any], exist_ok: bool
) -> str:
    """Add a tensor; returns its path."""
    spec, info = tensor_spec(
        wish.htype, wish.dtype, wish.sample_compression, wish.chunk_compression, **options
    )
    channels = default_channels(spec) if wish.statistics else 0
    if channels and spec.stores not in ("array", "file"):
        raise InvalidError(f"htype {spec.htype!r} has no pixels to keep statistics of")
    entry = TensorEntry(spec, 0, wish.hidden, wish.ragged, channels)
    return _create(session, join(group, checked_name(name)), entry, info, exist_ok)


def create_like(
    session: Session, group: str, name: str, entry: TensorEntry, info: Mapping[str, Any]
) -> str:
    """Add an empty tensor of the same kind as another; returns its path."""
    return _create(session, join(group, checked_name(name)), entry, info, False)


def _create(
    session: Session, path: str, entry: TensorEntry, info: Mapping[str, Any], exist_ok: bool
) -> str:
    with session.lock:
        session.check_writable()
        catalog = catalog_of(session)
        if path in catalog.tensors and exist_ok:
            return path
        _refuse_taken(session, path)
        _make_groups(session, path.rpartition("/")[0])
        last = max((e.order for e in catalog.tensors.values()), default=-1)
        entry = replace(entry, order=last + 1)
        attributes = checked(info) | {MARK: entry.to_json()}
        session.set_group(path, group_document(attributes))
        if entry.starts_ragged and entry.spec.ndim is not None and _dtype_is_known(entry):
            create_ragged(session, path, entry, entry.spec.ndim)
        return path


def _dtype_is_known(entry: TensorEntry) -> bool:
    return entry.spec.stores != "array" or entry.spec.dtype is not None


def _refuse_taken(session: Session, path: str) -> None:
    catalog = catalog_of(session)
    if path in catalog.tensors:
        raise ExistsError(
            f"there is a tensor {path!r} already; use ds[{path!r}], another name, or exist_ok=True",
            name=path,
        )
    if session.document(path) is not None:
        raise ExistsError(f"there is a group {path!r} already: choose another name", name=path)
    parts = path.split("/")
    for i in range(1, len(parts)):
        above = "/".join(parts[:i])
        if above in catalog.tensors:
            raise ExistsError(f"{above!r} is a tensor and can't hold {path!r}", name=above)


def _make_groups(session: Session, path: str) -> None:
    parts = path.split("/") if path else []
    for i in range(1, len(parts) + 1):
        above = "/".join(parts[:i])
        if session.document(above) is None:
            session.set_group(above, group_document({}))


def create_group(session: Session, group: str, name: str, exist_ok: bool) -> str:
    """Add a group and those above it; returns its path."""
    path = join(group, checked_name(name, "group"))
    with session.lock:
        session.check_writable()
        if path in catalog_of(session).groups:
            if exist_ok:
                return path
            raise ExistsError(
                f"there is a group {path!r} already; use ds[{path!r}] or exist_ok=True", name=path
            )
        _refuse_taken(session, path)
        _make_groups(session, path)
        return path


def _below(session: Session, path: str) -> list[str]:
    """A node and all below it."""
    return [p for p in session.paths() if p == path or p.startswith(path + "/")]


def delete_tensor(session: Session, path: str) -> None:
    """Remove a tensor with all its arrays."""
    with session.lock:
        session.check_writable()
        for node in reversed(_below(session, path)):
            session.remove(node)


def delete_group(session: Session, path: str) -> None:
    """Remove a group with all that is in it."""
    delete_tensor(session, path)


def rename(session: Session, path: str, new: str) -> None:
    """Give a tensor or group another path; chunks stay where they are."""
    new = checked_name(new)
    with session.lock:
        session.check_writable()
        _refuse_taken(session, new)
        if new.startswith(path + "/"):
            raise InvalidError(f"{path!r} can't move into itself as {new!r}")
        _make_groups(session, new.rpartition("/")[0])
        for node in _below(session, path):
            target = new + node[len(path) :]
            document = copied(session.document(node)) or {}
            if is_array(document):
                session.move_array(node, target)
            else:
                session.set_group(target, document)
        for node in reversed(_below(session, path)):
            session.remove(node)
