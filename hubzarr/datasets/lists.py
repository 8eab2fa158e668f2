"""Lists that store their changes: ``info.class_names.append("cow")``."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Self, SupportsIndex

__all__ = ["StoredList"]


class StoredList(list[Any]):
    """A list out of a mapping, which is put back whenever it changes.

    Parameters
    ----------
    values : list
    owner : mapping, optional
        Without it, it is a mere list, as copies made from the class of another are.
    key : str
        Under which it is in the mapping.
    """

    __slots__ = ("_key", "_owner")

    def __init__(
        self,
        values: Iterable[Any] = (),
        owner: MutableMapping[str, Any] | None = None,
        key: str = "",
    ) -> None:
        super().__init__(values)
        self._owner = owner
        self._key = key

    def _store(self) -> None:
        if self._owner is not None:
            self._owner[self._key] = list(self)

    def append(self, value: Any) -> None:
        """Add a value."""
        super().append(value)
        self._store()

    def extend(self, values: Iterable[Any]) -> None:
        """Add values."""
        super().extend(values)
        self._store()

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Put a value before another."""
        super().insert(index, value)
        self._store()

    def remove(self, value: Any) -> None:
        """Remove the first value that equals this one."""
        super().remove(value)
        self._store()

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Remove a value, and return it."""
        value = super().pop(index)
        self._store()
        return value

    def clear(self) -> None:
        """Remove all values."""
        super().clear()
        self._store()

    def sort(self, **options: Any) -> None:
        """Sort the values."""
        super().sort(**options)
        self._store()

    def reverse(self) -> None:
        """Turn the order round."""
        super().reverse()
        self._store()

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._store()

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._store()

    def __iadd__(self, values: Iterable[Any]) -> Self:  # type: ignore[misc]
        self.extend(values)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)  # another process gets the values alone
