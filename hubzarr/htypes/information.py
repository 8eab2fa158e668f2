"""Facts about all samples of a tensor, such as class names: checked when a tensor is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError
from hubzarr.htypes.kinds import Htype

__all__ = ["check_information"]

_COORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "bbox": {"type": ("pixel", "fractional"), "mode": ("LTRB", "LTWH", "CCWH")},
    "bbox.3d": {"mode": ("center", "vertex")},
}


def check_information(
    kind: Htype, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort keyword arguments into information and options, and check them.

    Parameters
    ----------
    kind : Htype
        The htype.
    given : mapping
        Keyword arguments.
    Returns
    -------
    information, options : dict
        Of values that JSON can hold.

    Raises
    ------
    InvalidError
        The htype has no such argument, or the value makes no sense.
    """
    information: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else dict(value)
        for name, value in kind.info.items()
    }
    options: dict[str, Any] = {}
    possible = [*kind.info, *(_OPTIONS if kind.name == "class_label" else ("encoding",))]
    if kind.files == "image":
        possible.append("intrinsics")
    for name, value in given.items():
        if name not in possible:
            raise InvalidError(
                f"create_tensor(htype={kind.name!r}, {name}=...); expected one of "
                f"{', '.join(possible)}"
            )
        if name in _OPTIONS:
            options[name] = _OPTIONS[name](value)
        else:
            information[name] = _CHECKS[name](kind, value)
    if kind.name == "class_label":
        # A list of names that somebody wrote is complete; a misspelt name is no new class.
        options.setdefault("unknown", "raise" if information["class_names"] else "extend")
    return information, options


def _class_names(kind: Htype, value: Any) -> list[str]:
    result = _strings("class_names", value)
    if len(set(result)) < len(result):
        twice = next(name for name in result if result.count(name) > 1)
        raise InvalidError(f"class_names hold {twice!r} twice; expected different names")
    return result


def _strings(name: str, value: Any) -> list[str]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidError(f"{name}={value!r:.80}; expected a list of strings")
    if not all(isinstance(each, str) for each in value):
        raise InvalidError(f"{name}={value!r:.80}; expected strings")
    return list(map(str, value))


def _coords(kind: Htype, value: Any) -> dict[str, str]:
    allowed = _COORDS[kind.name]
    good = isinstance(value, Mapping) and all(
        isinstance(word, str) and word in allowed.get(key, ()) for key, word in value.items()
    )
    if not good:
        told = "; ".join(
            f"{key!r}: {' | '.join(map(repr, words))}" for key, words in allowed.items()
        )
        raise InvalidError(f"coords={value!r}; expected a dict with {told}")
    return dict(value)


def _connections(kind: Htype, value: Any) -> list[list[int]]:
    try:
        pairs = np.asarray(value)
        if pairs.size == 0:
            return []
        if pairs.dtype.kind not in "iu" or pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError
    except ValueError:
        raise InvalidError(
            f"connections={value!r:.80}; expected pairs of numbers of keypoints"
        ) from None
    return [[int(a), int(b)] for a, b in pairs.tolist()]


def _intrinsics(kind: Htype, value: Any) -> list[list[float]]:
    try:
        matrix = np.asarray(value, "f8")
        if matrix.shape != (3, 3):
            raise ValueError
    except (ValueError, TypeError):
        raise InvalidError(f"intrinsics={value!r:.80}; expected a matrix of 3 × 3") from None
    return [[float(x) for x in row] for row in matrix.tolist()]


_CHECKS: dict[str, Callable[[Htype, Any], Any]] = {
    "class_names": _class_names,
    "coords": _coords,
    "keypoints": lambda kind, value: _strings("keypoints", value),
    "connections": _connections,
    "intrinsics": _intrinsics,
}


def _unknown(value: Any) -> str:
    if value not in ("extend", "raise"):
        raise InvalidError(f"unknown={value!r}; expected 'extend' or 'raise'")
    return str(value)


def _encoding(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidError(f"encoding={value!r:.80}; expected a dict such as {{'quality': 90}}")
    return dict(value)


_OPTIONS: dict[str, Callable[[Any], Any]] = {"unknown": _unknown, "encoding": _encoding}
