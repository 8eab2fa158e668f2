"""Objects that begin anew in forked children.

Another thread of the parent may have held their locks at the time of the fork, and what they
hold is the parent's.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Renewed", "renew_after_fork"]


class Renewed(Protocol):
    """Something that can begin anew."""

    def renew(self) -> None:
        """Forget everything, and take new locks."""


_all: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renew_after_fork(one: Renewed) -> None:
    """Let an object begin anew in every child of this process that is forked."""
    _all.add(one)


def _after_fork() -> None:
    for one in list(_all):
        one.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
