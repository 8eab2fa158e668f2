"""What one of several racing processes does."""

from __future__ import annotations

import hubzarr as hub
from hubzarr.errors import ExistsError


def commit_often(name, options, me, commits):
    """Append rows that say whose they are, each in a commit of its own."""
    rows = hub.load(name, storage_options=options)
    for i in range(commits):
        rows.append([[me, i]])
        rows.commit(f"{me}-{i}")
    rows.close()


def create(name, options, me):
    """Return whether this process made the array."""
    try:
        made = hub.array((4,), name, dtype="int64", fill_value=me, storage_options=options)
    except ExistsError:
        return False
    made.close()
    return True
