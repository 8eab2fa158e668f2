"""Datasets of Kaggle: downloaded by ``kagglehub``, which also keeps them for the next time."""

from __future__ import annotations

from hubzarr.errors import InvalidError, StorageError
from hubzarr.ingesting.place import Place
from hubzarr.media.extras import need

__all__ = ["SCHEME", "kaggle_place"]

SCHEME = "kaggle://"


def kaggle_place(reference: str) -> Place:
    """Download a dataset of Kaggle, and give the folder it is in.

    Parameters
    ----------
    reference : str
        ``kaggle://owner/dataset``, with ``/versions/3`` after it for one version. What is
        not public needs credentials where kagglehub looks for them: in the environment
        or in ``~/.kaggle/kaggle.json``.

    Raises
    ------
    StorageError
        There is no such dataset, it is not for you to see, or the network is down.

    Examples
    --------
    >>> kaggle_place("kaggle://weather")
    Traceback (most recent call last):
    hubzarr.errors.InvalidError: bad dataset of Kaggle 'kaggle://weather': expected
    kaggle://owner/dataset
    """
    handle = reference.removeprefix(SCHEME).strip("/")
    parts = handle.split("/")
    versioned = len(parts) == 4 and parts[2] == "versions" and parts[3].isdigit()
    if not all(parts) or not (len(parts) == 2 or versioned):
        raise InvalidError(f"bad dataset of Kaggle {reference!r}: expected {SCHEME}owner/dataset")
    kagglehub = need("kagglehub", extra="kaggle", what="downloading from Kaggle")
    try:
        return Place(kagglehub.dataset_download(handle))
    except Exception as error:  # of whatever library kagglehub asks
        raise StorageError(
            f"can't download {reference}: {error}; check the name, the credentials of Kaggle and "
            "the network",
            path=reference,
            reason=type(error).__name__,
        ) from error
