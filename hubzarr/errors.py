"""Every error that hubzarr raises, in one tree sorted by what a handler does about it.

=====================  ==================  =============================================
error                  also a              what to do
=====================  ==================  =============================================
`InvalidError`         `ValueError`        fix the call
`InvalidNameError`     `ValueError`        fix the name
`SampleError`          `ValueError`        look at the sample or its file, or skip it
`InvalidTypeError`     `TypeError`         fix the type or dtype of an argument
`OutOfBoundsError`     `IndexError`        fix the index
`NotFoundError`        `KeyError`          look at what exists, then fix the name
`ExistsError`          `FileExistsError`   load it, pick another name, or say overwrite
`ReadOnlyError`        `PermissionError`   open it for writing, or write elsewhere
`SealedError`          `PermissionError`   start a new version from the sealed one
`ConflictError`        `RuntimeError`      decide whose values count, then write again
`TransformError`       `RuntimeError`      mend the function or the input, or skip it
`StorageError`         `OSError`           free space, mend the network or rights, retry
`OfflineError`         `OSError`           go online and prefetch it, or read what is there
`DamagedError`         `OSError`           restore the named object from a copy
`UnsupportedError`     `RuntimeError`      install an extra or a newer release
`ClosedError`          `ValueError`        open the handle again
=====================  ==================  =============================================

Each class has a stable `kind`, which programs may compare and logs may keep; the
message says what was wrong, what was expected and what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ClosedError",
    "ConflictError",
    "DamagedError",
    "ExistsError",
    "HubzarrError",
    "InvalidError",
    "InvalidNameError",
    "InvalidTypeError",
    "NotFoundError",
    "OfflineError",
    "OutOfBoundsError",
    "ReadOnlyError",
    "SampleError",
    "SealedError",
    "StorageError",
    "TransformError",
    "UnsupportedError",
]


class HubzarrError(Exception):
    """Root of all errors raised by hubzarr.

    Parameters
    ----------
    message : str
        What was wrong, what was expected, what to do.
    **fields
        Details for programs; each becomes an attribute of the error and is
        listed in `fields`.

    Examples
    --------
    >>> from hubzarr.errors import NotFoundError
    >>> error = NotFoundError("no version 'v9'", version="v9")
    >>> error.kind, error.version, isinstance(error, KeyError), str(error)
    ('not_found', 'v9', True, "no version 'v9'")
    """

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def __str__(self) -> str:  # KeyError would print the repr
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.fields))


def _rebuild(cls: type[HubzarrError], message: str, fields: dict[str, Any]) -> HubzarrError:
    return cls(message, **fields)


class InvalidError(HubzarrError, ValueError):
    """An argument has a value that can't work."""

    kind = "invalid"


class InvalidNameError(InvalidError):
    """A name of an array, version or point breaks the naming rules."""

    kind = "invalid_name"


class SampleError(InvalidError):
    """A sample is broken, or is not what its tensor holds; `path` names its file, if any."""

    kind = "sample"

    def __init__(self, message: str, *, path: str | None = None, **fields: Any) -> None:
        super().__init__(message, path=path, **fields)


class InvalidTypeError(HubzarrError, TypeError):
    """An argument has a type or dtype that can't work."""

    kind = "invalid_type"


class OutOfBoundsError(HubzarrError, IndexError):
    """An index lies outside the array."""

    kind = "out_of_bounds"


class NotFoundError(HubzarrError, KeyError):
    """A name, version, commit or node does not exist."""

    kind = "not_found"


class ExistsError(HubzarrError, FileExistsError):
    """What was to be created exists already."""

    kind = "exists"


class ReadOnlyError(HubzarrError, PermissionError):
    """A write through a handle or to a store that only reads."""

    kind = "read_only"


class SealedError(ReadOnlyError):
    """A write to a sealed version."""

    kind = "sealed"


class ConflictError(HubzarrError, RuntimeError):
    """Two writers changed the same thing to different values."""

    kind = "conflict"


class TransformError(HubzarrError, RuntimeError):
    """A computed function failed on the input `index`; the cause is what it raised."""

    kind = "transform"


class StorageError(HubzarrError, OSError):
    """The store refused or failed: disk full, no permission, network down."""

    kind = "storage"


class OfflineError(StorageError):
    """The setting ``offline`` forbids requests, and the disk cache does not hold what is needed."""

    kind = "offline"


class DamagedError(HubzarrError, OSError):
    """Stored bytes are missing or are not what was written."""

    kind = "damaged"


class UnsupportedError(HubzarrError, RuntimeError):
    """A format, codec or store that this installation can't handle."""

    kind = "unsupported"


class ClosedError(HubzarrError, ValueError):
    """Use of a handle after `close()`."""

    kind = "closed"
