"""Listings that start after a name, which fsspec itself does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["names_after"]

_PAGE: Final = 1000

type _Page = tuple[list[str], list[str], str | None]


def names_after(
    fs: Any, protocol: str, full: str, after: str, limit: int | None
) -> list[str] | None:
    """Return names below a directory from one on; None if the store can't start there.

    Parameters
    ----------
    fs : filesystem
    protocol : str
    full : str
        Bucket and path of the directory.
    after : str
        The names that sort before it need not be listed.
    limit : int, optional
        So many names are enough.
    """
    ask = _PAGES.get(protocol)
    if ask is None:
        return None
    bucket, _, path = full.strip("/").partition("/")
    start = path + "/" if path else ""
    names: list[str] = []
    for files, folders, _ in _pages(lambda token: ask(fs, bucket, start, after, limit, token)):
        names += [key[len(start) :] for key in files]
        names += [key[len(start) :].rstrip("/") + "/" for key in folders]
        names = [name for name in names if name > after and name != "/"]
        if limit is not None and len(names) >= limit:
            break
    return names


def _pages(ask: Callable[[str | None], _Page]) -> Iterator[_Page]:
    token = None
    while True:
        page = ask(token)
        yield page
        token = page[2]
        if token is None:
            return


def _s3_page(
    fs: Any, bucket: str, start: str, after: str, limit: int | None, token: str | None
) -> _Page:
    more = {"ContinuationToken": token} if token else {}
    page = fs.call_s3(
        "list_objects_v2",
        Bucket=bucket,
        Prefix=start,
        Delimiter="/",
        StartAfter=start + after,
        MaxKeys=min(_PAGE, limit or _PAGE),
        **more,
    )
    return (
        [one["Key"] for one in page.get("Contents", ())],
        [one["Prefix"] for one in page.get("CommonPrefixes", ())],
        page.get("NextContinuationToken") if page.get("IsTruncated") else None,
    )


def _google_page(
    fs: Any, bucket: str, start: str, after: str, limit: int | None, token: str | None
) -> _Page:
    more = {"pageToken": token} if token else {}
    page = fs.call(
        "GET",
        "b/{}/o",
        bucket,
        prefix=start,
        delimiter="/",
        startOffset=start + after,
        maxResults=min(_PAGE, limit + 1 if limit else _PAGE),  # it lists the first one too
        json_out=True,
        **more,
    )
    files = [one["name"] for one in page.get("items", ())]
    return files, list(page.get("prefixes", ())), page.get("nextPageToken")


_PAGES: Final[dict[str, Callable[[Any, str, str, str, int | None, str | None], _Page]]] = {
    **dict.fromkeys(("s3", "s3a"), _s3_page),
    **dict.fromkeys(("gs", "gcs"), _google_page),
}
