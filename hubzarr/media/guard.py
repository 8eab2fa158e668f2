"""One error for whatever a decoder raises when the file it reads is broken."""

from __future__ import annotations

from contextlib import ContextDecorator
from types import TracebackType
from typing import Self

from hubzarr.errors import HubzarrError, SampleError

__all__ = ["broken_unless_read"]

_LONGEST = 300


class broken_unless_read(ContextDecorator):
    """Turn any error of a decoder into `SampleError`, as decorator or context manager.

    Decoders raise almost anything for files that are cut or garbled: errors of their
    own, `struct.error`, `KeyError`, `MemoryError` for sizes that can't be, and panics
    of compiled code, which derive from `BaseException`.  Errors of hubzarr, such as
    that of a missing package, pass.

    Parameters
    ----------
    what : str
        Kind of the file, such as ``"video"``.

    Examples
    --------
    >>> from hubzarr.media.guard import broken_unless_read
    >>> with broken_unless_read("video"):
    ...     b""[0]
    Traceback (most recent call last):
    hubzarr.errors.SampleError: broken video: index out of range
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(
            error, (HubzarrError, KeyboardInterrupt, SystemExit, GeneratorExit)
        ):
            return
        text = " ".join(str(error).split()) or type(error).__name__
        raise SampleError(f"broken {self.what}: {text[:_LONGEST]}") from error
