"""One sample: the bytes of a file, an array, or both, converted when asked and not before."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from hubzarr.errors import InvalidError, InvalidTypeError, SampleError, StorageError
from hubzarr.media.extras import need
from hubzarr.media.format import Format, Header
from hubzarr.media.formats import get_format, sniff
from hubzarr.media.images.exif_tags import exif_tags

__all__ = ["Sample", "read"]

type Array = np.ndarray[Any, Any]


class Sample:
    """A sample that may be a file, kept as it is until somebody wants its array.

    Parameters
    ----------
    data : bytes, optional
        Contents of a file.
    array : array_like, optional
        Values, in place of a file or as what decoding it would give.
    path : str or os.PathLike, optional
        Local path or URL of a file, read when it is needed.
    compression : str, optional
        Format of the file, or format to encode the array in; told from the file's
        first bytes otherwise.
    storage_options : dict, optional
        For fsspec, where `path` is a URL.

    Examples
    --------
    >>> import numpy as np
    >>> from hubzarr.media import Sample
    >>> made = Sample(array=np.zeros((2, 3, 3), "u1"))
    >>> file = Sample(made.encoded("png"))
    >>> file.compression, file.shape, file.dtype, file.array.tolist() == made.array.tolist()
    ('png', (2, 3, 3), dtype('uint8'), True)
    """

    __slots__ = ("_array", "_compression", "_data", "_header", "_options", "path")

    def __init__(
        self,
        data: bytes | None = None,
        *,
        array: Any = None,
        path: str | os.PathLike[str] | None = None,
        compression: str | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> None:
        if data is None and array is None and path is None:
            raise InvalidError("a sample of nothing; expected bytes, an array or a path")
        self._data = data
        self._array: Array | None = None if array is None else np.asarray(array)
        self._header: Header | None = None
        self._options = storage_options
        self._compression = None if compression is None else get_format(compression).name
        self.path: str | None = None if path is None else os.fspath(path)

    # What the sample is

    @property
    def compression(self) -> str | None:
        """Name of the file's format; None for an array without one."""
        if self._compression is None and not self._is_array:
            self._compression = sniff(self.compressed_bytes, self.path)
        return self._compression

    @property
    def format(self) -> Format:
        """The file's format."""
        name = self.compression
        if name is None:
            raise InvalidError("this sample is an array, of no file format; see encoded(format)")
        return get_format(name)

    @property
    def header(self) -> Header:
        """Shape, dtype and further facts, read without decoding."""
        if self._header is None:
            if self._array is not None:
                self._header = Header(self._array.shape, self._array.dtype, {})
            else:
                try:
                    self._header = self.format.header(self.compressed_bytes)
                except SampleError as error:
                    raise self._named(error) from error
        return self._header

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the decoded array."""
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the decoded array."""
        return self.header.dtype

    @property
    def meta(self) -> dict[str, Any]:
        """Facts from the file's header beyond shape and dtype, such as a sampling rate."""
        return self.header.meta

    @property
    def exif(self) -> dict[str, Any]:
        """EXIF tags of an image by their names; empty if it has none."""
        if self._is_array or self.format.kind != "image":
            return {}
        try:
            return exif_tags(self.compressed_bytes)
        except SampleError as error:
            raise self._named(error) from error

    # What is in it

    @property
    def array(self) -> Array:
        """The decoded values; kept, so that decoding happens once."""
        if self._array is None:
            self._array = self._decode()
        return self._array

    @property
    def pil(self) -> Any:
        """The decoded values as an image of Pillow."""
        pillow = need("PIL.Image", extra="images", what="giving an image of Pillow")
        try:
            return pillow.fromarray(self.array)
        except TypeError as error:
            raise InvalidError(
                f"{self!r} has no equal among Pillow's images; expected grey or RGB(A) of uint8"
            ) from error

    @property
    def compressed_bytes(self) -> bytes:
        """The bytes of the file, untouched; of an array, encoded in its compression."""
        if self._data is None:
            if self._is_array:
                self._data = self.encoded(self.format.name)
            else:
                self._data = self._read()
        return self._data

    def encoded(self, compression: str, **options: Any) -> bytes:
        """Give the bytes of a file in a format.

        Parameters
        ----------
        compression : str
            Name of the format.
        **options
            For the format's encoder, such as ``quality=90``; those ask for encoding anew.

        Returns
        -------
        bytes
            The file's own bytes if it has that format already.
        """
        wanted = get_format(compression)
        have_file = self._data is not None or not self._is_array
        if have_file and not options and self.compression == wanted.name:
            return self.compressed_bytes
        if wanted.encode is None:
            raise InvalidError(
                f"hubzarr can't write {wanted.name} files, only keep those there are; "
                f"{self!r} is none"
            )
        try:
            return wanted.encode(self.array, **options)
        except SampleError as error:
            raise self._named(error) from error

    def uncompressed_bytes(self) -> bytes:
        """Give the decoded values, in C order."""
        return self.array.tobytes()

    def verify(self) -> None:
        """Decode the whole file, and check that its header told the truth.

        Raises
        ------
        SampleError
            The file is broken: truncated, garbled, or not what its header says.
        """
        if self._is_array and self._data is None:
            return
        array, header = self._decode(), self.header
        if (array.shape, array.dtype) != (header.shape, header.dtype):
            raise self._named(
                SampleError(
                    f"broken {self.format.name} file: its header says {header.shape} of "
                    f"{header.dtype}, its contents are {array.shape} of {array.dtype}"
                )
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        known = []
        if self.path is not None:
            known.append(repr(self.path))
        if self._compression is not None:
            known.append(f"compression={self._compression!r}")
        if self._header is not None or self._array is not None:
            known.append(f"shape={self.shape}, dtype={self.dtype}")
        return f"Sample({', '.join(known)})"

    @property
    def _is_array(self) -> bool:
        return self._array is not None and self._data is None and self.path is None

    def _decode(self) -> Array:
        try:
            return self.format.decode(self.compressed_bytes)
        except SampleError as error:
            raise self._named(error) from error

    def _named(self, error: SampleError) -> SampleError:
        """The same error, with the path of the file."""
        if self.path is None or error.path is not None:
            return error
        return SampleError(f"{self.path}: {error.message}", path=self.path)

    def _read(self) -> bytes:
        path = self.path or ""
        try:
            if "://" not in path and "::" not in path:
                with io.FileIO(path) as file:
                    return file.readall()
            fsspec = need("fsspec", extra="samples", what=f"reading {path}")
            with fsspec.open(path, "rb", **(self._options or {})) as file:
                return bytes(file.read())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise SampleError(f"{path}: no such file", path=path) from error
        except ImportError as error:
            raise InvalidError(f"{path} can't be opened: {error}") from error
        except OSError as error:
            raise StorageError(f"{path} can't be read: {error}", path=path) from error
        except ValueError as error:  # of fsspec, for protocols that it doesn't know
            raise InvalidError(f"{path} can't be opened: {error}") from error


def read(
    path: str | os.PathLike[str],
    *,
    verify: bool = False,
    compression: str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Sample:
    """Give the sample in a file; nothing is opened before it is needed.

    A tensor whose sample compression is the file's format keeps its bytes untouched.

    Parameters
    ----------
    path : str or os.PathLike
        Local path, or any URL that fsspec can open.
    verify : bool, default False
        Decode the file now, so that a broken one is found at once.  Appending checks
        the header alone, which finds empty files, files of other kinds and, in formats
        that tell how long they are, files cut short, but not garbled pixels.
    compression : str, optional
        Format of the file, where its first bytes and its name don't tell.
    storage_options : dict, optional
        For fsspec, such as credentials.

    Returns
    -------
    Sample
        With `shape`, `dtype`, `array`, `compressed_bytes`, and more.

    Raises
    ------
    InvalidTypeError
        `path` is no path.
    SampleError
        With `verify`, the file is missing or broken.

    Examples
    --------
    >>> from hubzarr.media import read
    >>> read("cat.jpg")
    Sample('cat.jpg')
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidTypeError(
            f"hub.read takes the path or URL of a file, not {type(path).__name__}; "
            "hub.Sample(data) is a sample of bytes"
        )
    sample = Sample(path=path, compression=compression, storage_options=storage_options)
    if verify:
        sample.verify()
    return sample
