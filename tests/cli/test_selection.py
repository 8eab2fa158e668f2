"""Text as a selection: the same as Python's own reading of it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.cli.selection import parse_axis, parse_selection
from hubzarr.errors import InvalidError

bound = st.none() | st.integers(-9, 9)
slices = st.builds(slice, bound, bound, st.none() | st.integers(-3, 3).filter(bool))
items = st.lists(st.integers(-9, 9) | slices | st.just(...), min_size=1, max_size=4).filter(
    lambda found: sum(item is ... for item in found) <= 1
)


def text_of(item: object) -> str:
    if isinstance(item, slice):
        parts = [item.start, item.stop] + ([] if item.step is None else [item.step])
        return ":".join("" if part is None else str(part) for part in parts)
    return "..." if item is ... else str(item)


@given(items)
def test_round_trip(found: list[object]) -> None:
    assert parse_selection(",".join(map(text_of, found))) == tuple(found)
    assert parse_selection(f"[ {' , '.join(map(text_of, found))}, ]") == tuple(found)


@given(st.text(max_size=12))
def test_any_text_is_a_selection_or_an_error(text: str) -> None:
    with contextlib.suppress(InvalidError):
        key = parse_selection(text)
        assert all(isinstance(item, int | slice) or item is ... for item in key)


@given(st.lists(st.integers(-3, 2), min_size=1, max_size=3))
def test_axes(axes: list[int]) -> None:
    text = ",".join(map(str, axes))
    try:
        wanted = tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axes, 3)))
    except ValueError:
        with pytest.raises(InvalidError, match="twice"):
            parse_axis(text, 3)
    else:
        assert parse_axis(text, 3) == wanted


@pytest.mark.parametrize(("text", "axes"), [("x", 3), ("", 3), ("3", 3), ("channel", 0), ("0", 0)])
def test_bad_axes(text: str, axes: int) -> None:
    with pytest.raises(InvalidError):
        parse_axis(text, axes)
