"""The arguments of ``create_tensor``: checked, and completed by the defaults of the htype."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from hubzarr.codecs import default_codecs
from hubzarr.dtypes import as_dtype, kind_of
from hubzarr.errors import InvalidError
from hubzarr.htypes.information import check_information
from hubzarr.htypes.kinds import HTYPES, Htype
from hubzarr.htypes.spec import TensorSpec, parse_htype, written_htype
from hubzarr.media import get_format, names

__all__ = ["tensor_spec"]

_BYTE_CODECS = ("zstd", "lz4", "blosc", "gzip", "none")
# What Hub calls the dtype of samples that are no arrays.
_NO_DTYPES = (None, str, dict, list, "str", "Any", "List", "dict", "list")
_HUB_FORMATS = {"dcm": "dicom"}


def tensor_spec(
    htype: str | None = "generic",
    dtype: Any = None,
    sample_compression: str | None = None,
    chunk_compression: str | None = None,
    **options: Any,
) -> tuple[TensorSpec, dict[str, Any]]:
    """Check the arguments of ``create_tensor`` and fill in the defaults of the htype.

    Parameters
    ----------
    htype : str
        One of `names()`, also in ``sequence[...]``, ``link[...]``, ``sequence[link[...]]``.
    dtype : dtype-like, optional
        Of the arrays; the htype's own by default.
    sample_compression : str, optional
        File format to keep each sample in, such as ``"jpeg"``; files of that format are kept
        byte for byte. A codec for bytes, such as ``"lz4"``, means `chunk_compression`.
    chunk_compression : str, optional
        Codec for bytes of many samples: ``"zstd"`` (default), ``"lz4"``, ``"blosc"``,
        ``"gzip"``, a level behind a colon, or ``"none"``. Not together with a file format.
    **options
        ``class_names``, ``coords``, ``keypoints``, ``connections``, ``intrinsics`` as the htype
        has them; ``unknown``; ``encoding``.

    Returns
    -------
    spec : TensorSpec
        What the tensor holds.
    info : dict
        Facts that users see in ``tensor.info``.

    Raises
    ------
    InvalidError
        An argument is unknown, impossible, or excludes another.

    Examples
    --------
    >>> from hubzarr.htypes import tensor_spec
    >>> spec, info = tensor_spec("class_label", class_names=["cat", "dog"])
    >>> spec.dtype, spec.chunk_compression, info
    ('uint32', 'zstd', {'class_names': ['cat', 'dog']})
    >>> tensor_spec("imgae")
    Traceback (most recent call last):
    hubzarr.errors.InvalidError: no htype 'imgae' (did you mean 'image'?); there are generic, ...
    """
    sequence, link, base = _checked_htype(htype or "generic")
    if base == "generic" and not link and dtype in (str, "str"):
        base = "text"
    kind = HTYPES[base]
    sample_compression, chunk_compression = _compressions(
        kind, link, sample_compression, chunk_compression
    )
    info, options = check_information(kind, options)
    spec = TensorSpec(
        written_htype(sequence, link, base),
        "str" if link else _dtype(kind, dtype),
        sample_compression,
        chunk_compression,
        options,
    )
    return spec, info


def _checked_htype(htype: str) -> tuple[bool, bool, str]:
    if not isinstance(htype, str):
        raise InvalidError(f"htype of type {type(htype).__name__}; expected its name, a string")
    if htype in ("sequence", "link"):
        htype = f"{htype}[generic]"
    sequence, link, base = parse_htype(htype)
    if base not in HTYPES:
        near = get_close_matches(base, HTYPES, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InvalidError(f"no htype {base!r}{hint}; there are {', '.join(HTYPES)}")
    if link and HTYPES[base].files is None:
        raise InvalidError(
            f"htype {htype!r}: samples of {base} are no files; expected one of "
            f"{', '.join(name for name, kind in HTYPES.items() if kind.files)}"
        )
    return sequence, link, base


def _compressions(
    kind: Htype, link: bool, sample: Any, chunk: Any
) -> tuple[str | None, str | None]:
    if _is_codec(sample):
        if chunk not in (None, sample):
            raise _both(sample, chunk)
        sample, chunk = None, sample
    if link and sample is not None:
        raise InvalidError(
            f"sample_compression={sample!r} of a link; leave it out: files stay where they are"
        )
    if link or kind.stores != "array":
        if sample is not None:
            raise InvalidError(
                f"sample_compression={sample!r} of {kind.name}, whose samples are no files; "
                "leave it out, or say chunk_compression='zstd'"
            )
        return None, _chunk_compression(chunk)
    if sample is not None and chunk is not None:
        raise _both(sample, chunk)
    if chunk is not None:
        return None, _chunk_compression(chunk)
    if sample is None:
        sample = kind.compression
    if sample is not None:
        return _sample_compression(kind, sample), None
    if kind.needs_compression:
        raise InvalidError(
            f"{kind.name} without compression; expected sample_compression= the format of the "
            f"files ({', '.join(_formats(kind))}), or chunk_compression='zstd' for arrays"
        )
    return None, _chunk_compression(None)


def _both(sample: str, chunk: str | None) -> InvalidError:
    return InvalidError(
        f"sample_compression={sample!r} and chunk_compression={chunk!r}; expected one of them: "
        "files that are compressed already don't get smaller"
    )


def _sample_compression(kind: Htype, name: Any) -> str:
    possible = _formats(kind)
    if kind.files is None:
        raise InvalidError(
            f"sample_compression={name!r} of {kind.name}, whose samples are no files; leave it "
            "out, or say chunk_compression='zstd'"
        )
    if not isinstance(name, str):
        raise InvalidError(f"sample_compression={name!r}; expected the name of a file format")
    made = get_format(_HUB_FORMATS.get(name, name))
    if made.name not in possible:
        raise InvalidError(
            f"sample_compression={name!r} of {kind.name}; expected one of {', '.join(possible)}"
        )
    return made.name


def _chunk_compression(name: Any) -> str:
    if name is None:
        return "zstd"
    if not _is_codec(name):
        raise InvalidError(
            f"chunk_compression={name!r}; expected one of {', '.join(_BYTE_CODECS)}, such as "
            "'zstd:9'; formats of files are for sample_compression"
        )
    default_codecs("uint8", name)  # checks the level
    return str(name)


def _formats(kind: Htype) -> list[str]:
    """Names of the file formats that samples of an htype may be kept in."""
    return [*names(None if kind.files == "any" else kind.files), *kind.more_formats]


def _is_codec(name: Any) -> bool:
    return isinstance(name, str) and name.partition(":")[0] in _BYTE_CODECS


def _dtype(kind: Htype, dtype: Any) -> str | None:
    if dtype is None or kind.stores in ("text", "json"):
        if not any(dtype is word or dtype == word for word in _NO_DTYPES):
            raise InvalidError(f"dtype={dtype!r} of {kind.name}, which has no arrays; leave it out")
        return kind.dtype
    try:
        made = as_dtype(dtype)
    except TypeError as error:
        raise InvalidError(f"dtype={dtype!r}; expected a dtype of NumPy: {error}") from error
    number = kind_of(made)
    if made.hasobject or number in "TV" or (made.kind in "US" and made.itemsize == 0):
        raise InvalidError(
            f"dtype={dtype!r} can't be stored; expected numbers, times or text of fixed length; "
            "for strings there is htype='text', for objects htype='json'"
        )
    if kind.kinds and number not in kind.kinds:
        raise InvalidError(
            f"dtype={dtype!r} of {kind.name}; expected one such as {kind.dtype or 'float32'}"
        )
    made = made.newbyteorder("=")
    return str(made.name if number in "biufc" else made.str)
