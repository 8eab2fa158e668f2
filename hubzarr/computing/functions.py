"""`compute` and `compose`: how a transform is written."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hubzarr.computing.collecting import SampleOut
from hubzarr.computing.evaluating import Options, evaluate
from hubzarr.computing.inputs import described
from hubzarr.computing.report import ComputeReport
from hubzarr.datasets import Dataset
from hubzarr.errors import InvalidTypeError

__all__ = ["ComputeFunction", "Pipeline", "compose", "compute"]


@dataclass(frozen=True)
class Step:
    """A function and its arguments beyond the first two.

    Parameters
    ----------
    function : ComputeFunction
    args : tuple
    kwargs : dict
    """

    function: ComputeFunction
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, sample_in: Any, sample_out: SampleOut) -> Any:
        return self.function.function(sample_in, sample_out, *self.args, **self.kwargs)


class Pipeline:
    """Functions one after the other, with their arguments; made by calling one, or by `compose`.

    Parameters
    ----------
    steps : tuple of Step

    Examples
    --------
    >>> import hubzarr as hub
    >>> @hub.compute
    ... def numbers(sample_in, sample_out, factor):
    ...     for i in range(sample_in):
    ...         sample_out.x.append(i * factor)
    >>> ds = hub.empty("examples/pipeline")
    >>> _ = ds.create_tensor("x")
    >>> numbers(factor=10).eval([1, 2, 0, 3], ds).rows
    6
    >>> ds.x.numpy()
    array([ 0,  0, 10,  0, 10, 20])
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    @property
    def name(self) -> str:
        """Names of the functions."""
        return " → ".join(step.function.__name__ for step in self.steps)

    def eval(
        self,
        inputs: Any,
        ds_out: Dataset | None = None,
        num_workers: int = 0,
        scheduler: str = "threads",
        progressbar: bool = True,
        skip_ok: bool = False,
        check_lengths: bool = True,
        checkpoint_interval: int = 0,
        ignore_errors: bool = False,
        message: str | None = None,
    ) -> ComputeReport:
        """Run the functions on each input, and append what they give, in the order of inputs.

        All of it is one commit; after an exception nothing of it remains. Inside ``with ds:``
        it is part of that block's commit, and an exception that is caught inside the block takes
        back rows that were appended, but not those that were changed in place.

        Without `ds_out`, rows are changed in place: `inputs` is a dataset or a view, and the
        function gives one sample for each tensor that it wants to change, or none to leave a
        row as it is. What it reads is the row as it was.

        Parameters
        ----------
        inputs : iterable, Dataset, DatasetView or Tensor
            What the first function gets, one by one. Rows of a dataset come as views of one
            row, to be read as ``sample_in.images.numpy()``.
        ds_out : Dataset, optional
            What to append to.
        num_workers : int, default 0
            How many threads or processes; 0: none but the caller's own (of a dask cluster:
            all). Functions in threads must not change what they share.
        scheduler : {"threads", "processes", "distributed", "serial"}
            Who works. "distributed" is the current client of dask, or a local cluster.
        progressbar : bool, default True
            Whether to show a progress bar, if the settings do not say otherwise.
        skip_ok : bool, default False
            A function may leave tensors out, which stay shorter.
        check_lengths : bool, default True
            Refuse inputs that give different numbers of samples to tensors.
        checkpoint_interval : int, default 0
            Commit each time that so many inputs are done. If the process is killed, the same
            call goes on after the last of these commits, and no row comes twice.
        ignore_errors : bool, default False
            Leave out inputs that fail, and report them.
        message : str, optional
            Of the commit.

        Returns
        -------
        ComputeReport
            Numbers of inputs and rows, and what was skipped.

        Raises
        ------
        TransformError
            A function failed on an input, or a sample it gave does not fit its tensor; `index`
            tells which input, and the error's cause is what was raised.
        InvalidError
            The dataset can't take the rows, or arguments exclude each other.
        """
        options = Options(
            num_workers, scheduler, progressbar, skip_ok, check_lengths, checkpoint_interval,
            ignore_errors, message,
        )  # fmt: skip
        arguments = described([[step.args, step.kwargs] for step in self.steps])
        return evaluate(self.name, self.steps, arguments, inputs, ds_out, options)

    def __repr__(self) -> str:
        return f"<hubzarr.Pipeline {self.name}>"


