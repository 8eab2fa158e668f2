"""Which of the processes of a training this one is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch.distributed

from hubzarr.errors import InvalidError
from hubzarr.loaders.running import Reading

__all__ = ["rank_and_world", "with_rank"]


def rank_and_world(given: Mapping[str, Any]) -> dict[str, int]:
    """`rank` and `world_size` as given, or of torch.distributed, or of torchrun's variables.

    Parameters
    ----------
    given : mapping
        Options of a loader.

    Raises
    ------
    InvalidError
        Only one of them is given, or the environment has something else than numbers.
    """
    rank, world = given.get("rank"), given.get("world_size")
    if rank is not None or world is not None:
        if rank is None or world is None:
            raise InvalidError(f"rank={rank!r}, world_size={world!r}: give both, or none of them")
        return {"rank": rank, "world_size": world}
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return {
            "rank": torch.distributed.get_rank(),
            "world_size": torch.distributed.get_world_size(),
        }
    told = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if None in told:
        return {"rank": 0, "world_size": 1}
    try:
        rank, world = (int(str(text)) for text in told)
    except ValueError:
        raise InvalidError(
            f"the environment says RANK={told[0]} and WORLD_SIZE={told[1]}, expected two numbers "
            "as torchrun sets them: unset them, or give rank= and world_size="
        ) from None
    return {"rank": rank, "world_size": world}


def with_rank(reading: Reading) -> Reading:
    """The reading with the rank that this process has now: some trainers settle it late."""
    now = rank_and_world({})
    if (now["rank"], now["world_size"]) == (reading.options.rank, reading.options.world_size):
        return reading
    options = replace(reading.options, rank=now["rank"], world_size=now["world_size"])
    return Reading(reading.source, options, reading.to)
