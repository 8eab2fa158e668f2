"""What each setting may be: functions that return a value in its normal form, or raise."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hubzarr.config.places import absolute
from hubzarr.errors import InvalidError

__all__ = ["CHECKS", "check_root", "parse_bytes"]

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _UNITS |= {_letter: 1000**_power, _letter + "b": 1000**_power, _letter + "ib": 1024**_power}
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}
_TRANSPORTS: Final = ("auto", "obstore", "fsspec")


def parse_bytes(value: int | str) -> int:
    """Return a number of bytes given as a number or as text with a unit.

    Examples
    --------
    >>> parse_bytes("512MB"), parse_bytes("1.5 GiB"), parse_bytes(4096)
    (512000000, 1610612736, 4096)
    """
    expected = "expected a number of bytes such as 1048576, '512MB' or '1GiB'"
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", value)
        if found is None or found[2].lower() not in _UNITS:
            raise InvalidError(f"bad size {value!r}: {expected}")
        digits, unit = found[1], _UNITS[found[2].lower()]
        return int(digits) * unit if digits.isdigit() else round(float(digits) * unit)
    number: Any = value  # callers may pass anything, whatever the annotation says
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InvalidError(f"bad size {value!r}: {expected}")
    return number


def check_root(value: Any, folder: str) -> str:
    """Return a root as an absolute path or a URL, without a slash at its end."""
    expected = "expected a URL or folder such as 's3://bucket/hub' or '~/hub'"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
        value = os.path.abspath(value) if isinstance(value, str) else value
    if not isinstance(value, str) or not value or value.startswith("hub://"):
        raise InvalidError(f"bad root {value!r}: {expected}")
    if re.search(r"://[^/]*:[^/]*@", value):
        raise InvalidError("the root contains a password: put it in the store's own settings")
    place = absolute(value, folder)
    return place if re.fullmatch(r"/+|.*://", place) else place.rstrip("/")


def _check_number(value: Any, folder: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise InvalidError(f"bad value {value!r}: expected a number of seconds, 0 or more")
    return number


def _check_threads(value: Any, folder: str) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidError(f"bad value {value!r}: expected a whole number of threads, 1 or more")
    return value


def _check_flag(value: Any, folder: str) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(word, bool):
        return word
    if isinstance(word, str) and word in _WORDS:
        return _WORDS[word]
    raise InvalidError(f"bad value {value!r}: expected true or false")


def _check_author(value: Any, folder: str) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value.strip()
    raise InvalidError(f"bad author {value!r}: expected one line of text such as 'ann@lab'")


def _check_folder(value: Any, folder: str) -> str | None:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is False or value == "off":
        return None
    if not isinstance(value, str) or not value or "://" in value:
        raise InvalidError(f"bad folder {value!r}: expected a path such as '~/cache', or 'off'")
    return absolute(value, folder)


def _check_transport(value: Any, folder: str) -> str:
    if isinstance(value, str) and value in _TRANSPORTS:
        return value
    raise InvalidError(f"bad transport {value!r}: expected 'auto', 'obstore' or 'fsspec'")


def _check_size(value: Any, folder: str) -> int:
    return parse_bytes(value)


#: For each setting but ``roots``, what makes a value normal; relative paths are in `folder`.
CHECKS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "root": check_root,
    "cache_bytes": _check_size,
    "cache_dir": _check_folder,
    "cache_size": _check_size,
    "buffer_bytes": _check_size,
    "sync_interval": _check_number,
    "threads": _check_threads,
    "transport": _check_transport,
    "offline": _check_flag,
    "fsync": _check_flag,
    "author": _check_author,
    "progress": _check_flag,
}
