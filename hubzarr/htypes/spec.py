"""What a tensor holds: its htype, dtype, compression and options, kept as JSON beside its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hubzarr.dtypes import as_dtype
from hubzarr.errors import InvalidError, UnsupportedError
from hubzarr.htypes.kinds import HTYPES, Htype

__all__ = ["TensorSpec", "parse_htype", "written_htype"]

_PATTERN = re.compile(r"(?:(sequence)\[)?(?:(link)\[)?([^\[\]]*)\]*")


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor holds.

    Attributes
    ----------
    htype : str
        Such as ``"image"`` or ``"sequence[link[image]]"``.
    dtype : str or None
        Name of the dtype of its arrays; ``"str"`` for text; None: that of the first sample
        (of ``generic``), that of each file, or none (JSON).
    sample_compression : str or None
        File format that each sample is kept in.
    chunk_compression : str or None
        Codec that bytes of many samples are compressed with together.
    options : dict
        ``unknown`` ("extend" or "raise") of class labels; ``encoding``, a dict of options of
        the encoder for arrays that become files.

    Examples
    --------
    >>> from hubzarr.htypes import tensor_spec
    >>> spec, info = tensor_spec("sequence[image]", sample_compression="jpg")
    >>> spec.base, spec.is_sequence, spec.stores, spec.item.stores, spec.sample_compression
    ('image', True, 'sequence', 'file', 'jpeg')
    >>> TensorSpec.from_json(spec.to_json()) == spec
    True
    """

    htype: str = "generic"
    dtype: str | None = None
    sample_compression: str | None = None
    chunk_compression: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def base(self) -> str:
        """The htype without ``sequence[]`` and ``link[]``."""
        return parse_htype(self.htype)[2]

    @cached_property
    def is_sequence(self) -> bool:
        """Whether a sample is a list of samples of `item`."""
        return parse_htype(self.htype)[0]

    @cached_property
    def is_link(self) -> bool:
        """Whether a sample, or each item of it, is the address of a file."""
        return parse_htype(self.htype)[1]

    @cached_property
    def kind(self) -> Htype:
        """The htype's row in the table of htypes."""
        return HTYPES[self.base]

    @cached_property
    def stores(self) -> str:
        """How a sample is stored.

        ``"array"`` (elements of `dtype`), or as bytes: ``"file"``, ``"text"``, ``"json"``,
        ``"link"``, ``"sequence"`` (several samples, see `hubzarr.htypes.sequences`).
        """
        if self.is_sequence:
            return "sequence"
        if self.is_link:
            return "link"
        return "file" if self.sample_compression else self.kind.stores

    @cached_property
    def ndim(self) -> int | None:
        """Number of axes of a sample, where it is the same for all."""
        if self.is_link and not self.is_sequence:
            return 0
        one = 0 if self.is_link else self.kind.ndim
        return one if one is None or not self.is_sequence else one + 1

    @cached_property
    def scalar_ok(self) -> bool:
        """Whether a sample may be a single number, string or object."""
        return self.ndim == 0 or (
            not self.is_sequence and self.kind.name in ("generic", "class_label", "instance_label")
        )

    @cached_property
    def item_stores(self) -> str:
        """How one item of a sequence is stored; `stores` where the sample is no sequence."""
        return self.item.stores if self.stores == "sequence" else self.stores

    @cached_property
    def extends(self) -> bool:
        """Whether unknown names of classes become new classes."""
        return self.options.get("unknown") == "extend"

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any] | None:
        """Dtype of the arrays that samples are, if it is fixed and they are arrays."""
        if self.dtype is None or self.dtype == "str":
            return None
        return as_dtype(self.dtype)

    @cached_property
    def stored_dtype(self) -> np.dtype[Any]:
        """Dtype of elements in bytes: little-endian; bytes where none is fixed."""
        return (self.numpy_dtype or np.dtype("u1")).newbyteorder("<")

    @cached_property
    def item(self) -> TensorSpec:
        """What one item of a sequence is; of polygons, the points of one."""
        if self.is_sequence:
            inner = self.htype.removeprefix("sequence[").removesuffix("]")
        else:
            inner = "point"
        return TensorSpec(inner, self.dtype, self.sample_compression, None, self.options)

    def to_json(self) -> dict[str, Any]:
        """Give the specification as values that JSON can hold."""
        return {
            "htype": self.htype,
            "dtype": self.dtype,
            "sample_compression": self.sample_compression,
            "chunk_compression": self.chunk_compression,
            "options": self.options,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> TensorSpec:
        """Read what `to_json` gave.

        Raises
        ------
        UnsupportedError
            The htype is unknown to this release.
        """
        known = {key: document[key] for key in TensorSpec.__dataclass_fields__ if key in document}
        spec = TensorSpec(**known)
        if spec.base not in HTYPES:
            raise UnsupportedError(
                f"tensor of htype {spec.htype!r}, which this release of hubzarr doesn't know; "
                "install a newer one"
            )
        return spec


def parse_htype(htype: str) -> tuple[bool, bool, str]:
    """Split an htype: whether a sequence, whether of links, the name within."""
    found = _PATTERN.fullmatch(htype)
    if found is None or written_htype(bool(found[1]), bool(found[2]), found[3]) != htype:
        raise InvalidError(
            f"htype {htype!r}; expected a name such as 'image', sequence[name], link[name] or "
            "sequence[link[name]]"
        )
    return bool(found[1]), bool(found[2]), found[3]


def written_htype(sequence: bool, link: bool, base: str) -> str:
    """Put an htype together."""
    inner = f"link[{base}]" if link else base
    return f"sequence[{inner}]" if sequence else inner
