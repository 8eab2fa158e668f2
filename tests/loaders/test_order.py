"""The order of an epoch: every row once, in windows, however one asks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.loaders.order import Blocks, Order

SHUFFLES = ("none", "window", "full")


@st.composite
def blocks(draw, longest=300):
    """Blocks as datasets have them, and as views with holes, repeats and another order have."""
    step = draw(st.integers(1, 40))
    if draw(st.booleans()):
        return Blocks.regular(draw(st.integers(0, longest)), step, draw(st.integers(0, 100)))
    numbers = draw(st.lists(st.integers(0, longest), max_size=longest))
    if draw(st.booleans()):
        numbers = sorted(set(numbers))
    return Blocks.of_rows(np.array(numbers, np.int64), step)


@st.composite
def orders(draw):
    return Order(
        draw(blocks()), draw(st.sampled_from(SHUFFLES)), draw(st.integers(-5, 5)),
        draw(st.integers(0, 3)), draw(st.integers(1, 400)),
    )  # fmt: skip


# -- blocks --------------------------------------------------------------------------------


@given(length=st.integers(0, 500), step=st.integers(0, 60), first=st.integers(0, 500))
def test_regular_blocks_end_where_chunks_end(length, step, first):
    found = Blocks.regular(length, step, first)
    assert found.length == length
    assert (np.diff(found.starts) > 0).all()
    inner = found.starts[1:-1]
    assert ((inner + first) % max(1, step) == 0).all()
    assert found.rows(np.arange(found.count)).tolist() == list(range(length))


@given(
    numbers=st.lists(st.integers(0, 200), max_size=200)
    | st.integers(0, 100).flatmap(lambda count: st.permutations(range(count))),
    step=st.integers(1, 50),
)
def test_blocks_of_a_view_hold_rows_of_one_stretch_of_the_dataset(numbers, step):
    given_numbers = np.array(numbers, np.int64)
    found = Blocks.of_rows(given_numbers, step)
    assert found.length == len(numbers)
    assert found.count == len({number // step for number in numbers})
    seen = []
    for block in range(found.count):
        rows = found.rows(np.array([block]))
        assert len({numbers[row] // step for row in rows.tolist()}) == 1
        assert given_numbers[rows].tolist() == sorted(given_numbers[rows].tolist())
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(numbers)))


def test_blocks_of_rows_in_order_need_no_table():
    assert Blocks.of_rows(np.arange(0, 100, 3), 10).members is None
    assert Blocks.of_rows(np.arange(100)[::-1], 10).members is not None


# -- orders --------------------------------------------------------------------------------


@given(order=orders())
def test_every_row_comes_once(order):
    found = order.rows(0, order.length)
    assert sorted(found.tolist()) == list(range(order.length))


@given(order=orders())
def test_windows_cut_the_epoch(order):
    starts = order.starts.tolist()
    assert starts[0] == 0
    assert starts[-1] == order.length
    assert (np.diff(order.starts) > 0).all()
    whole = order.rows(0, order.length)
    for number in range(order.count):
        window = order.at(number)
        assert (window.start, window.stop) == tuple(starts[number : number + 2])
        assert sorted(window.picks.tolist()) == list(range(len(window.rows)))
        assert np.array_equal(window.rows[window.picks], whole[window.start : window.stop])
        assert order.window_of(window.start) == order.window_of(window.stop - 1) == number


@given(order=orders(), data=st.data())
def test_any_way_of_asking_gives_the_same(order, data):
    whole = order.rows(0, order.length)
    start = data.draw(st.integers(0, order.length))
    stop = data.draw(st.integers(start, order.length))
    again = Order(order.blocks, order.shuffle, order.seed, order.epoch, order.window)
    assert again.rows(start, stop).tolist() == whole[start:stop].tolist()
    chosen = np.array(data.draw(st.permutations(range(order.length))), np.int64)[:50]
    windows, picks = again.places(chosen)
    rows = [int(again.at(w).rows[p]) for w, p in zip(windows.tolist(), picks.tolist(), strict=True)]
    assert rows == whole[chosen].tolist()


@given(order=orders())
def test_windows_are_as_large_as_was_asked_for(order):
    sizes = np.diff(order.starts)
    if order.shuffle == "full":
        assert sizes.max(initial=0) <= order.window
    elif order.blocks.count:
        blocks = np.diff(order.blocks.starts)
        most = max(1, round(order.window * order.blocks.count / order.length))
        assert sizes.max() <= most * blocks.max()


@given(blocks=blocks(), seed=st.integers(), window=st.integers(1, 400))
def test_without_shuffle_rows_come_as_they_are(blocks, seed, window):
    order = Order(Blocks.regular(blocks.length, 7), "none", seed, 3, window)
    assert order.rows(0, order.length).tolist() == list(range(order.length))


@pytest.mark.parametrize("shuffle", ["window", "full"])
def test_seeds_and_epochs_give_other_orders(shuffle):
    def rows(seed, epoch):
        return Order(Blocks.regular(500, 10), shuffle, seed, epoch, 100).rows(0, 500).tolist()

    found = [rows(0, 0), rows(0, 1), rows(1, 0), rows(1, 1), rows(-1, 0)]
    assert len({tuple(one) for one in found}) == len(found)
    assert rows(1, 1) == found[3]


def test_the_first_windows_are_smaller():
    def sizes(shuffle, length):
        return np.diff(Order(Blocks.regular(length, 10), shuffle, 0, 0, 8000).starts).tolist()

    for shuffle in SHUFFLES:
        assert sizes(shuffle, 100_000)[:5] == [1000, 2000, 4000, 8000, 8000]
    # A window that holds all mixes all.
    assert sizes("window", 8000) == [8000]
    assert sizes("full", 2000) == [2000]
    assert sizes("none", 2000) == [1000, 1000]


@pytest.mark.parametrize("shuffle", ["window", "full"])
def test_a_window_mixes_all_that_it_holds(shuffle):
    order = Order(Blocks.regular(4096, 16), shuffle, 5, 0, 4096)
    found = order.rows(0, 4096)
    counts = np.histogram2d(np.arange(4096), found, bins=8)[0]
    assert ((counts - 64) ** 2 / 64).sum() < 100  # about 49 degrees of freedom


def test_fingerprints_tell_orders_apart():
    def mark(blocks, shuffle="window", window=100, seed=0):
        return Order(blocks, shuffle, seed, 0, window).fingerprint

    regular = Blocks.regular(500, 10)
    assert mark(regular) == mark(Blocks.regular(500, 10)) == mark(regular, seed=9)
    others = [
        mark(regular, window=101), mark(Blocks.regular(500, 20)), mark(Blocks.regular(500, 10, 3)),
        mark(Blocks.regular(501, 10)), mark(regular, "full"), mark(regular, "none"),
        mark(Blocks.of_rows(np.arange(500)[::-1], 10)),
        mark(Blocks.of_rows(np.arange(500) % 250, 10)),
        mark(Blocks.of_rows(np.roll(np.arange(500), 250), 10)),
    ]  # fmt: skip
    assert len({mark(regular), *others}) == 1 + len(others)
    # Without a shuffle, blocks and windows are only how it is read.
    assert mark(regular, "none") == mark(Blocks.regular(500, 3), "none", window=7)
    assert mark(regular, "full") == mark(Blocks.regular(500, 3), "full", window=7)


def test_orders_are_a_format():
    """States name positions in these orders: who changes them, changes `ORDERS`."""
    regular = Blocks.regular(40, 4, 2)
    view = Blocks.of_rows(np.array([9, 3, 3, 27, 28, 1, 14, 0, 8, 19]), 5)
    found = {
        "window": Order(regular, "window", 3, 1, 12),
        "full": Order(regular, "full", 3, 1, 12),
        "one": Order(regular, "window", 3, 1, 40),
        "view": Order(view, "window", 3, 1, 4),
    }
    for name, order in found.items():
        assert order.rows(0, order.length).tolist() == GOLDEN[name], name
        assert order.fingerprint == FINGERPRINTS[name], name


GOLDEN = {
    "window": [
        36, 35, 34, 37, 25, 21, 18, 22, 23, 19, 24, 20, 7, 38, 4, 8, 3, 9, 6, 5, 39, 2, 1,
        13, 33, 12, 10, 31, 11, 0, 30, 32, 16, 26, 15, 14, 28, 17, 29, 27,
    ],
    "full": [
        7, 38, 22, 23, 34, 16, 36, 8, 11, 21, 19, 10, 17, 26, 1, 15, 27, 13, 12, 31, 18, 32,
        9, 30, 37, 33, 28, 29, 24, 3, 14, 35, 5, 0, 25, 2, 6, 4, 20, 39,
    ],
    "one": [
        12, 35, 36, 14, 24, 1, 5, 7, 29, 20, 15, 39, 37, 28, 22, 8, 4, 27, 19, 16, 11, 26,
        38, 3, 6, 23, 33, 32, 13, 30, 34, 10, 25, 2, 0, 18, 31, 21, 9, 17,
    ],
    "view": [6, 4, 1, 7, 5, 2, 3, 8, 0, 9],
}  # fmt: skip
FINGERPRINTS = {
    "window": "ca92d4b211c4eb8d",
    "full": "b349cc45b46256b9",
    "one": "049cc2e39296ebb7",
    "view": "941d640100d76175",
}
