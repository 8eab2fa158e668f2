"""NumPy's files: NPY and NPZ.

* An ``.npy`` file: axis 0 is the rows; it is memory-mapped, so its size does not matter.
* An ``.npz`` file: its arrays are columns, as `arrangement` finds out.
* A folder of ``.npy`` files of one length at its top: columns, named by the files.
* Any other folder of such files: a row for each file; folders inside are classes.

Arrays of objects are refused, because reading them would run what their pickles say.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.arrangement import arrange
from hubzarr.ingesting.blocks import ArrayInfo, BlockSource
from hubzarr.ingesting.columns import clean_names
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.shelf import Shelf
from hubzarr.ingesting.source import Column, Skipped, Source, Unit, file_units

__all__ = ["KIND", "matches", "open_source"]

KIND = "npy"

_SUFFIXES = (".npy", ".npz")
_LOOKED_AT = 1000
_MAGIC = {".npy": b"\x93NUMPY", ".npz": b"PK\x03\x04"}


def matches(place: Place) -> bool:
    """Whether the place is an NPY or NPZ file, or a folder of nothing else.

    Examples
    --------
    >>> np.save("lengths.npy", np.arange(3))
    >>> matches(Place("lengths.npy"))
    True
    """
    try:
        if place.is_file():
            return place.suffix in _SUFFIXES and _has_magic(place)
        files = list(islice(place.walk(), _LOOKED_AT))
        suffixes = {file.suffix for file in files}
        return len(suffixes) == 1 and suffixes <= set(_SUFFIXES) and _has_magic(files[0])
    except HubzarrError:
        return False


def open_source(place: Place, *, whole: bool | None = None) -> Source:
    """Rows of arrays.

    Parameters
    ----------
    place : Place
        A file, or a folder of them.
    whole : bool, optional
        Whether each array is one sample, or its axis 0 is the rows. Found out unless
        given.

    Raises
    ------
    SampleError
        If a file is broken or holds objects.

    Examples
    --------
    >>> np.savez("digits.npz", images=np.zeros((2, 8, 8, 3), "u1"), labels=np.array([7, 2]))
    >>> source = open_source(Place("digits.npz"))
    >>> [(column.name, column.options["htype"]) for column in source.columns]
    [('images', 'image'), ('labels', 'class_label')]
    """
    if place.is_file():
        return arrange(KIND, _arrays(place), whole=bool(whole))
    files = [file for file in place.walk() if file.suffix in _SUFFIXES]
    if not files:
        raise InvalidError(f"no .npy or .npz file in {place.url!r}", path=place.url)
    if whole is not True:
        columns = _side_by_side(place, files)
        if columns is not None:
            return columns
        if whole is False:
            raise InvalidError(
                f"{place.url!r} holds no .npy files of one length side by side; "
                "without whole=False each file becomes a row",
                path=place.url,
            )
    return _rows_of_files(place, files)


@dataclass(frozen=True)
class FileRows:
    """A row for each file; the class is the folder that it is in.

    Examples
    --------
    >>> import pathlib
    >>> for number, name in enumerate(["cat", "dog"]):
    ...     pathlib.Path("arrays", name).mkdir(parents=True)
    ...     np.save(f"arrays/{name}/1.npy", np.full((2, number + 2), 5))
    >>> source = open_source(Place("arrays"))
    >>> for unit in source.units():
    ...     for row in source.rows(unit):
    ...         print(row["data"].shape, row["files"], row["labels"])
    (2, 2) cat/1.npy 0
    (2, 3) dog/1.npy 1
    """

    place: Place
    names: dict[str, str]
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    info: dict[str, Any]
    kind: str = KIND

    def units(self) -> Iterator[Unit]:
        """Files in order, some together."""
        files = (file for file in self.place.walk() if file.suffix in _SUFFIXES)
        return file_units(files, self.place)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The arrays of each file."""
        for path in unit.payload:
            try:
                yield self._row(path)
            except HubzarrError as error:
                yield Skipped(path, str(error))

    def _row(self, path: str) -> dict[str, Any]:
        found = {array.name: array.whole() for array in _arrays(self.place.child(path), "data")}
        if found.keys() != self.names.keys():
            raise SampleError(
                f"it holds {', '.join(found)}, where the first file holds {', '.join(self.names)}"
            )
        row: dict[str, Any] = {self.names[name]: value for name, value in found.items()}
        row["files"] = path
        if self.classes:
            row["labels"] = self.classes.index(path.rpartition("/")[0])
        return row


def _rows_of_files(place: Place, files: list[Place]) -> FileRows:
    dtypes: dict[str, dict[np.dtype[Any], str]] = {}
    first: dict[str, ArrayInfo] = {}
    for file in files:
        try:
            arrays = {array.name: array for array in _arrays(file, "data")}
        except HubzarrError:  # told when its rows are read
            continue
        first = first or arrays
        for name in first.keys() & arrays.keys():
            dtypes.setdefault(name, {}).setdefault(arrays[name].dtype, file.relative(place))
    if not first:
        raise SampleError(f"{files[0].url} and all other files are broken", path=files[0].url)
    cleaned = clean_names([*first, "files", "labels"])
    names = {name: cleaned[name] for name in first}
    columns = [
        Column(names[name], {"htype": "generic", "dtype": _common_dtype(place, dtypes[name])})
        for name in first
    ]
    columns.append(Column("files", {"htype": "text"}))
    folders = sorted({file.relative(place).rpartition("/")[0] for file in files})
    classes = tuple(folders) if len(folders) > 1 else ()
    if classes:
        columns.append(Column("labels", {"htype": "class_label", "class_names": list(classes)}))
    return FileRows(place, names, tuple(columns), classes, {})


