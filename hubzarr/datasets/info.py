"""What users note about a tensor or dataset: attributes of its node, all but ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hubzarr.arrays.attributes import Attributes
from hubzarr.datasets.layout import MARK
from hubzarr.datasets.lists import StoredList
from hubzarr.errors import InvalidNameError, NotFoundError
from hubzarr.session import Session
from hubzarr.session.state import is_array

__all__ = ["Info"]


class Info(Attributes):
    """JSON values by name, also as attributes: ``info.class_names``.

    Examples
    --------
    >>> import hubzarr as hub
    >>> ds = hub.empty("examples/info")
    >>> labels = ds.create_tensor("labels", htype="class_label", class_names=["cat", "dog"])
    >>> labels.info.class_names
    ['cat', 'dog']
    >>> labels.info.class_names.append("cow")
    >>> labels.info.class_names
    ['cat', 'dog', 'cow']
    >>> labels.info.source = "the street"
    >>> sorted(labels.info)
    ['class_names', 'source']
    """

    def __init__(self, session: Session, path: str) -> None:
        super().__init__(session, path)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        return StoredList(value, self, key) if type(value) is list else value

    def __iter__(self) -> Iterator[str]:
        return (key for key in super().__iter__() if key != MARK)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key != MARK and key in self._values()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except NotFoundError as error:
            raise AttributeError(error.message) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def replace(self, values: Any) -> None:
        """Put other values in place of all."""
        with self._session.lock:
            self._own()
            mark = self._values().get(MARK)
            super().replace(dict(values) | ({} if mark is None else {MARK: mark}))

    def __delitem__(self, key: str) -> None:
        with self._session.lock:
            self._own()
            super().__delitem__(key)

    def _change(self, values: Any) -> None:
        if MARK in values:
            raise InvalidNameError(f"{MARK!r} is reserved: choose another name")
        with self._session.lock:
            self._own()
            super()._change(values)

    def _own(self) -> None:
        """Give the session a copy of the node's document, to be changed."""
        session, path = self._session, self._path
        session.check_writable()
        document = session.document(path)
        if document is None:
            raise NotFoundError(f"node {path or '/'!r} was removed", path=path)
        if is_array(document):
            session.array(path)
        elif path not in session.groups:
            session.set_group(path, document)

    def __repr__(self) -> str:
        return f"Info({dict(self)!r})"
