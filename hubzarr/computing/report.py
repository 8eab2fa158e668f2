"""What an evaluation did."""

from __future__ import annotations

from dataclasses import dataclass

from hubzarr.wording import say_seconds

__all__ = ["ComputeReport", "SkippedInput"]

_SHOWN = 20


@dataclass(frozen=True)
class SkippedInput:
    """An input that became no row.

    Parameters
    ----------
    index : int
        Its number among the inputs.
    what : str
        The input, shortened.
    error : Exception
        What the function or the check of its samples raised.

    Examples
    --------
    >>> print(SkippedInput(3, "'a.jpg'", ValueError("no image")))
    input 3 ('a.jpg'): ValueError: no image
    """

    index: int
    what: str
    error: Exception

    def __str__(self) -> str:
        return f"input {self.index} ({self.what}): {type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class ComputeReport:
    """What an evaluation did.

    Parameters
    ----------
    name : str
        Of the functions.
    inputs : int
        Inputs that were worked on, skipped ones among them.
    rows : int
        Rows appended, or changed in place.
    resumed : int
        Inputs that an interrupted evaluation had done before.
    skipped : tuple of SkippedInput
        Inputs that became no row, and why.
    seconds : float
        How long it took.

    Examples
    --------
    >>> skipped = (SkippedInput(3, "'a.jpg'", ValueError("no image")),)
    >>> print(ComputeReport("file_to_hub", 10, 9, 0, skipped, 1.5))
    file_to_hub: 9 rows from 10 inputs in 1.5 s; 1 skipped:
      input 3 ('a.jpg'): ValueError: no image
    """

    name: str
    inputs: int
    rows: int
    resumed: int
    skipped: tuple[SkippedInput, ...]
    seconds: float

    def __str__(self) -> str:
        before = f", after {self.resumed} done before" if self.resumed else ""
        text = (
            f"{self.name}: {self.rows} rows from {self.inputs} inputs in "
            f"{say_seconds(self.seconds)}{before}"
        )
        if not self.skipped:
            return text
        shown = [f"  {each}" for each in self.skipped[:_SHOWN]]
        if len(self.skipped) > _SHOWN:
            shown.append(f"  and {len(self.skipped) - _SHOWN} more")
        return "\n".join([f"{text}; {len(self.skipped)} skipped:", *shown])