def _common_dtype(place: Place, files: dict[np.dtype[Any], str]) -> str:
    """A dtype that holds the values of all files; given is one file of each dtype."""
    (one, first), *others = files.items()
    common = one
    for dtype, file in others:
        try:
            common = np.result_type(common, dtype)
        except TypeError as error:  # such as of numbers and records
            raise InvalidError(
                f"{first} ({_word(one)}) and {file} ({_word(dtype)}) in {place.url!r} don't go "
                "together as samples of one tensor: ingest the files one by one, or move those of "
                "one kind to a folder of their own",
                path=place.url,
            ) from error
    return common.name


def _word(dtype: np.dtype[Any]) -> str:
    return str(dtype) if dtype.names is None else f"records of {len(dtype.names)} fields"


def _side_by_side(place: Place, files: list[Place]) -> BlockSource | None:
    """Files of one length at the top of the folder as columns."""
    if any(file.suffix != ".npy" or "/" in file.relative(place) for file in files):
        return None
    arrays = [array for file in files for array in _arrays(file)]
    if len({array.shape[:1] for array in arrays}) != 1 or len(files) < 2:
        return None
    if not arrays[0].shape or arrays[0].shape[0] < 2:
        return None
    # Many arrays that all look the same are samples, not columns.
    if len(arrays) > 2 and len({(array.shape, array.dtype) for array in arrays}) == 1:
        return None
    return arrange(KIND, arrays)


@dataclass(frozen=True)
class _Mapped:
    """Reads parts of an array that lies uncompressed in a file."""

    place: Place
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    def __call__(self, box: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)[box]
        try:
            mapped = np.memmap(
                self.place.local(),
                self.dtype,
                "r",
                self.offset,
                self.shape,
                "F" if self.fortran else "C",
            )
        except (OSError, ValueError) as cause:
            raise _broken(self.place, str(cause)) from cause
        return np.array(mapped[box])


@dataclass(frozen=True)
class _Unpacked:
    """Reads parts of an array that has to be decompressed whole."""

    place: Place
    member: str
    shelf: Shelf[tuple[Place, str], np.ndarray[Any, Any]]

    def __call__(self, box: tuple[slice, ...]) -> Any:
        return self.shelf.get((self.place, self.member))[box]


def _unpack(key: tuple[Place, str]) -> np.ndarray[Any, Any]:
    place, member = key
    try:
        with (
            place.open() as file,
            zipfile.ZipFile(file) as archive,
            archive.open(member) as stream,
        ):
            loaded = np.lib.format.read_array(stream, allow_pickle=False)
            return cast("np.ndarray[Any, Any]", loaded)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as cause:
        raise _broken(place, f"{member}: {cause}") from cause


def _arrays(place: Place, name: str | None = None) -> list[ArrayInfo]:
    """The arrays in a file; `name` is for the only one."""
    if place.suffix == ".npz":
        found = _members(place)
        if len(found) == 1 and found[0].name == "arr_0":
            return [_named(found[0], name or place.stem)]
        return found
    with place.open() as file:
        shape, fortran, dtype = _header(file, place)
        reader = _Mapped(place, shape, dtype, fortran, file.tell())
    return [ArrayInfo(name or place.stem, shape, dtype, reader)]


def _named(array: ArrayInfo, name: str) -> ArrayInfo:
    return ArrayInfo(name, array.shape, array.dtype, array.read)


def _members(place: Place) -> list[ArrayInfo]:
    shelf: Shelf[tuple[Place, str], np.ndarray[Any, Any]] = Shelf(_unpack)
    arrays = []
    try:
        with place.open() as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                with archive.open(member) as stream:
                    shape, fortran, dtype = _header(cast(BinaryIO, stream), place)
                    size = stream.tell()
                read: Any = _Unpacked(place, member.filename, shelf)
                if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
                    offset = _content_offset(file, member.header_offset) + size
                    read = _Mapped(place, shape, dtype, fortran, offset)
                arrays.append(ArrayInfo(member.filename[:-4], shape, dtype, read))
    except (OSError, EOFError, zipfile.BadZipFile) as cause:
        raise _broken(place, str(cause)) from cause
    return arrays


def _content_offset(file: BinaryIO, header: int) -> int:
    """Where the content of a member begins: after its own header, whose name may differ."""
    file.seek(header + 26)
    sizes = file.read(4)
    return header + 30 + int.from_bytes(sizes[:2], "little") + int.from_bytes(sizes[2:], "little")


def _header(file: BinaryIO, place: Place) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:  # 2.0 and 3.0 differ in the encoding of field names only
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except (ValueError, EOFError) as cause:
        raise _broken(place, str(cause)) from cause
    if dtype.hasobject:
        raise SampleError(
            f"{place.url} holds Python objects, which are not read, because their pickles can "
            "run code; save it with a plain dtype",
            path=place.url,
        )
    return shape, fortran, dtype


def _has_magic(place: Place) -> bool:
    magic = _MAGIC[place.suffix]
    with place.open() as file:
        return file.read(len(magic)) == magic


def _broken(place: Place, why: str) -> SampleError:
    return SampleError(
        f"{place.url}: broken {place.suffix[1:].upper()} file, {why}", path=place.url
    )
