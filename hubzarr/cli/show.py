"""Printing: tables and lines for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "line",
    "marked",
    "pairs",
    "plain",
    "print_json",
    "say_shape",
    "say_time",
    "styled",
    "table",
]

#: Width where nobody looks: a pipe gets whole lines.
_WIDE = 10_000


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False, markup=False)


def line(text: str) -> None:
    """Print one line as it is."""
    print(text)


def marked(lines: Iterable[tuple[bool | None, str]]) -> None:
    """Print lines; on a terminal, good ones begin in green and bad ones in red."""
    colours = {True: "green", False: "bold red"} if sys.stdout.isatty() else {}
    for good, text in lines:
        colour = colours.get(good) if good is not None else None
        if colour is None:
            print(text.rstrip())
        else:
            styled(text.rstrip(), colour)


def styled(text: str, style: str) -> None:
    """Print one line of which the first word has a style, such as "green"."""
    from rich.text import Text

    first = len(text.partition(" ")[0])
    made = Text(text)
    made.stylize(style, 0, first)
    _console().print(made, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> None:
    """Print a table; the columns in `right` are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    numbers = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        # As Text: brackets in names and regions are no markup.
        made.add_row(*(Text(str(cell)) for cell in row))
    console = _console()
    with console.capture() as captured:
        console.print(made)
    print("\n".join(text.rstrip() for text in captured.get().rstrip("\n").split("\n")))


def pairs(rows: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair on each line."""
    shown = [(name, str(value)) for name, value in rows]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def plain(value: Any) -> Any:
    """The same value as JSON has it; numbers that JSON lacks become text.

    Examples
    --------
    >>> plain({"a": np.float64("nan"), "b": (np.int8(1), np.array([1.5]))})
    {'a': 'NaN', 'b': [1, [1.5]]}
    """
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        # Dates and times become text, which .tolist() would make numbers of nanoseconds.
        value = value.astype(str) if value.dtype.kind in "mM" else value
        return plain(value.tolist())
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    text = json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    # What came from a foreign file system may hold half a surrogate pair.
    sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")


def say_shape(shape: Sequence[int] | None) -> str:
    """A shape for people.

    Examples
    --------
    >>> say_shape((100000, 512, 3)), say_shape(()), say_shape(None)
    ('100,000 × 512 × 3', 'scalar', '–')
    """
    if shape is None:
        return "–"
    return " × ".join(f"{n:,}" for n in shape) or "scalar"


def say_time(iso: str) -> str:
    """A time of a commit, to the second.

    Examples
    --------
    >>> say_time("2026-01-31T12:00:00.123456Z")
    '2026-01-31 12:00:00'
    """
    return iso[:19].replace("T", " ")
