"""The two sides of a transfer: which repositories they are, and what options their stores get."""

from __future__ import annotations

from hubzarr.config import get_config
from hubzarr.errors import InvalidNameError, NotFoundError
from hubzarr.names import Name, parse_name
from hubzarr.session.place import Options, address_of, parsed_name, storage_of
from hubzarr.storage import Storage

__all__ = ["fitting_options", "other_side", "storages_of"]

_LOCAL = frozenset({"file", "local", "memory"})
_FOR_LOCAL = frozenset({"fsync", "single_writer"})


def storages_of(
    source: Name, target: Name, options: Options = None, target_options: Options = None
) -> tuple[Storage, Storage]:
    """The storages of two repositories.

    Options count for both sides, as far as they can: local places take hardly any, and a
    store of another kind none of them. `target_options` are the target's instead.
    """
    here = storage_of(source, fitting_options(source, options))
    if target_options is not None:
        return here, storage_of(target, target_options)
    kinds = {_kind(name) for name in (source, target)} - {"file", "memory"}
    return here, storage_of(target, fitting_options(target, options) if len(kinds) < 2 else None)


def _kind(name: Name) -> str:
    protocol, separator, _ = address_of(name).partition("://")
    return "file" if not separator or protocol == "local" else protocol


def fitting_options(name: Name, options: Options) -> Options:
    """Those of some options that count for a name: a local place takes hardly any."""
    if options is None or _kind(name) not in _LOCAL:
        return options
    return {key: value for key, value in options.items() if key in _FOR_LOCAL}


def other_side(name: Name, other: str, what: str) -> Name:
    """The name that the other side of a transfer has.

    Parameters
    ----------
    name : Name
        Of this side.
    other : str
        The name of a configured root, below which the repository has the same name; or a
        name, URL or path of a repository.
    what : str
        What is going to be done, for errors.

    Examples
    --------
    >>> from hubzarr.config import configure
    >>> _ = configure(roots={"prod": "s3://bucket/hub"})
    >>> str(other_side(parse_name("alice/x:v1"), "prod", "push to it"))
    'prod/alice/x:v1'
    >>> str(other_side(parse_name("alice/x:v1"), "s3://other/x", "push to it"))
    's3://other/x:v1'
    >>> _ = configure(roots=None)
    """
    root, colon, version = other.removeprefix("hub://").rstrip("/").partition(":")
    if root in get_config().roots:
        there = parsed_name(f"{root}/{_below_root(name)}{colon}{version}", what)
    else:
        there = parsed_name(other, what)
        if there.root is None and "/" not in there.path:
            known = ", ".join(get_config().roots) or "none"
            raise NotFoundError(
                f"no root is named {there.path!r} (configured: {known}): add it with "
                f"'hubzarr configure --name {there.path}', or write the URL or the whole name "
                "of the repository, such as s3://bucket/hub/x or hub://alice/x",
                name=other,
            )
    if there.version is None and name.version is not None:
        return parse_name(f"{there}:{name.version}")
    return there


def _below_root(name: Name) -> str:
    """The name of a repository below its root."""
    roots = get_config().roots
    if name.root is None:
        first, _, below = name.path.partition("/")
        return below if below and first in roots else name.path
    for root in roots.values():
        start = root.url.rstrip("/") + "/"
        if name.root.startswith(start):
            return name.root.removeprefix(start)
    raise InvalidNameError(
        f"{name.repository!r} lies under no configured root, so it has no name below another one: "
        "write the URL or the whole name of the other side"
    )
