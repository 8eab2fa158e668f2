"""Files made broken on purpose, and what reading them must do: work, or say `SampleError`."""

from __future__ import annotations

import random
import warnings

from hubzarr.errors import SampleError


def cuts(data: bytes, number: int = 25) -> list[bytes]:
    """The starts of a file, many of them short, where headers are."""
    short = [0, 1, 4, 12, 30, 80, 100, 130, 200, 345, 500]
    long = [len(data) * part // number for part in range(1, number)]
    return [data[:end] for end in sorted({*short, *long, len(data) - 1}) if end < len(data)]


def flips(data: bytes, number: int = 25, within: int | None = None) -> list[bytes]:
    """The file with some bytes changed, within the first bytes if told so."""
    chance = random.Random(len(data))
    found = []
    for _ in range(number):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 3, 20))):
            changed[chance.randrange(min(len(data), within or len(data)))] = chance.randrange(256)
        found.append(bytes(changed))
    return found


def errors_of(read, files: list[bytes]) -> int:
    """How many of the files are told to be broken; any other error than that goes up."""
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn of what is odd
        for data in files:
            try:
                read(data)
            except SampleError:
                count += 1
    return count
