"""Sizes that decide how work is cut up, in bytes of decoded data; all were measured."""

from __future__ import annotations

from typing import Final

#: Work that is worth a task of its own in the pool.
TASK_BYTES: Final = 512 << 10
#: Tasks that keep all threads busy until the last moment; more of them only cost.
TASKS: Final = 64
#: Chunks smaller than this cost more in calls than in bytes.
SMALL_CHUNK: Final = 64 << 10
#: Small chunks are handed to the pool in tasks of at least this much.
SMALL_TASK: Final = 4 << 20
#: Small chunks that were written are stored when this much of them has come together.
SMALL_TOTAL: Final = 8 << 20
