"""Names of the files that samples become."""

from __future__ import annotations

from collections.abc import Sequence

from hubzarr.exporting.table import Field, Table

__all__ = ["file_names", "safe_folder"]

#: A text tensor of this name, as `hubzarr.ingest` makes it, keeps the names of files.
_FILENAMES = "filenames"
#: Characters that file systems or URLs give a meaning.
_SPECIAL = frozenset('<>:"|?*\\\0')


def file_names(table: Table, field: Field, filenames: str | None = None) -> Sequence[str]:
    """A name for the file of each row: the one it once had, or its number.

    Parameters
    ----------
    table : Table
    field : Field
        Of the files.
    filenames : str, optional
        A text tensor that has the names; by default "filenames" if its values will do.
    """
    known = _known_names(table, filenames)
    extension = field.extension
    if known is None:
        width = max(6, len(str(len(table))))
        return [f"{row:0{width}d}{extension}" for row in range(len(table))]
    return [_with_extension(name, extension) for name in known]


def _known_names(table: Table, wanted: str | None) -> list[str] | None:
    name = wanted or _FILENAMES
    tensors = table.source.tensors
    if wanted is None and name not in tensors:
        return None
    source = Table(table.source, [name])
    field = source.field(name)
    if field.spec.stores != "text":
        return None
    names = [str(text) for text in source.column(field)]
    stems = {_stem(text).lower() for text in names}
    return names if len(stems) == len(names) and all(map(_is_safe, names)) else None


def _is_safe(name: str) -> bool:
    """Whether a name leads to a place below the folder, on every system."""
    parts = name.split("/")
    return not _SPECIAL & set(name) and all(
        part and not part.startswith((".", " ")) and not part.endswith((".", " ")) for part in parts
    )


def _stem(name: str) -> str:
    head, slash, last = name.rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return f"{head}{slash}{stem if dot and stem else last}"


def _with_extension(name: str, extension: str) -> str:
    """The name with the extension that suits the file, its own one if that is as good."""
    own = name[len(_stem(name)) :].lower()
    same = {".jpeg": ".jpg", ".tif": ".tiff"}
    if same.get(own, own) == same.get(extension, extension):
        return name
    return _stem(name) + extension


def safe_folder(name: str) -> str:
    """The name of a class as that of a folder.

    Examples
    --------
    >>> safe_folder("cats/wild"), safe_folder("a:b"), safe_folder("..")
    ('cats/wild', 'a_b', '_')
    """
    parts = []
    for part in name.split("/"):
        kept = "".join("_" if c in _SPECIAL or ord(c) < 32 else c for c in part).strip(" .")
        if kept:
            parts.append(kept)
    return "/".join(parts) or "_"
