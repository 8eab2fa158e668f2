"""One examination of a store: its checks, one by one, each with a limit of time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from hubzarr.config import is_secret
from hubzarr.errors import HubzarrError, ReadOnlyError
from hubzarr.storage.base import Storage
from hubzarr.storage.probing.report import Check

__all__ = ["Examination", "FailedError", "SkippedError", "within"]

#: Longer than this, a store that answers at all is taken for one that does not.
_LIMIT: Final = 90.0
_LAST: Final = 5.0
_DENIED: Final = frozenset({"EACCES", "EPERM", "EROFS"})


class FailedError(Exception):
    """A check found something wrong."""


class SkippedError(Exception):
    """A check does not apply here."""


class Examination:
    """One examination of a store: a folder of its own, and what was found so far."""

    def __init__(
        self,
        storage: Storage,
        options: Mapping[str, Any],
        told: Callable[[Check], None] | None,
        begun: Callable[[str], None] | None = None,
    ) -> None:
        self.storage = storage
        self.options = options
        self.folder = f".hubzarr-doctor-{os.urandom(6).hex()}"
        self.checks: list[Check] = []
        self.errors: dict[str, HubzarrError] = {}
        self.figures: dict[str, float | None] = {}
        self.gone = False
        self._told = told
        self._begun = begun

    @property
    def only_reads(self) -> bool:
        """Whether the store is of a kind that nobody lists or writes: HTTP."""
        return self.storage.url.startswith(("http://", "https://"))

    def path(self, name: str) -> str:
        """A path in the folder of this examination."""
        return f"{self.folder}/{name}"

    def run(self, name: str, check: Callable[[Examination], str], *, timed: bool = True) -> bool:
        """Do one check; return whether it was passed or does not apply."""
        ok: bool | None = True
        if self._begun is not None:
            self._begun(name)
        try:
            if self.gone:
                raise SkippedError("not tried")
            detail = within(_LIMIT, lambda: check(self)) if timed else check(self)
        except SkippedError as error:
            ok, detail = None, str(error)
        except FailedError as error:
            ok, detail = False, str(error)
        except TimeoutError:
            ok, detail, self.gone = False, f"no answer in {_LIMIT:.0f} s", True
        except HubzarrError as error:
            ok, detail = False, error.message
            self.errors[name] = error
        found = Check(name, ok, _without_secrets(detail, self.options))
        self.checks.append(found)
        if self._told is not None:
            self._told(found)
        return ok is not False

    def denied(self, name: str) -> bool:
        """Whether a check failed because it is not allowed."""
        error = self.errors.get(name)
        return isinstance(error, ReadOnlyError) or (
            error is not None and error.fields.get("reason") in _DENIED
        )

    def tried(self, name: str) -> bool:
        """Whether a check was done, with success or without."""
        return any(check.name == name and check.ok is not None for check in self.checks)

    def passed(self, *names: str) -> bool:
        """Whether none of some checks failed."""
        return not any(check.name in names and check.ok is False for check in self.checks)


def within[T](seconds: float, work: Callable[[], T]) -> T:
    """Result of some work, or TimeoutError; a thread that hangs is left behind."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    except KeyboardInterrupt:
        thread.join(_LAST)  # what it goes on to write must be there when all is deleted
        raise
    if thread.is_alive():
        raise TimeoutError
    if failure:
        raise failure[0]
    return answer[0]


def _without_secrets(text: str, options: Mapping[str, Any], all_of: bool = False) -> str:
    """Errors of foreign libraries may quote the options they were given."""
    for key, value in options.items():
        secret = all_of or is_secret(key, value)
        if isinstance(value, Mapping):
            text = _without_secrets(text, value, secret)
        elif isinstance(value, str) and len(value) > 3 and secret:
            text = text.replace(value, "…")
    return text
