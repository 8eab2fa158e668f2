"""The threads of this process: tasks that Ctrl-C can't break, and one pool for them."""

from __future__ import annotations

from hubzarr.threads.ending import begin
from hubzarr.threads.pool import at_once, in_pool, let_end, map_all, submit, threads_for
from hubzarr.threads.tasks import Pool, Task

__all__ = [
    "Pool",
    "Task",
    "at_once",
    "begin",
    "in_pool",
    "let_end",
    "map_all",
    "submit",
    "threads_for",
]
