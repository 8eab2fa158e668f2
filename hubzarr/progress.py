"""Progress bars for work that takes longer than two seconds.

They go to standard error, so that what a program prints stays clean. The setting
``progress`` of `hubzarr.configure` turns them on or off; by default they show on a
terminal only. Where they are off, nothing is imported, no thread is started and an
iteration costs nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, overload

from hubzarr.config import get_config

if TYPE_CHECKING:
    from dask.callbacks import Callback

__all__ = ["DELAY", "Progress", "dask_progress", "progress", "wanted"]

#: Seconds before a bar appears.
DELAY: Final = 2.0


def wanted() -> bool:
    """Whether the settings ask for progress bars.

    Examples
    --------
    >>> from hubzarr.config import configure
    >>> _ = configure(progress=False)
    >>> wanted()
    False
    >>> _ = configure(progress=None)
    """
    chosen = get_config().progress
    if chosen is not None:
        return chosen
    return sys.stderr is not None and sys.stderr.isatty()


class Progress[T]:
    """A bar that appears when the work goes on for longer than `DELAY`.

    Iterate over it, or enter it and call `advance` from any thread. See `progress`.

    Parameters
    ----------
    label : str
        What is being done: "copying x".
    items : iterable, optional
        What iteration gives.
    total : int, optional
        Steps of the whole work; None when nobody knows.
    """

    def __init__(self, label: str, items: Iterable[T] = (), total: int | None = None) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self._items = items
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._bar: Any = None
        self._task: Any = None
        self._ended = False

    def __iter__(self) -> Iterator[T]:
        if not wanted():
            yield from self._items
            return
        with self:
            for item in self._items:
                yield item
                self.advance()

    def __enter__(self) -> Self:
        if wanted():
            # A timer, because one long step must not keep the bar from appearing.
            self._timer = threading.Timer(DELAY, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._lock:
            self._ended = True
            bar, self._bar = self._bar, None
        if self._timer is not None:
            self._timer.cancel()
        if bar is not None:
            bar.stop()

    def advance(self, steps: int = 1) -> None:
        """So many steps more are done."""
        with self._lock:
            self.done += steps
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done, total=self.total)

    def _show(self) -> None:
        from rich import progress as rich_progress
        from rich.console import Console

        bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        with self._lock:
            if self._ended:
                return
            self._task = bar.add_task(self.label, total=self.total, completed=self.done)
            self._bar = bar
            bar.start()


@overload
def progress(work: int | None, label: str, total: int | None = None) -> Progress[Any]: ...
@overload
def progress[T](work: Iterable[T], label: str, total: int | None = None) -> Progress[T]: ...
def progress[T](
    work: Iterable[T] | int | None, label: str, total: int | None = None
) -> Progress[T]:
    """A progress bar over items, or over a number of steps.

    Parameters
    ----------
    work : iterable, int or None
        Items to iterate over; or how many steps there will be, None if that is unknown.
    label : str
        What is being done.
    total : int, optional
        Number of items where they can't tell it themselves.

    Examples
    --------
    >>> [row for row in progress(range(3), "reading")]
    [0, 1, 2]
    >>> with progress(10, "storing") as bar:
    ...     bar.advance(4)
    >>> bar.done
    4
    """
    if work is None or isinstance(work, int):
        return Progress(label, total=total if work is None else work)
    if total is None and isinstance(work, Sized):
        total = len(work)
    return Progress(label, work, total)


def dask_progress(label: str) -> Callback:
    """The same for a computation of dask in this process: a context manager around it.

    Examples
    --------
    >>> import dask.array as da
    >>> with dask_progress("adding"):
    ...     int(da.ones(4, chunks=2).sum().compute(scheduler="sync"))
    4
    """
    from dask.callbacks import Callback

    bar: Progress[Any] = Progress(label)

    def started(_: Any, state: dict[str, Any]) -> None:
        bar.total = sum(len(state[kind]) for kind in ("ready", "waiting", "running"))
        bar.__enter__()

    def stepped(*_: Any) -> None:
        bar.advance()

    def finished(*_: Any) -> None:
        bar.__exit__(None, None, None)

    make: Any = Callback  # its constructor carries no types
    bars: Callback = make(start_state=started, posttask=stepped, finish=finished)
    return bars
