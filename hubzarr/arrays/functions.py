"""NumPy's protocols: ufuncs and functions on arrays and views.

Statistics take the lazy path; everything else reads the elements first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hubzarr.errors import InvalidTypeError

__all__ = ["apply_function", "apply_ufunc"]

_STATISTICS: dict[Callable[..., Any], str] = {
    np.mean: "mean",
    np.std: "std",
    np.var: "var",
    np.sum: "sum",
    np.min: "min",
    np.max: "max",
    np.nanmean: "nanmean",
    np.nanstd: "nanstd",
    np.nanvar: "nanvar",
    np.nansum: "nansum",
    np.nanmin: "nanmin",
    np.nanmax: "nanmax",
}
#: Functions that write into their first argument.
_WRITERS = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}
_TAKEN = {"axis", "keepdims", "ddof", "dtype"}
#: Bytes of elements that an operation in place has in memory at a time.
STEP_BYTES = 64 << 20
_REDUCERS = {np.add: "sum", np.minimum: "min", np.maximum: "max"}


def apply_ufunc(
    ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], kind: Any
) -> Any:
    """A ufunc on stored arrays: on their elements, giving NumPy arrays."""
    if method == "at" and isinstance(inputs[0], kind):
        elements = inputs[0].compute()
        ufunc.at(elements, *_plain(inputs[1:], kind))
        inputs[0][...] = elements
        return None
    outs = kwargs.get("out") or ()
    if method == "reduce" and ufunc in _REDUCERS and isinstance(inputs[0], kind) and not outs:
        options = {k: v for k, v in kwargs.items() if v is not None}
        # ufunc.reduce works along axis 0 unless told otherwise
        axis = kwargs.get("axis", 0) if "axis" in kwargs else 0
        options["axis"] = axis
        if set(options) <= {"axis", "keepdims", "dtype"} and len(inputs) == 1:
            return getattr(inputs[0], _REDUCERS[ufunc])(**options)
    if any(isinstance(out, kind) for out in outs):
        plain = {k: v for k, v in kwargs.items() if k != "out"}
        for key in _steps(inputs, plain, outs, kind) if method == "__call__" else [...]:
            # A part of an input is the part that is written next: nothing is read too late.
            arrays = [_elements(x, key, kind) for x in inputs]
            results = getattr(ufunc, method)(*arrays, **plain)
            results = results if isinstance(results, tuple) else (results,)
            for out, result in zip(outs, results, strict=True):
                _put(out, key, result, plain.get("casting", "same_kind"), ufunc)
        return outs if len(outs) > 1 else next(iter(outs))
    arrays = [x.compute() if isinstance(x, kind) else x for x in inputs]
    return getattr(ufunc, method)(*arrays, **kwargs)


def _steps(inputs: Any, plain: Mapping[str, Any], outs: Any, kind: Any) -> Iterable[Any]:
    """Parts of ``a += 1`` that one after the other fit into memory, or the whole."""
    out = outs[0]
    alone = len(outs) == 1 and not set(plain) - {"casting", "dtype"}
    if not alone or any(x is not out and (isinstance(x, kind) or np.ndim(x)) for x in inputs):
        return [...]
    rows = len(out) if out.ndim else 1
    step = max(1, STEP_BYTES * rows // max(1, out.nbytes))
    if step >= rows:
        return [...]
    chunk = (out.shards or out.chunks)[0] if hasattr(out, "shards") else 1
    step = -(-step // chunk) * chunk
    return (slice(i, i + step) for i in range(0, rows, step))


def _elements(x: Any, key: Any, kind: Any) -> Any:
    if not isinstance(x, kind):
        return x
    return x.compute() if key is ... else x[key].compute()


def _put(out: Any, key: Any, result: Any, casting: Any, ufunc: np.ufunc) -> None:
    """Write a result where NumPy would, and refuse what it would."""
    given = np.asarray(result).dtype
    if not np.can_cast(given, out.dtype, casting):
        raise InvalidTypeError(
            f"{ufunc.__name__} gives {given}, which can't be put into {out.dtype} by the rule "
            f"{casting!r}; convert it yourself: a[...] = result.astype({str(out.dtype)!r})"
        )
    out[key] = result


def apply_function(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], kind: Any
) -> Any:
    """A NumPy function on stored arrays."""
    name = _STATISTICS.get(func)
    given = {k: v for k, v in kwargs.items() if v is not np._NoValue}
    if name is not None and args and isinstance(args[0], kind):
        positional = dict(zip(("axis",), args[1:2], strict=False))
        if len(args) <= 2 and set(given) <= _TAKEN and not (positional and "axis" in given):
            options = positional | given
            if "ddof" in options and name not in ("std", "var", "nanstd", "nanvar"):
                options.pop("ddof")
            if options.get("dtype") is None:
                options.pop("dtype", None)
            return getattr(args[0], name)(**options)
    if func is np.histogram and args and isinstance(args[0], kind):
        extra = {k: v for k, v in given.items() if v is not None}
        if set(extra) <= {"bins", "range"} and len(args) <= 2:
            return args[0].histogram(*args[1:], **extra)
    if func in (np.shape, np.ndim, np.size) and len(args) == 1 and not given:
        return getattr(args[0], func.__name__)
    target = args[0] if func in _WRITERS and args else kwargs.get("out")
    if not isinstance(target, kind):
        return func(*_plain(args, kind), **_plain(kwargs, kind))
    # Functions that write into an array get its elements, which then go back into the store.
    elements = target.compute()
    if func in _WRITERS:
        func(elements, *_plain(args[1:], kind), **_plain(kwargs, kind))
        target[...] = elements
        return None
    func(*_plain(args, kind), **_plain({**kwargs, "out": elements}, kind))
    target[...] = elements
    return target


def _plain(value: Any, kind: Any) -> Any:
    """The same arguments with elements in place of stored arrays."""
    if isinstance(value, kind):
        return value.compute()
    if isinstance(value, tuple | list):
        return type(value)(_plain(x, kind) for x in value)
    if isinstance(value, dict):
        return {k: _plain(v, kind) for k, v in value.items()}
    return value
