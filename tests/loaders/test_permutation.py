"""Permutations: bijective, even, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubzarr.loaders.permutation import SMALL, Permutation, mixed

GOLDEN_MIXED = 13608149317741381227
GOLDEN = {
    (5, 42): [1, 0, 2, 3, 4],
    (10, 0, 0, 1): [2, 9, 7, 0, 5, 8],
    (1000, 1, 2): [967, 869, 585, 477, 730, 144],
    (65536, 9): [25909, 55213, 60537, 11728, 44511, 53089],
    (65537, 9): [14331, 40446, 45308, 17994, 57753, 58461],
    (1000000, 3, 1): [456853, 788491, 323315, 120075, 193325, 602296],
    (10000000, -1): [5100815, 5077124, 2522801, 8897076, 5291899, 9081617],
    (1000000000000, 5, 5): [
        931699972195,
        805519680172,
        931879736353,
        620939361906,
        951678956726,
        593240090720,
    ],
    (4611686018427387904, 1): [
        356741043044351095,
        3250600039023802004,
        3037791129523636567,
        728340288507668169,
        810543913755418836,
        3543519176048805886,
    ],
}

keys = st.lists(st.integers(-(2**63), 2**64 - 1), max_size=3)


@given(n=st.integers(0, 3000), key=keys)
@example(n=0, key=[])
@example(n=1, key=[0])
@example(n=2, key=[0])
def test_every_element_comes_once(n, key):
    found = Permutation(n, *key)(np.arange(n))
    assert found.dtype == np.int64
    assert sorted(found.tolist()) == list(range(n))


@pytest.mark.parametrize("n", [SMALL, SMALL + 1, SMALL + 2, 257**2 - 1, 257**2, 300_007, 10**6])
def test_every_element_of_a_large_one_comes_once(n):
    found = Permutation(n, 5, 1)(np.arange(n))
    assert np.array_equal(np.sort(found), np.arange(n))


@given(n=st.integers(SMALL + 1, 2**62), key=keys, seed=st.integers(0, 2**32))
def test_no_two_elements_of_a_huge_one_meet(n, key, seed):
    chosen = np.unique(np.random.default_rng(seed).integers(0, n, 500))
    found = Permutation(n, *key)(chosen)
    assert np.unique(found).size == chosen.size
    assert 0 <= found.min() <= found.max() < n


@pytest.mark.parametrize("n", [50_000, 3 * SMALL])
def test_asking_bit_by_bit_gives_the_same(n):
    shuffle = Permutation(n, 3)
    whole = shuffle(np.arange(n))
    assert np.array_equal(shuffle(np.arange(17, 4000)), whole[17:4000])
    assert np.array_equal(shuffle(np.arange(60).reshape(3, 20)), whole[:60].reshape(3, 20))
    assert shuffle(n - 1) == whole[-1]
    assert shuffle([]).shape == (0,)


@pytest.mark.parametrize("n", [100, 1000, SMALL + 1, 10**6, 10**9])
def test_keys_give_permutations_that_have_nothing_in_common(n):
    some = np.arange(min(n, 2000))
    base = Permutation(n, 7, 0)(some)
    others = [Permutation(n, 7, 1)(some), Permutation(n, 8, 0)(some), Permutation(n, 0, 7)(some)]
    for other in others:
        assert (base == other).mean() < 0.06
        assert abs(np.corrcoef(base, other)[0, 1]) < (0.35 if n == 100 else 0.1)


def chi_square(counts):
    expected = counts.mean()
    return float(((counts - expected) ** 2 / expected).sum())


def test_each_element_is_as_likely_at_each_place():
    n, tries = 8, 8000
    found = np.stack([Permutation(n, seed)(np.arange(n)) for seed in range(tries)])
    for place in range(n):
        # 7 degrees of freedom: 24.3 is exceeded once in a thousand cases.
        assert chi_square(np.bincount(found[:, place], minlength=n)) < 24.3


def test_all_orders_of_four_are_as_likely():
    found = np.stack([Permutation(4, 1, seed)(np.arange(4)) for seed in range(12_000)])
    ranks = np.unique(found @ [64, 16, 4, 1], return_counts=True)[1]
    assert ranks.size == 24
    assert chi_square(ranks) < 49.7  # 23 degrees of freedom


@pytest.mark.parametrize("n", [SMALL + 1, 200_000, 1_000_003, 10**9])
def test_neighbours_are_strewn_evenly(n):
    bins = 64
    first = Permutation(n, 11)(np.arange(20_000))
    counts = np.bincount(first * bins // n, minlength=bins)
    assert chi_square(counts) < 104  # 63 degrees of freedom
    steps = np.diff(first) % n
    assert chi_square(np.bincount(steps * bins // n, minlength=bins)) < 104


@pytest.mark.parametrize("n", [SMALL + 1, 10**6])
def test_an_element_goes_anywhere_as_the_key_changes(n):
    bins = 16
    found = np.array([Permutation(n, seed)(np.arange(3)) for seed in range(2000)])
    for element in range(3):
        assert chi_square(np.bincount(found[:, element] * bins // n, minlength=bins)) < 37.7


def test_orders_are_a_format():
    """States of loaders name positions in these orders: who changes them, changes `ORDERS`."""
    assert mixed() == 0
    assert mixed(1, 2) == GOLDEN_MIXED
    assert mixed(-1) == mixed(2**64 - 1)
    for (n, *key), expected in GOLDEN.items():
        assert Permutation(n, *key)(np.arange(min(n, 6))).tolist() == expected
