"""Text and JSON samples: to the bytes that are stored, and back without loss."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Any

import numpy as np

from hubzarr.errors import DamagedError, SampleError
from hubzarr.media import Link

__all__ = [
    "dump_json",
    "dump_link",
    "dump_list",
    "dump_tags",
    "dump_text",
    "load_json",
    "load_text",
]


def dump_text(value: Any) -> bytes:
    """Encode a string in UTF-8.

    Raises
    ------
    SampleError
        The value is no string, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        if not (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "UT"):
            raise SampleError(
                f"text of type {type(value).__name__}; expected a string: convert it, as in "
                "str(value)" + (" or value.decode()" if isinstance(value, bytes) else "")
            )
        value = value.item()
    try:
        return str.encode(value)
    except UnicodeEncodeError as error:
        raise SampleError(f"text that is no valid Unicode: {error}") from error


def load_text(data: bytes) -> str:
    """Decode UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(f"stored text is no UTF-8: {error}") from error


def dump_json(value: Any) -> bytes:
    """Encode a value as JSON in UTF-8; numbers and arrays of NumPy may be in it.

    Tuples and arrays come back as lists. What else JSON would change is refused: keys that
    are no strings, NaN and infinities, halves of surrogate pairs.

    Raises
    ------
    SampleError
        JSON can't say the value.
    """
    try:
        _check_keys(value)
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, SampleError):
            raise
        raise SampleError(f"JSON can't say this: {error}{_advice(error)}") from error


def dump_list(value: Any) -> tuple[bytes, int]:
    """Encode a list as JSON; give its length, too."""
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise SampleError(f"a {type(value).__name__} in a tensor of lists; expected a list")
    return dump_json(value), len(value)


def dump_tags(value: Any) -> tuple[bytes, int]:
    """Encode a list of strings as JSON; give its length, too. A string is a list of one."""
    if isinstance(value, str):
        value = [value]
    elif isinstance(value, np.ndarray):
        value = value.reshape(-1).tolist()
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) for tag in value):
        raise SampleError(f"tags {value!r:.80}; expected a list of strings")
    return dump_json(value), len(value)


def load_json(data: bytes) -> Any:
    """Decode JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"stored JSON can't be read: {error}") from error


def dump_link(value: Any) -> bytes:
    """Encode the address in a link, or an address, in UTF-8."""
    if isinstance(value, Link):
        value = value.path
    elif isinstance(value, PurePath):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise SampleError(
            f"link of type {type(value).__name__}; expected hub.link(address) or an address"
        )
    return dump_text(value)


def _check_keys(value: Any) -> None:
    """Refuse keys that json would silently turn into strings."""
    kind = type(value)
    if kind is dict or isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise SampleError(f"JSON key {key!r} is a {type(key).__name__}; expected a string")
            _check_keys(each)
    elif kind is list or kind is tuple or isinstance(value, list | tuple):
        for each in value:
            if type(each) not in _LEAVES:
                _check_keys(each)


_LEAVES = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    """Turn what JSON doesn't know into what it does."""
    if isinstance(value, np.bool | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is in it")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode


def _advice(error: Exception) -> str:
    if "Out of range float" in str(error):
        return "; put None in place of NaN and infinities"
    if isinstance(error, TypeError):
        return "; expected dicts, lists, strings, numbers, True, False and None"
    return ""
