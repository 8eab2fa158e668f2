"""Buckets and containers of object stores: is it there, and making it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from hubzarr.errors import InvalidError, StorageError
from hubzarr.storage.network.connect import of_the_store, open_filesystem, translated

__all__ = ["bucket_exists", "create_bucket"]

_S3: Final = ("s3", "s3a")
_OTHERS: Final = ("gs", "gcs", "az", "abfs", "abfss")
# Where S3 buckets lie by default; to name it is an error.
_FIRST_REGION: Final = "us-east-1"


def bucket_exists(url: str, options: Mapping[str, Any] | None = None) -> bool | None:
    """Whether the bucket, container or folder of a URL is there; None where nobody can tell.

    Examples
    --------
    >>> bucket_exists("./nothing"), bucket_exists("memory://x")
    (False, None)
    """
    protocol, bucket = _bucket_of(url)
    if protocol == "file":
        return os.path.isdir(bucket)
    if protocol not in (*_S3, *_OTHERS):
        return None
    fs, _ = open_filesystem(url, of_the_store(options))
    try:
        if protocol in _S3:
            fs.call_s3("head_bucket", Bucket=bucket)
            return True
        return bool(fs.exists(bucket))
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # it is there, and somebody else's or closed to us
    except Exception as error:
        raise translated(error, "look for", f"{protocol}://{bucket}") from error


def create_bucket(url: str, options: Mapping[str, Any] | None = None) -> None:
    """Make the bucket, container or folder of a URL.

    Examples
    --------
    >>> create_bucket("./made")
    >>> bucket_exists("./made")
    True
    """
    protocol, bucket = _bucket_of(url)
    if protocol == "file":
        _create_folder(bucket)
        return
    if protocol not in (*_S3, *_OTHERS):
        raise InvalidError(f"can't make a place for {url!r}: make it with the store's own tools")
    given = of_the_store(options)
    fs, _ = open_filesystem(url, given)
    try:
        if protocol in _S3:
            region = given.get("region") or (given.get("client_kwargs") or {}).get("region_name")
            place = {"LocationConstraint": region} if region not in (None, _FIRST_REGION) else None
            more = {"CreateBucketConfiguration": place} if place else {}
            fs.call_s3("create_bucket", Bucket=bucket, **more)
        else:
            fs.mkdir(bucket)
    except FileExistsError as error:
        raise StorageError(
            f"can't create {protocol}://{bucket}: the name is taken; choose another one"
        ) from error
    except Exception as error:
        raise translated(error, "create", f"{protocol}://{bucket}") from error


def _bucket_of(url: str) -> tuple[str, str]:
    """Protocol and bucket, or "file" and the whole folder."""
    protocol, separator, place = url.partition("://")
    if not separator:
        return "file", os.path.abspath(os.path.expanduser(url))
    protocol = protocol.lower()
    if protocol in ("file", "local"):
        return "file", place
    return protocol, place.partition("/")[0].partition("@")[0]


def _create_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise translated(error, "create", folder) from error
