"""From the checks to a verdict, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from hubzarr.errors import HubzarrError, ReadOnlyError, UnsupportedError
from hubzarr.storage.base import Storage
from hubzarr.storage.local import LocalStorage
from hubzarr.storage.probing.checks import CHECKS, NEEDED, RACES, lists, race_of, reads, writes
from hubzarr.storage.probing.examination import Examination, within
from hubzarr.storage.probing.report import Check, Report, Verdict

__all__ = ["probe"]

_CLEANING: Final = 30.0


def probe(
    storage: Storage,
    transport: str,
    *,
    options: Mapping[str, Any] | None = None,
    processes: int = 0,
    open_again: tuple[Any, ...] = (),
    told: Callable[[Check], None] | None = None,
    begun: Callable[[str], None] | None = None,
) -> Report:
    """Try out a storage; whatever is written there is deleted at the end, on Ctrl-C too.

    Parameters
    ----------
    storage : Storage
    transport : str
        What carries the requests, as the report shall call it.
    options : mapping, optional
        The options it was opened with; their secrets are kept out of the report.
    processes : int
        How many processes race for names, besides the threads.
    open_again : tuple
        A function and its arguments by which each of them opens the storage.
    told : callable, optional
        Called with each check as it ends.
    begun : callable, optional
        Called with the name of each check as it begins.
    """
    exam = Examination(storage, dict(options or {}), told, begun)
    absent = isinstance(storage, LocalStorage) and not os.path.exists(storage.root)
    try:
        listed = exam.run("list", lists)
        if not (listed or exam.denied("list") or exam.only_reads):
            pass  # out of reach: nothing else can work
        elif exam.run("write", writes):
            for name, check in CHECKS:
                exam.run(name, check)
            if processes and open_again:
                exam.run("race of processes", race_of(processes, open_again), timed=False)
        else:
            exam.run("read", reads)
    finally:
        left = _clean(exam, absent)
    verdict, advice = _verdict(exam)
    return Report(
        url=storage.url,
        transport=transport,
        verdict=verdict,
        advice=" ".join(filter(None, (advice, left))),
        checks=tuple(exam.checks),
        **exam.figures,
    )


def _clean(exam: Examination, absent: bool) -> str:
    """Delete what was written; what to say if that fails."""
    storage = exam.storage
    if not exam.tried("write") or not exam.passed("write"):
        return ""
    try:
        within(_CLEANING, lambda: storage.delete_dir(exam.folder))
    except (HubzarrError, TimeoutError):
        return f"The folder {exam.folder} could not be deleted: delete it by hand."
    if absent and isinstance(storage, LocalStorage):
        with contextlib.suppress(OSError):
            os.rmdir(storage.root)
    return ""


def _verdict(exam: Examination) -> tuple[Verdict, str]:
    if not exam.tried("write") or not exam.passed("write"):
        return _without_writing(exam)
    if exam.gone:
        return "unusable", "The store stopped answering: check the network, then try again."
    if exam.denied("list"):
        return "unusable", (
            "It takes objects but can't be listed: ask for the right to list "
            "(on S3: s3:ListBucket)."
        )
    broken = [name for name in NEEDED if not exam.passed(name)]
    if broken:
        return "unusable", f"Wrong answers to: {', '.join(broken)}."
    if not exam.passed(*RACES):
        return "one writer", _without_creation(exam)
    if not exam.passed("delete"):
        return "many writers", "Nothing can be deleted here, so what is not needed stays."
    return "many writers", ""


def _without_writing(exam: Examination) -> tuple[Verdict, str]:
    error = exam.errors.get("list") or exam.errors.get("write")
    if exam.gone:
        return "unusable", "It does not answer: check the address and the network."
    if exam.denied("write") and exam.passed("list", "read"):
        if isinstance(exam.errors["write"], ReadOnlyError):
            return "read-only", "Stores of this kind only read."
        return "read-only", "Reading works; to write, ask for the right to create objects."
    if exam.denied("write") and exam.tried("read") and exam.passed("read"):
        return "read-only", "Single objects can be read, but nothing can be listed."
    if exam.denied("list"):
        return "unusable", "Access is denied: check the credentials and their rights."
    if error is not None and error.fields.get("reason") == "ENOENT":
        return "unusable", "There is no such place; hubzarr configure --create makes it."
    return "unusable", ""


def _without_creation(exam: Examination) -> str:
    errors = [exam.errors[name] for name in RACES if name in exam.errors]
    if any(isinstance(error, UnsupportedError) for error in errors):
        return (
            "It can't create an object only if it is absent, so two writers could overwrite "
            "each other's commits."
        )
    return (
        "Creating an object only if it is absent does not work here, so two writers could "
        "overwrite each other's commits, without notice: use another store, or one writer."
    )
