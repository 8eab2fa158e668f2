"""What is tried, from the first listing to the last deletion."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from hubzarr.errors import HubzarrError, UnsupportedError
from hubzarr.storage.local import LocalStorage
from hubzarr.storage.probing.clock import skew
from hubzarr.storage.probing.examination import Examination, FailedError, SkippedError
from hubzarr.storage.probing.races import CannotRaceError, race_processes, race_threads, verdict_of
from hubzarr.threads import map_all
from hubzarr.wording import say_bytes, say_seconds

__all__ = ["CHECKS", "NEEDED", "RACES", "lists", "race_of", "reads", "writes"]

_THREADS: Final = 16
_ROUNDS: Final = 5
_MEBIBYTE: Final = 1 << 20
_OBJECTS: Final = 8
_READS: Final = 9
_DEPTH: Final = 8
# Stores sign requests with the time, and refuse signatures that are 15 minutes off.
_MAX_SKEW: Final = 60.0


def _pattern() -> bytes:
    """5,000 bytes in which each place looks different."""
    return b"".join(b"%05d" % number for number in range(1000))


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise FailedError(f"{what} came back wrong: {_short(found)} instead of {_short(wanted)}")


def _short(value: object) -> str:
    if isinstance(value, bytes) and len(value) > 20:
        return f"{len(value):,} bytes ({value[:12]!r}…)"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


# -- before writing ------------------------------------------------------------


def lists(exam: Examination) -> str:
    """Look at the top of the store."""
    try:
        names = exam.storage.list_dir("")
    except UnsupportedError as error:
        if exam.only_reads:
            raise SkippedError("no listing: arrays and datasets are loaded by name") from error
        raise
    return f"{len(names):,} name{'s' * (len(names) != 1)} at the top"


def reads(exam: Examination) -> str:
    """Where nothing can be written, read what there is."""
    for path in ("versions/main/latest", "versions/main/000000000000.json"):
        if exam.storage.get(path) is not None:
            return "a version"
    path = ""
    for _ in range(_DEPTH):  # never a listing of everything: it may be a big store
        try:
            names = exam.storage.list_dir(path)
        except UnsupportedError:
            names = []
        if not names:
            break
        path = f"{path}/{names[0]}".strip("/")
        if not names[0].endswith("/"):
            if exam.storage.get_range(path, 0, 16) is None:
                raise FailedError("a listed object could not be read")
            return "an object of the store"
    raise SkippedError("there is no object to try it with")


# -- bytes ----------------------------------------------------------------------


def writes(exam: Examination) -> str:
    """Write one object."""
    exam.storage.put(exam.path("first"), _pattern())
    return "in a folder of its own, deleted at the end"


def _read_back(exam: Examination) -> str:
    data = exam.storage.get(exam.path("first"))
    _expect(data, _pattern(), "what was written")
    _expect(exam.storage.size(exam.path("first")), len(_pattern()), "the size")
    exam.storage.put(exam.path("empty"), b"")
    _expect(exam.storage.get(exam.path("empty")), b"", "an empty object")
    _expect(exam.storage.get(exam.path("nothing")), None, "what is not there")
    _expect(exam.storage.exists(exam.path("nothing")), False, "what is not there")
    return "empty and missing objects too"


def _ranges(exam: Examination) -> str:
    path, pattern = exam.path("first"), _pattern()
    for start, stop in ((0, 10), (100, 4000), (4000, 10**6), (-7, None), (500, None)):
        wanted = pattern[start:stop]
        _expect(exam.storage.get_range(path, start, stop), wanted, f"the range {start}:{stop}")
    return "at the end, and past it"


def _overwrite(exam: Examination) -> str:
    path = exam.path("again")
    for number in range(5):
        exam.storage.put_atomic(path, b"%d" % number)
        _expect(exam.storage.get(path), b"%d" % number, "what was written last")
    return "the newest is read at once"


def _listing(exam: Examination) -> str:
    folder = exam.path("listed")
    names = [f"{number:03d}" for number in range(20)]
    map_all(
        lambda name: exam.storage.put(f"{folder}/{name}", b"x"), names, exam.storage.concurrency
    )
    exam.storage.put(f"{folder}/below/x", b"x")
    _expect(exam.storage.list_dir(folder), [*names, "below/"], "a listing")
    _expect(exam.storage.list_dir(folder, "009"), [*names[10:], "below/"], "a later listing")
    wanted = [f"{folder}/{name}" for name in [*names, "below/x"]]
    _expect(sorted(exam.storage.list_all(folder)), sorted(wanted), "all that is below")
    return "complete right after writing"


def _keys(exam: Examination) -> str:
    if isinstance(exam.storage, LocalStorage):
        raise SkippedError("not on a file system, and not needed")
    try:
        exam.storage.put(exam.path("both/a"), b"1")
        exam.storage.put(exam.path("both/a/b"), b"2")
        found = exam.storage.get_many([exam.path("both/a"), exam.path("both/a/b")])
    except HubzarrError as error:
        raise SkippedError("no, and not needed") from error
    if found != [b"1", b"2"]:
        raise SkippedError("no, and not needed")
    return "side by side"


def _characters(exam: Examination) -> str:
    names = ["naïve-日本-ß", "a b+c%41#&=~'()"]
    for name in names:
        exam.storage.put(exam.path(f"odd/{name}/x"), name.encode())
    for name in names:
        _expect(exam.storage.get(exam.path(f"odd/{name}/x")), name.encode(), repr(name))
    listed = exam.storage.list_dir(exam.path("odd"))
    _expect(listed, sorted(name + "/" for name in names), "the listing of such names")
    return "spaces, signs and letters of any script"


# -- who comes first ----------------------------------------------------------------


def _create(exam: Examination) -> str:
    for name, data in (("created", b"first"), ("created-empty", b"first")):
        path = exam.path(name)
        if not exam.storage.create(path, data):
            raise FailedError("a free name was refused")
        if exam.storage.create(path, b"second" if name == "created" else b""):
            raise FailedError("a taken name was given away a second time")
        _expect(exam.storage.get(path), data, "what was created first")
    return "a second one is refused"


def _race(exam: Examination) -> str:
    folder = exam.path("race")
    won = race_threads(exam.storage, folder, _THREADS, _ROUNDS)
    if problem := verdict_of(exam.storage, folder, won):
        raise FailedError(problem)
    return f"{_THREADS} threads, {_ROUNDS} rounds, one winner each"


def race_of(processes: int, open_again: tuple[Any, ...]) -> Callable[[Examination], str]:
    """The race between processes."""

    def check(exam: Examination) -> str:
        folder = exam.path("race-of-processes")
        opener, *arguments = open_again
        try:
            won = race_processes(opener, tuple(arguments), folder, processes, _ROUNDS)
        except CannotRaceError as error:
            raise SkippedError(f"not tried: {error}") from error
        if problem := verdict_of(exam.storage, folder, won):
            raise FailedError(problem)
        return f"{processes} processes, {_ROUNDS} rounds, one winner each"

    return check


# -- deleting -------------------------------------------------------------------------


def _delete(exam: Examination) -> str:
    folder = exam.path("listed")
    paths = [f"{folder}/{number:03d}" for number in range(20)]
    exam.storage.delete(paths[:1])
    _expect(exam.storage.get(paths[0]), None, "what was deleted")
    exam.storage.delete(paths)  # a missing one among them
    _expect(exam.storage.list_dir(folder), ["below/"], "the listing after deleting")
    exam.storage.delete_dir(folder)
    _expect(exam.storage.list_dir(folder), [], "the listing of a deleted folder")
    return "one, many, a folder"


# -- figures ---------------------------------------------------------------------------


def _latency(exam: Examination) -> str:
    path, times = exam.path("first"), []
    for _ in range(_READS):
        began = time.perf_counter()
        exam.storage.get_range(path, 0, 100)
        times.append(time.perf_counter() - began)
    exam.figures["latency"] = median = statistics.median(times)
    return f"{say_seconds(median)} for a small read"


def _bandwidth(exam: Examination) -> str:
    block = os.urandom(_MEBIBYTE)
    paths = [exam.path(f"block-{number}") for number in range(_OBJECTS)]
    seconds = _timed(lambda: exam.storage.put(paths[0], block))
    if seconds > 2:  # a slow line: one object tells enough
        paths = paths[:1]
    else:
        seconds = _timed(
            lambda: map_all(
                lambda path: exam.storage.put(path, block), paths, exam.storage.concurrency
            )
        )
    size = len(paths) * _MEBIBYTE
    exam.figures["write_speed"] = written = size / seconds
    blocks: list[bytes | None] = []
    seconds = _timed(lambda: blocks.extend(exam.storage.get_many(paths)))
    if any(found != block for found in blocks):
        raise FailedError("a block of 1 MiB came back with other bytes")
    exam.figures["read_speed"] = read = size / seconds
    return f"{say_bytes(written)}/s written, {say_bytes(read)}/s read"


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return max(time.perf_counter() - began, 1e-9)


def _clock(exam: Examination) -> str:
    exam.storage.put(exam.path("clock"), b"x")
    found = skew(exam.storage, exam.path("clock"), exam.options)
    exam.figures["clock"] = found
    if found is None:
        raise SkippedError("the store does not tell the time")
    if abs(found) > _MAX_SKEW:
        raise FailedError(
            f"{abs(found):.0f} s {'ahead of' if found > 0 else 'behind'} the store: set the time "
            "of this machine (by NTP); stores refuse requests from 15 minutes on"
        )
    return "as here" if abs(found) < 2 else f"{abs(found):.0f} s apart, which is harmless"


CHECKS: Final[tuple[tuple[str, Callable[[Examination], str]], ...]] = (
    ("read back", _read_back),
    ("ranges", _ranges),
    ("overwrite", _overwrite),
    ("list what is new", _listing),
    ("odd characters", _characters),
    ("keys a and a/b", _keys),
    ("create if absent", _create),
    ("race of threads", _race),
    ("delete", _delete),
    ("clock", _clock),
    ("latency", _latency),
    ("bandwidth", _bandwidth),
)
#: Without these nothing that hubzarr stores is safe.
NEEDED: Final = ("list", "read back", "ranges", "overwrite", "list what is new", "odd characters")
RACES: Final = ("create if absent", "race of threads", "race of processes")
