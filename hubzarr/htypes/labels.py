"""Class labels: names to numbers and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from hubzarr.errors import SampleError
from hubzarr.htypes.spec import TensorSpec

__all__ = ["check_numbers", "class_numbers", "has_names", "names_in", "new_class_names"]


def class_numbers(
    values: Any, class_names: Sequence[str], extend: bool = False
) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Turn names of classes into numbers.

    Parameters
    ----------
    values : array_like of str or int
        Names, numbers or both; a single one gives an array without axes.
    class_names : sequence of str
        The name of class i at position i.
    extend : bool, default False
        Number unknown names on; otherwise they are an error.

    Returns
    -------
    numbers : numpy.ndarray
        Integers, of the shape of `values`.
    new_names : list of str
        Names to put behind `class_names`, in order of appearance.

    Raises
    ------
    SampleError
        A name is unknown, or a value is neither a name nor an integer.

    Examples
    --------
    >>> from hubzarr.htypes import class_numbers
    >>> class_numbers(["dog", "cat", "cow"], ["cat", "dog"], extend=True)
    (array([1, 0, 2]), ['cow'])
    >>> class_numbers("cat", ["cat", "dog"])
    (array(0), [])
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "iu":
            return values, []
        values = values.tolist()
    elif isinstance(values, str):
        values = str(values)
    elif hasattr(values, "tolist"):  # columns of pandas and Arrow
        values = values.tolist()
    index = {name: number for number, name in enumerate(class_names)}
    known = len(index)
    if len(class_names) != known:
        raise SampleError("the tensor's class_names hold a name twice; rename one of them")
    numbers = _look_up(values, index, extend)
    return np.asarray(numbers, np.int64), list(index)[known:]


def _look_up(values: Any, index: dict[str, int], extend: bool) -> Any:
    if not isinstance(values, list | tuple):
        return _number(values, index, extend)
    try:  # nearly all rows are like this
        return [index[value] for value in values]
    except (KeyError, TypeError):
        return [_number(value, index, extend) for value in values]


def _number(value: Any, index: dict[str, int], extend: bool) -> int:
    if isinstance(value, str):
        number = index.get(value)
        if number is None:
            if not extend:
                raise _unknown(value, list(index))
            number = index[value] = len(index)
        return number
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise SampleError(
        f"class label {value!r}, a {type(value).__name__}; expected the name or number of a class"
    )


def _unknown(name: str, class_names: list[str]) -> SampleError:
    near = get_close_matches(name, class_names, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    shown = ", ".join(map(repr, class_names[:10])) + (", …" if len(class_names) > 10 else "")
    return SampleError(
        f"no class {name!r} among class_names [{shown}]{hint}; append it to info.class_names, or "
        "create the tensor with unknown='extend'"
    )


def names_in(value: Any) -> Iterator[str]:
    """Give all names in a value, however deep in lists they are."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "UTO":
            yield from names_in(value.tolist())
    elif isinstance(value, list | tuple):
        for each in value:
            yield from names_in(each)


def has_names(value: Any) -> bool:
    """Tell whether there is a name in a value, however deep in lists."""
    return any(True for _ in names_in(value))


def check_numbers(numbers: Any, info: Mapping[str, Any]) -> None:
    """Refuse numbers of classes beyond a closed list of names."""
    count = len(info.get("class_names", ()))
    if not count:
        return
    if isinstance(numbers, np.ndarray):
        if numbers.size == 0 or numbers.dtype.kind not in "iu":
            return
        numbers = int(numbers.max())
    if numbers >= count:
        raise SampleError(
            f"class number {numbers}, but info.class_names has {count} names; append "
            "the name, or create the tensor with unknown='extend'"
        )


def new_class_names(spec: TensorSpec, values: Any, info: Mapping[str, Any]) -> list[str]:
    """List the names of classes that samples would add to the tensor's info.

    Parameters
    ----------
    spec : TensorSpec
        Of the tensor.
    values : sequence
        Samples.
    info : mapping
        The tensor's info; add the names to its ``class_names`` before preparing the samples.

    Returns
    -------
    list of str
        In order of appearance; empty if the tensor holds no labels or a closed list of them.

    Examples
    --------
    >>> from hubzarr.htypes import new_class_names, tensor_spec
    >>> spec, info = tensor_spec("class_label")
    >>> new_class_names(spec, ["dog", ["cow", "dog"], 7], info)
    ['dog', 'cow']
    """
    if not spec.extends or (isinstance(values, np.ndarray) and values.dtype.kind in "iu"):
        return []
    known = set(info.get("class_names", ()))
    if hasattr(values, "tolist"):
        values = values.tolist()
    return list(dict.fromkeys(name for name in names_in(values) if name not in known))
