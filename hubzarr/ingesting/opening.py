"""From whatever a user calls a source to a `Source`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.ingesting import kaggle
from hubzarr.ingesting.huggingface import from_huggingface, huggingface_place
from hubzarr.ingesting.kaggle import kaggle_place
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import check_options, open_source
from hubzarr.ingesting.source import Source
from hubzarr.ingesting.tables import from_table

__all__ = ["source_of"]

_HF_OPTIONS = ("revision", "config", "token")


def source_of(
    data: Any,
    *,
    kind: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[Source, str]:
    """The source that a user means, and what to call it.

    Parameters
    ----------
    data : str, path, DataFrame, table or Source
        A local path or a URL of fsspec; a ZIP file; ``kaggle://owner/dataset`` or
        ``hf://owner/dataset``, which are downloaded; a DataFrame, an Arrow table or a
        dataset of Hugging Face; or a source.
    kind : str, optional
        As what to read a place; by default it is recognised.
    storage_options : mapping, optional
        For fsspec.
    **options
        For the kind of source.

    Returns
    -------
    source : Source
    name : str
        By which the same source is known again.

    Examples
    --------
    >>> import pathlib
    >>> pathlib.Path("photos/cats").mkdir(parents=True)
    >>> _ = pathlib.Path("photos/cats/tom.jpg").write_bytes(b"...")
    >>> source, name = source_of("photos")
    >>> source.kind, name.endswith("/photos")
    ('folders', True)
    """
    if isinstance(data, str | os.PathLike | Place):
        place = _place(data, storage_options, options)
        name = data if isinstance(data, str) and "://" in data else place.url
        return open_source(place, kind, **options), _without_secrets(name)
    if kind is not None:
        raise InvalidError(f"kind={kind!r} goes with a path; got {type(data).__name__}")
    if all(hasattr(data, name) for name in ("units", "rows", "columns")):
        if options:
            raise InvalidError(f"a source takes no options: {', '.join(options)}")
        return data, getattr(data, "name", type(data).__name__)
    # Before DataFrames, because it has columns as well.
    if hasattr(data, "features") or isinstance(data, Mapping):
        parts = data.values() if isinstance(data, Mapping) else [data]
        marks = [str(getattr(part, "_fingerprint", "")) for part in parts]
        check_options(from_huggingface, "a dataset of Hugging Face", options)
        return from_huggingface(data), " ".join(["dataset of Hugging Face", *marks])
    if hasattr(data, "columns"):
        check_options(from_table, "a table", options)
        table = from_table(data, **options)
        return table, table.name
    raise InvalidTypeError(
        f"can't ingest a {type(data).__name__}: expected a path, a URL, a DataFrame or a table"
    )


def _place(
    data: str | os.PathLike[str] | Place,
    storage_options: Mapping[str, Any] | None,
    options: dict[str, Any],
) -> Place:
    """Where the data is, downloaded if it comes from one of the hubs."""
    if isinstance(data, Place):
        return data
    text = os.fspath(data)
    if text.startswith(kaggle.SCHEME):
        return kaggle_place(text)
    if text.startswith("hf://"):
        chosen = {key: options.pop(key) for key in _HF_OPTIONS if key in options}
        return huggingface_place(text, **chosen)
    place = Place(text, storage_options)
    if place.suffix == ".zip" and place.is_file():
        inner = {} if place.is_local else {place.url.partition("://")[0]: place.options}
        return Place(f"zip://::{place.url}", inner)
    return place


def _without_secrets(url: str) -> str:
    """A URL that may be written down: no password, and no signature after a question mark."""
    url = re.sub(r"://[^/@]*@", "://", url)
    return url.partition("?")[0] if url.startswith(("http://", "https://")) else url
