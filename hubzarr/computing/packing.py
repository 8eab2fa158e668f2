"""What is sent to other processes, packed as dask does: by value where a name won't do."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hubzarr.computing.batches import Batch
from hubzarr.computing.working import portable
from hubzarr.errors import InvalidError

__all__ = ["kept", "packed", "unpacked", "work_there"]


def packed(value: Any) -> bytes:
    """A value as bytes.

    Raises
    ------
    InvalidError
        It does not travel.
    """
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(value)
    except InvalidError:
        raise
    except Exception as error:
        raise InvalidError(
            f"this can't be sent to other processes: {error}; leave out what does not travel "
            'from the arguments and inputs, or use scheduler="threads"'
        ) from error
    return data


def unpacked(data: bytes) -> Any:
    """The value again."""
    import cloudpickle

    return cloudpickle.loads(data)


@lru_cache(maxsize=8)
def kept(data: bytes) -> Any:
    """The same, of a value that is likely to be asked for again."""
    return unpacked(data)


def work_there(work: bytes, plans: bytes, items: bytes) -> Batch:
    """Work on a batch in another process."""
    batch: Batch = kept(work).work(kept(plans), unpacked(items))
    batch.errors = {i: portable(error) for i, error in batch.errors.items()}
    return batch
