"""Statistics of dtypes that have no stored ones: computed from the data in one stream.

Complex and extended floats, dates and times, strings.  Each block gives a `Part`;
parts combine, and the last one is finished to what NumPy gives for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from hubzarr.dtypes import as_dtype
from hubzarr.errors import InvalidError, InvalidTypeError

__all__ = ["Part", "combine_parts", "fallback_supported", "finish_part", "measure_part"]

type Array = np.ndarray[Any, Any]
type Axes = int | tuple[int, ...] | None

_PICK: dict[str, Any] = {"min": np.minimum, "max": np.maximum, "nanmin": np.fmin, "nanmax": np.fmax}
_ORDER = frozenset(_PICK)
_MOMENTS = frozenset({"sum", "mean", "var", "std", "nansum", "nanmean", "nanvar", "nanstd"})
_SIZE = frozenset({"count", "size"})


@dataclass(frozen=True, slots=True)
class Part:
    """What one block contributes to a statistic; arrays have the shape of the result."""

    size: int
    """Elements that each result has seen."""
    holes: Any = 0
    """Of these, NaN or NaT."""
    value: Any = None
    """Sum, minimum or maximum so far; None before the first element."""
    mean: Any = None
    m2: Any = None


def fallback_supported(name: str, dtype: Any) -> bool:
    """Tell whether a statistic of a dtype can be computed by `measure_part`.

    Parameters
    ----------
    name : str
        One of `hubzarr.stats.STATISTICS`.
    dtype : dtype-like

    Returns
    -------
    bool

    Examples
    --------
    >>> from hubzarr.stats import fallback_supported
    >>> fallback_supported("mean", "complex64"), fallback_supported("sum", "datetime64[s]")
    (True, False)
    """
    kind: str = as_dtype(dtype).kind
    if name in _SIZE:
        return kind != "V"
    if kind in "cf":
        return name in _ORDER | _MOMENTS
    if kind == "m":
        return name in _ORDER or name in ("sum", "mean", "nansum", "nanmean")
    if kind == "M":
        return name in _ORDER
    return kind in "USTO" and name in ("min", "max")


def measure_part(block: Array, name: str, axes: Axes = None, keepdims: bool = False) -> Part:
    """Measure what one block contributes to a statistic.

    Parameters
    ----------
    block : numpy.ndarray
    name : str
    axes : int, tuple of int or None
        To reduce; None means all.
    keepdims : bool, default False

    Returns
    -------
    Part

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import combine_parts, finish_part, measure_part
    >>> x = np.array([1 + 1j, 3 - 1j, 2j])
    >>> parts = [measure_part(x[:1], "mean"), measure_part(x[1:], "mean")]
    >>> bool(np.isclose(finish_part(combine_parts(parts), "mean", x.dtype), x.mean()))
    True
    """
    if not fallback_supported(name, block.dtype):
        raise InvalidTypeError(
            f"{name} is not defined for dtype {block.dtype}; choose another statistic, or cast"
        )
    chosen = range(block.ndim) if axes is None else (axes,) if isinstance(axes, int) else axes
    size = prod(block.shape[a] for a in chosen)
    holes: Any = 0
    if block.dtype.kind in "cfmM":
        missing = np.isnat(block) if block.dtype.kind in "mM" else np.isnan(block)
        holes = np.count_nonzero(missing, axis=axes, keepdims=keepdims)
        # NumPy's nansum and nanmean don't leave out NaT.
        if name.startswith("nan") and name not in _ORDER and block.dtype.kind != "m":
            block = np.where(missing, block.dtype.type(0), block)
    else:
        missing = None
    if name in _SIZE or size == 0:
        return Part(size, holes)
    if name in _ORDER:
        return Part(size, holes, _extreme(block, name, axes, keepdims))
    return _moments(block, name, axes, keepdims, (size, holes, missing))


def _extreme(block: Array, name: str, axes: Axes, keepdims: bool) -> Any:
    if block.dtype.kind not in "USTO":
        return _PICK[name].reduce(block, axis=axes, keepdims=keepdims)
    # NumPy reduces these along one axis only.
    chosen = range(block.ndim) if axes is None else (axes,) if isinstance(axes, int) else axes
    reduced = sorted(a % block.ndim for a in chosen)
    kept = [a for a in range(block.ndim) if a not in reduced]
    flat = block.transpose(kept + reduced).reshape([block.shape[a] for a in kept] + [-1])
    if block.dtype.kind in "US":  # which it sorts, but has no ufunc to compare
        found = np.sort(flat, axis=-1)[..., 0 if name == "min" else -1]
    else:
        found = _PICK[name].reduce(flat, axis=-1)
    return np.expand_dims(found, tuple(reduced)) if keepdims else found


def _moments(block: Array, name: str, axes: Axes, keepdims: bool, seen: Any) -> Part:
    size, holes, missing = seen
    options: Any = {"axis": axes, "keepdims": keepdims}
    if block.dtype.kind == "m":
        return Part(size, holes, np.add.reduce(block, **options))
    options["keepdims"] = True
    wide = np.result_type(block.dtype, "f8")
    with np.errstate(all="ignore"):
        total = np.add.reduce(block, dtype=wide, **options)
        skip = name.startswith("nan")
        n = size - (np.count_nonzero(missing, **options) if skip else 0)
        mean = total / np.maximum(n, 1)
        m2 = None
        if name.endswith(("var", "std")):
            d = block - mean
            if skip:
                d = np.where(missing, 0, d)
            m2 = np.add.reduce(d.real**2 + d.imag**2, **options)
    if keepdims:
        return Part(size, holes, total, mean, m2)
    drop = tuple(range(block.ndim)) if axes is None else axes
    squeezed = [None if v is None else np.squeeze(v, drop) for v in (total, mean, m2)]
    return Part(size, holes, *squeezed)


def combine_parts(parts: Sequence[Part], name: str = "sum") -> Part:
    """Combine the parts of a statistic.

    Parameters
    ----------
    parts : sequence of Part
        At least one.
    name : str
        The statistic, which `min` and `max` need.

    Returns
    -------
    Part

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import combine_parts, measure_part
    >>> parts = [measure_part(np.array(t), "max") for t in (["a", "c"], ["b"])]
    >>> str(combine_parts(parts, "max").value)
    'c'
    """
    out = parts[0]
    for part in parts[1:]:
        out = _pair(out, part, name)
    return out


def _pair(a: Part, b: Part, name: str) -> Part:
    size, holes = a.size + b.size, a.holes + b.holes
    if a.value is None or b.value is None:
        full = b if a.value is None else a
        return Part(size, holes, full.value, full.mean, full.m2)
    if name in _ORDER:
        both = np.stack([np.asarray(a.value), np.asarray(b.value)])
        return Part(size, holes, _extreme(both, name, 0, False))
    if a.mean is None:
        return Part(size, holes, a.value + b.value)
    skip = name.startswith("nan")
    n, k = (a.size - a.holes, b.size - b.holes) if skip else (a.size, b.size)
    whole = np.maximum(n + k, 1)
    with np.errstate(all="ignore"):
        step = b.mean - a.mean
        mean = a.mean + step * (k / whole)
        m2 = None
        if a.m2 is not None and b.m2 is not None:
            m2 = a.m2 + b.m2 + (step.real**2 + step.imag**2) * (n * (k / whole))
        return Part(size, holes, a.value + b.value, mean, m2)


def finish_part(
    part: Part, name: str, input_dtype: Any, *, ddof: float = 0, dtype: Any = None
) -> Any:
    """Turn a part into the statistic.

    Parameters
    ----------
    part : Part
        Of all data, combined.
    name : str
    input_dtype : dtype-like
        Of the array.
    ddof : float, default 0
    dtype : dtype-like, optional
        Of the result of sum, mean, var and std.

    Returns
    -------
    scalar or numpy.ndarray
        With the dtype that NumPy gives.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.stats import finish_part, measure_part
    >>> x = np.array([1, 3], "timedelta64[s]")
    >>> str(finish_part(measure_part(x, "mean"), "mean", x.dtype))
    '2 seconds'
    """
    given: np.dtype[Any] = as_dtype(input_dtype)
    if given.kind in "cfmM":
        given = given.newbyteorder("=")
    if name == "size":
        return np.asarray(part.size + 0 * part.holes, "i8")[()]
    if name == "count":
        return np.asarray(part.size - part.holes, "i8")[()]
    if part.value is None:
        return _empty(name, given, np.shape(part.holes))
    if name in _ORDER:
        value = np.asarray(part.value)
        return (value if given.kind in "USTO" else value.astype(given))[()]
    if given.kind == "m":
        return part.value if name.endswith("sum") else part.value / part.size
    n = part.size - (part.holes if name.startswith("nan") else 0)
    with np.errstate(all="ignore"):
        if name.endswith("sum"):
            value = part.value
        elif name.endswith("mean"):
            value = np.where(n > 0, part.value / np.maximum(n, 1), np.nan)
        else:
            value = np.where(n - ddof > 0, part.m2 / np.maximum(n - ddof, 1e-300), np.nan)
            value = np.sqrt(value) if name.endswith("std") else value
    target = as_dtype(dtype) if dtype is not None else given
    if name.endswith(("var", "std")):
        target = np.empty(0, target).real.dtype
    return np.asarray(value).astype(target)[()]


def _empty(name: str, given: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """Give a statistic of no elements."""
    if name in _ORDER:
        raise InvalidError(
            f"zero-size array to reduction operation {name}, which has no identity; "
            "expected at least one element"
        )
    if name.endswith("sum"):
        return np.zeros(shape, given)[()]
    if given.kind == "m":
        return np.full(shape, np.array("NaT", given))[()]
    target = np.empty(0, given).real.dtype if name.endswith(("var", "std")) else given
    return np.full(shape, np.nan, target)[()]