class ComputeFunction:
    """A function from a sample to rows: call it with its other arguments, then `Pipeline.eval`.

    Parameters
    ----------
    function : callable
        Takes a sample, a `SampleOut` and whatever else.

    Examples
    --------
    >>> ComputeFunction(lambda sample_in, sample_out, factor: None)(2)
    <hubzarr.Pipeline <lambda>>
    """

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any]) -> None:
        self._rest = _other_parameters(function)
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Pipeline:
        try:
            self._rest.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidTypeError(
                f"{self.__name__}{self._rest} was called with wrong arguments: {error}. The sample "
                "and sample_out are not given here"
            ) from None
        return Pipeline((Step(self, args, kwargs),))

    def eval(self, *args: Any, **kwargs: Any) -> ComputeReport:
        """The same as `Pipeline.eval`, for functions without other arguments."""
        return self().eval(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return ComputeFunction, (self.function,)

    def __repr__(self) -> str:
        return f"<hubzarr.ComputeFunction {self.__name__}{self._rest}>"


def _other_parameters(function: Any) -> inspect.Signature:
    """The signature without the first two parameters, which have to be there."""
    if not callable(function):
        raise InvalidTypeError(
            f"compute decorates a function, not a {type(function).__name__}: write @hub.compute "
            "without arguments above it"
        )
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise InvalidTypeError(f"{function!r} does not tell its arguments: {error}") from None
    parameters = list(signature.parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) < 2 or any(p.kind not in positional for p in parameters[:2]):
        name = getattr(function, "__name__", repr(function))
        raise InvalidTypeError(
            f"{name}{signature} can't be computed: its first two arguments have to be the sample "
            f"that comes in and the one that goes out, as in def {name}(sample_in, sample_out, ...)"
        )
    return signature.replace(parameters=parameters[2:])


def compute(function: Callable[..., Any]) -> ComputeFunction:
    """Make a transform of a function, to be run over many inputs.

    Parameters
    ----------
    function : callable
        Its first argument is one input, its second takes what it appends:
        ``sample_out.images.append(...)`` or ``sample_out.append({"images": ...})``. It may
        append several rows, or none. Further arguments are given when it is called. What it
        returns does not matter.

    Returns
    -------
    ComputeFunction
        Called with the further arguments, it gives a `Pipeline`, which has `eval`.

    Raises
    ------
    InvalidTypeError
        The function has not these arguments.

    Examples
    --------
    >>> import hubzarr as hub
    >>> @hub.compute
    ... def square(sample_in, sample_out, power):
    ...     sample_out.append({"x": sample_in, "y": sample_in**power})
    >>> ds = hub.empty("examples/compute")
    >>> for name in ("x", "y"):
    ...     _ = ds.create_tensor(name)
    >>> report = square(power=2).eval(range(5), ds, num_workers=2)
    >>> ds.y.numpy(), report.rows
    (array([ 0,  1,  4,  9, 16]), 5)
    """
    return ComputeFunction(function)


def compose(functions: Sequence[Pipeline]) -> Pipeline:
    """Put transforms one after the other: each gets the rows that the one before gave.

    Parameters
    ----------
    functions : sequence of Pipeline
        Functions called with their arguments, or other pipelines.

    Examples
    --------
    >>> import hubzarr as hub
    >>> @hub.compute
    ... def letters(sample_in, sample_out):
    ...     sample_out.letter.extend(sample_in)
    >>> @hub.compute
    ... def upper(sample_in, sample_out, end):
    ...     sample_out.text.append(sample_in.letter.text().upper() + end)
    >>> ds = hub.empty("examples/compose")
    >>> _ = ds.create_tensor("text", htype="text")
    >>> hub.compose([letters(), upper(end="!")]).eval([["a", "b"], ["c"]], ds).rows
    3
    >>> ds["text"].values()
    ['A!', 'B!', 'C!']
    """
    if isinstance(functions, Pipeline | ComputeFunction):
        functions = [functions]  # type: ignore[list-item]
    for function in functions:
        if isinstance(function, ComputeFunction):
            raise InvalidTypeError(
                f"{function.__name__} in compose is not called: write {function.__name__}(...)"
            )
        if not isinstance(function, Pipeline):
            raise InvalidTypeError(
                f"compose takes functions with @hub.compute, not a {type(function).__name__}"
            )
    steps = tuple(step for function in functions for step in function.steps)
    if not steps:
        raise InvalidTypeError("compose of nothing; expected at least one function")
    return Pipeline(steps)
