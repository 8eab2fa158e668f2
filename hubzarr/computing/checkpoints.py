"""How far an evaluation has come, kept beside the rows, so that it goes on after a crash.

The record is a note on the root of the dataset and changes in the same commit as the rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hubzarr.computing.inputs import Digest, Inputs
from hubzarr.datasets.marks import root_mark, set_root_mark
from hubzarr.errors import InvalidError
from hubzarr.session import Session

__all__ = ["Checkpoint", "Checkpoints"]

_KEY = "computing"
#: Inputs are passed over so many at a time.
_STEP = 4096


@dataclass
class Checkpoint:
    """An evaluation that was not finished.

    Parameters
    ----------
    inputs : int
        Inputs that are done.
    digest : str
        Of these inputs and of the function's other arguments.

    Examples
    --------
    >>> Checkpoint(100, "ab12")
    Checkpoint(inputs=100, digest='ab12')
    """

    inputs: int
    digest: str


class Checkpoints:
    """The record of one evaluation.

    Parameters
    ----------
    session : Session
        Of the dataset that is written.
    name : str
        What the evaluation is called.
    arguments : object
        What has to be the same when it goes on.
    """

    def __init__(self, session: Session, name: str, arguments: Any) -> None:
        self._session = session
        self._name = name
        self._digest = Digest(arguments)

    def resume(self, inputs: Inputs) -> int:
        """Pass over inputs that an interrupted evaluation has done; returns how many.

        Raises
        ------
        InvalidError
            They were others.
        """
        found = self._all().get(self._name)
        if found is None:
            return 0
        before = Checkpoint(**found)
        left = before.inputs
        while left and (items := inputs.take(min(left, _STEP))):
            self._digest.add(items)
            left -= len(items)
        if left or str(self._digest) != before.digest:
            raise InvalidError(
                f"an evaluation of {self._name} was interrupted after {before.inputs} inputs, and "
                "these inputs or arguments are not the same: give the same ones in the same order "
                "to go on after these, or checkpoint_interval=0 to do all of them"
            )
        return before.inputs

    def done(self, items: list[Any]) -> None:
        """Take note of inputs whose rows are written."""
        self._digest.add(items)

    def write(self, inputs: int) -> None:
        """Keep how many inputs are done; belongs into the transaction of their rows."""
        record = asdict(Checkpoint(inputs, str(self._digest)))
        set_root_mark(self._session, _KEY, self._all() | {self._name: record})

    def forget(self) -> None:
        """Remove the record, if there is one."""
        if self._name in self._all():
            others = {name: c for name, c in self._all().items() if name != self._name}
            set_root_mark(self._session, _KEY, others or None)

    def _all(self) -> dict[str, Any]:
        return root_mark(self._session, _KEY) or {}
