"""Selections as text: ``0:10,100:200`` is ``a[0:10, 100:200]``."""

from __future__ import annotations

import re
from types import EllipsisType

from hubzarr.errors import InvalidError

__all__ = ["Item", "parse_axis", "parse_selection"]

type Item = int | slice | EllipsisType

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")


def parse_selection(text: str) -> tuple[Item, ...]:
    """Integers, slices and ``...``, with commas between them.

    Raises
    ------
    InvalidError
        It names the part that is none of these.

    Examples
    --------
    >>> parse_selection("0:10, -1, ::2")
    (slice(0, 10, None), -1, slice(None, None, 2))
    >>> parse_selection("...,0")
    (Ellipsis, 0)
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    parts = inner.split(",")
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    items = tuple(_item(part.strip(), text) for part in parts)
    if sum(item is Ellipsis for item in items) > 1:
        raise InvalidError(f"bad selection {text!r}: '...' may stand once only")
    return items


def _item(part: str, text: str) -> Item:
    if part == "...":
        return Ellipsis
    bounds = [bound.strip() for bound in part.split(":")]
    if len(bounds) == 1 and _NUMBER.fullmatch(part):
        return int(part)
    if 2 <= len(bounds) <= 3 and all(not b or _NUMBER.fullmatch(b) for b in bounds):
        chosen = slice(*(int(b) if b else None for b in bounds))
        if chosen.step == 0:
            raise InvalidError(f"bad selection {text!r}: the step of {part!r} can't be 0")
        return chosen
    raise InvalidError(
        f"bad selection {text!r}: {part!r} is no integer and no slice; expected something like "
        "'0:10,100:200', '5', '::2' or '...,0'"
    )


def parse_axis(text: str, axes: int) -> tuple[int, ...]:
    """The axes to reduce; "channel" reduces all but the last.

    Examples
    --------
    >>> parse_axis("channel", 4), parse_axis("0,-1", 3)
    ((0, 1, 2), (0, 2))
    """
    if text == "channel":
        if not axes:
            raise InvalidError("--axis channel needs an axis; the selection is one element")
        return tuple(range(axes - 1))
    parts = [part.strip() for part in text.split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise InvalidError(
            f"bad axis {text!r}: expected 'channel' (all but the last axis are reduced), or axes "
            "to reduce such as '0' or '0,1'"
        )
    chosen = [int(part) for part in parts]
    for axis in chosen:
        if not -axes <= axis < axes:
            raise InvalidError(f"there is no axis {axis}: the selection has {axes} axes")
    distinct = sorted({axis % axes for axis in chosen})
    if len(distinct) < len(chosen):
        raise InvalidError(f"bad axis {text!r}: an axis is given twice")
    return tuple(distinct)
