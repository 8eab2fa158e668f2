"""Named roots: places under which names live, with the options that their stores need."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hubzarr.config.checks import check_root
from hubzarr.config.secrets import is_secret
from hubzarr.errors import InvalidError

__all__ = [
    "Root",
    "check_root_name",
    "is_root_name",
    "is_same_kind",
    "nearest_root",
    "parse_roots",
    "roots_of",
]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
# Folders of a repository, and what a URL or a setting could be taken for.
_RESERVED: Final = frozenset({"versions", "pages", "data", "off"})
_SAME_STORE: Final = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "local": "file"}
_PLAIN: Final = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Root:
    """A place under which names live.

    Attributes
    ----------
    name : str
        ``hub://name/alice/x`` and ``name/alice/x`` mean ``alice/x`` under it.
    url : str
        URL or absolute path.
    options : mapping
        Storage options. Secrets among them are neither shown nor pickled.

    Examples
    --------
    >>> Root("lab", "s3://lab/hub", {"secret": "x"})
    Root(name='lab', url='s3://lab/hub')
    """

    name: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process finds the secrets in its own config file.
        return (Root, (self.name, self.url, _public(self.options)))


def _public(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without secrets."""
    return {
        key: _public(value) if isinstance(value, Mapping) else value
        for key, value in options.items()
        if not is_secret(key, value)
    }


def is_root_name(text: str) -> bool:
    """Whether a text could be the name of a root.

    Examples
    --------
    >>> is_root_name("prod"), is_root_name("./prod"), is_root_name("data")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None and text not in _RESERVED


def check_root_name(text: str) -> str:
    """Return a root's name if it keeps the rules, else raise."""
    if is_root_name(text):
        return text
    if text in _RESERVED:
        raise InvalidError(f"the root's name {text!r} is reserved; choose another one")
    raise InvalidError(
        f"bad name of a root {text!r}: expected up to 64 letters (a-z), digits, '_' and '-', "
        "such as 'prod'"
    )


def roots_of(value: Any, folder: str) -> dict[str, Root]:
    """Named roots from a table: of each the URL, or a table with ``url`` and options.

    Examples
    --------
    >>> found = roots_of({"lab": {"url": "s3://lab/hub", "profile": "lab"}, "tmp": "/tmp"}, "/")
    >>> list(found.values()), found["lab"].options
    ([Root(name='lab', url='s3://lab/hub'), Root(name='tmp', url='/tmp')], {'profile': 'lab'})
    """
    if not isinstance(value, Mapping):
        raise InvalidError(
            f"bad roots, {type(value).__name__}: expected a table for each, such as "
            "[roots.prod] with url = 's3://bucket/hub'"
        )
    return {name: _root_of(name, entry, folder) for name, entry in value.items()}


def _root_of(name: Any, entry: Any, folder: str) -> Root:
    check_root_name(name if isinstance(name, str) else repr(name))
    if isinstance(entry, Root):
        entry = {"url": entry.url, **entry.options}
    table = dict(entry) if isinstance(entry, Mapping) else {"url": entry}
    if "url" not in table:
        raise InvalidError(f"the root {name!r} has no url: add one, such as 's3://bucket/hub'")
    try:
        url = check_root(table.pop("url"), folder)
    except InvalidError as error:
        raise InvalidError(f"roots.{name}: {error.message}") from None
    for key, value in table.items():
        _check_option(f"roots.{name}.{key}", value)
    return Root(name, url, copy.deepcopy(table))


def _check_option(where: str, value: Any) -> None:
    """Refuse what is no plain value; the value itself may be a secret and is not shown."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            _check_option(f"{where}.{key}", below)
    elif isinstance(value, list | tuple):
        for below in value:
            _check_option(where, below)
    elif not isinstance(value, _PLAIN) and value is not None:
        raise InvalidError(
            f"{where} is of type {type(value).__name__}: expected text, a number, true or false"
        )


def parse_roots(text: str) -> dict[str, str]:
    """Named URLs from text, as ``HUBZARR_ROOTS`` has them.

    Examples
    --------
    >>> parse_roots("prod=s3://bucket/hub; lab=/mnt/lab")
    {'prod': 's3://bucket/hub', 'lab': '/mnt/lab'}
    """
    found = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, url = part.partition("=")
        if not equals or not is_root_name(name.strip()) or not url.strip():
            raise InvalidError("bad roots: expected 'name=URL;name=URL'")
        found[name.strip()] = url.strip()
    return found


def nearest_root(url: str, roots: Mapping[str, Root]) -> Root | None:
    """The root under which a URL or path lies; of several, the one deepest down.

    Examples
    --------
    >>> roots = roots_of({"all": "s3://lab", "hub": "s3://lab/hub"}, "/")
    >>> nearest_root("s3://lab/hub/alice/x", roots).name, nearest_root("s3://other", roots)
    ('hub', None)
    """
    place = _canonical(url)
    found, length = None, -1
    for root in roots.values():
        top = _canonical(root.url)
        inside = place == top or place.startswith(top if top.endswith("/") else top + "/")
        if inside and len(top) > length:
            found, length = root, len(top)
    return found


def is_same_kind(url: str, other: str) -> bool:
    """Whether two URLs are of the same kind of store, which takes the same options.

    Examples
    --------
    >>> is_same_kind("s3://lab/a", "s3a://b"), is_same_kind("s3://lab", "/lab")
    (True, False)
    """
    first, second = (_canonical(place).partition("://")[0] for place in (url, other))
    return first == second


def _canonical(url: str) -> str:
    protocol, separator, place = url.partition("://")
    if not separator:
        protocol, place = "file", os.path.abspath(os.path.expanduser(url))
    protocol = _SAME_STORE.get(protocol.lower(), protocol.lower())
    if protocol == "file" and os.name == "nt":
        place = place.replace("\\", "/").lstrip("/")
    return f"{protocol}://{place.rstrip('/')}"
