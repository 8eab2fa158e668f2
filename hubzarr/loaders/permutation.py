"""Permutations that a key decides, element by element, without a table of all of them."""

from __future__ import annotations

import math
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Permutation", "digest", "mixed"]

type Numbers = npt.NDArray[np.int64]
type Words = npt.NDArray[np.uint64]

#: Up to so many elements are shuffled by sorting them by a hash: any permutation may come out.
SMALL: Final = 1 << 16
ROUNDS: Final = 8
#: So many at a time stay in the processor's cache.
SLAB: Final = 1 << 14
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def mixed(*key: int) -> int:
    """A 64-bit number from some others, by the finalizer of SplitMix64.

    Examples
    --------
    >>> mixed(1, 2) == mixed(1, 2), mixed(1, 2) == mixed(2, 1)
    (True, False)
    """
    state = np.zeros(1, np.uint64)
    for number in key:
        state = _mix(state + np.uint64(number % 2**64) + _GOLDEN)
    return int(state[0])


def digest(numbers: Numbers) -> int:
    """A 64-bit hash of many numbers in their order.

    Examples
    --------
    >>> import numpy as np
    >>> digest(np.array([2, 0, 1])) == digest(np.array([1, 2, 0]))
    False
    """
    words = np.ascontiguousarray(numbers, "<i8")
    return int.from_bytes(blake2b(words, digest_size=8).digest(), "little")


def _mix(x: Words) -> Words:
    """The finalizer of SplitMix64 [1]_: each bit of the result depends on each bit of `x`.

    .. [1] Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class Permutation:
    """A permutation of ``0 … n - 1`` that a key decides; the same on every machine.

    Small ones are sorted by a hash. Large ones are a Feistel network over the product of two
    residue rings whose size is just above `n` [1]_; what falls outside goes through it again.
    Nothing depends on NumPy's generators, whose streams may change between releases.

    Parameters
    ----------
    n : int
    *key : int

    References
    ----------
    .. [1] Black, Rogaway: Ciphers with arbitrary finite domains, CT-RSA 2002.

    Examples
    --------
    >>> import numpy as np
    >>> shuffle = Permutation(5, 42)
    >>> shuffle(np.arange(5)).tolist()
    [1, 0, 2, 3, 4]
    >>> huge = Permutation(10**15, 42)
    >>> np.unique(huge(np.arange(1000))).size
    1000
    """

    def __init__(self, n: int, *key: int) -> None:
        self.n = n
        self._key = key

    @cached_property
    def _table(self) -> Numbers:
        salt = np.uint64(mixed(self.n, *self._key))
        words = np.arange(self.n, dtype=np.uint64) * _GOLDEN
        return np.argsort(_mix(words ^ salt), kind="stable")

    @cached_property
    def _sides(self) -> tuple[np.uint64, np.uint64]:
        low = math.isqrt(self.n - 1) + 1
        return np.uint64(low), np.uint64(-(-self.n // low))

    @cached_property
    def _salts(self) -> list[np.uint64]:
        return [np.uint64(mixed(self.n, *self._key, number)) for number in range(ROUNDS)]

    def __call__(self, indices: Any) -> Numbers:
        """Where some elements go: int64 of the shape of `indices`."""
        if self.n <= SMALL:
            found: Numbers = self._table[indices]
            return found
        given = np.asarray(indices, np.uint64)
        flat, out = given.reshape(-1), np.empty(given.size, np.int64)
        for start in range(0, flat.size, SLAB):
            out[start : start + SLAB] = self._large(flat[start : start + SLAB])
        return out.reshape(given.shape)

    def _large(self, x: Words) -> Words:
        x = self._network(x)
        beyond = np.flatnonzero(x >= self.n)
        while beyond.size:
            x[beyond] = self._network(x[beyond])
            beyond = beyond[x[beyond] >= self.n]
        return x

    def _network(self, x: Words) -> Words:
        a, b = self._sides
        high, low = np.divmod(x, a)
        for number, salt in enumerate(self._salts):
            if number % 2:
                high = (high + _mix(low * _GOLDEN + salt) % b) % b
            else:
                low = (low + _mix(high * _GOLDEN + salt) % a) % a
        result: Words = high * a + low
        return result
