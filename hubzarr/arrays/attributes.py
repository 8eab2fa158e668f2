"""Attributes of an array, as a dict that stores its changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from hubzarr.errors import InvalidTypeError, NotFoundError
from hubzarr.history.documents import copied
from hubzarr.session import Session

__all__ = ["Attributes", "checked"]


class Attributes(MutableMapping[str, Any]):
    """A node's attributes: JSON values by name.

    Two writers who set different keys don't conflict. Values come out as copies: to
    change one, assign it again.

    Examples
    --------
    >>> import hubzarr as hub
    >>> a = hub.array((4,), "examples/attributes", attributes={"unit": "K"})
    >>> a.attributes["place"] = "Oslo"
    >>> dict(a.attributes)
    {'unit': 'K', 'place': 'Oslo'}
    """

    def __init__(self, session: Session, path: str) -> None:
        self._session = session
        self._path = path

    def _values(self) -> dict[str, Any]:
        document = self._session.document(self._path)
        if document is None:
            raise NotFoundError(f"node {self._path or '/'!r} was removed", path=self._path)
        values: dict[str, Any] = document.setdefault("attributes", {})
        return values

    def __getitem__(self, key: str) -> Any:
        values = self._values()
        if key not in values:
            raise NotFoundError(
                f"no attribute {key!r}; there are: {', '.join(values) or 'none'}", attribute=key
            )
        return copied(values[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._change({key: value})

    def __delitem__(self, key: str) -> None:
        with self._session.lock:
            self._session.check_writable()
            self[key]
            del self._values()[key]
            self._session.touch()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values()))

    def __len__(self) -> int:
        return len(self._values())

    def replace(self, values: Mapping[str, Any]) -> None:
        """Put other attributes in place of all."""
        with self._session.lock:
            self._session.check_writable()
            new = checked(values)
            target = self._values()
            target.clear()
            target.update(new)
            self._session.touch()

    def _change(self, values: Mapping[str, Any]) -> None:
        with self._session.lock:
            self._session.check_writable()
            self._values().update(checked(values))
            self._session.touch()

    def __repr__(self) -> str:
        return f"Attributes({self._values()!r})"


def checked(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """A private copy of attributes, as JSON will give them back."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidTypeError(
            f"attributes are a mapping of names to values, not {type(values).__name__}"
        )
    return {key: _json(key, value) for key, value in values.items()}


def _json(key: str, value: Any) -> Any:
    """A private copy of a value, as JSON will give it back."""
    if not isinstance(key, str):
        raise InvalidTypeError(f"names of attributes are strings, not {type(key).__name__}")
    try:
        return json.loads(json.dumps(value, default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(
            f"attribute {key!r} can't be stored as JSON: {error}; use numbers, strings, lists "
            "and dicts"
        ) from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON value")
