"""Errors about an index that NumPy users expect to catch as `IndexError`.

They are the `InvalidError` and `InvalidTypeError` of the error tree, with the
same `kind`, and an `IndexError` besides, because that is what ``ndarray`` raises.
"""

from __future__ import annotations

from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["IndexTypeError", "InvalidIndexError"]


class InvalidIndexError(InvalidError, IndexError):
    """An index has a form that doesn't fit the array: too many axes, a mask of another shape.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> try:
    ...     apply(identity((2, 3)), (0, 0, 0))
    ... except IndexError as error:
    ...     print(type(error).__name__, error.kind)
    InvalidIndexError invalid
    """


class IndexTypeError(InvalidTypeError, IndexError):
    """An index is of a type that can't select anything, such as a float or a string.

    Examples
    --------
    >>> from hubzarr.indexing import apply, identity
    >>> try:
    ...     apply(identity((2, 3)), 1.5)
    ... except IndexError as error:
    ...     print(type(error).__name__, error.kind)
    IndexTypeError invalid_type
    """
