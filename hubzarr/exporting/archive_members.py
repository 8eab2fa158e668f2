"""What samples become as files of an archive: bytes and an extension for each tensor."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.exporting.cells import json_text, plain
from hubzarr.exporting.table import Field
from hubzarr.media import Link

__all__ = ["Member", "members_of"]


@dataclass(frozen=True)
class Member:
    """How the samples of a tensor become files.

    Attributes
    ----------
    field : Field
    extension : str
        Of the files, behind the key of the row: "jpg", "boxes.npy".
    kind : str
        "file", "label", "text", "json" or "array".
    """

    field: Field
    extension: str
    kind: str

    def encoded(self, value: Any) -> bytes | None:
        """The bytes of a sample; None where it has no file."""
        if value is None:
            return None
        if self.kind == "file":
            return bytes(value.encoded(str(self.field.file_format)))
        if self.kind == "label":
            return str(int(np.asarray(value).reshape(()))).encode()
        if self.kind == "text":
            return str(value.path if isinstance(value, Link) else value).encode()
        if self.kind == "json":
            return json_text(plain(self.field, value)).encode()
        out = io.BytesIO()
        np.lib.format.write_array(out, np.asarray(value), allow_pickle=False)
        return out.getvalue()


_PLAIN = {"label": "cls", "text": "txt", "json": "json", "array": "npy"}
#: Tensors that are called so in archives without saying it.
_USUAL = frozenset(
    {"image", "images", "label", "labels", "text", "texts", "caption", "captions", "json", "video"}
    | {"videos", "audio", "meta", "metadata"}
)


def members_of(fields: Sequence[Field]) -> tuple[list[Member], dict[str, str]]:
    """How each tensor becomes files; and which can't, with the reason.

    The one image of a row is ``jpg``, its label ``cls``, its text ``txt``. Where several
    tensors would have the same extension, or a tensor has a name of its own, that name
    stands before: ``boxes.npy``.
    """
    kinds = {field.name: _kind(field) for field in fields}
    left_out = {
        name: "its samples are lists of files" for name, kind in kinds.items() if kind is None
    }
    chosen = [(field, kind) for field in fields if (kind := kinds[field.name]) is not None]
    bases = [f.extension[1:] if kind == "file" else _PLAIN[kind] for f, kind in chosen]
    counts = Counter(bases)
    members = []
    taken: set[str] = set()
    for (field, kind), base in zip(chosen, bases, strict=True):
        alone = counts[base] == 1 and (kind == "file" or field.name.lower() in _USUAL)
        extension = base if alone else f"{_flat(field.name)}.{base}"
        while extension in taken:
            extension = f"_{extension}"
        taken.add(extension)
        members.append(Member(field, extension, kind))
    return members, left_out


def _flat(name: str) -> str:
    """A name without the marks of folders and extensions, in lower case as readers have it."""
    return name.replace("/", "-").replace(".", "_").lower()


def _kind(field: Field) -> str | None:
    spec = field.spec
    if field.file_format:
        return None if spec.is_sequence else "file"
    if field.is_label:
        return "label"
    if spec.stores in ("text", "link"):
        return "text"
    return "array" if spec.stores == "array" else "json"
