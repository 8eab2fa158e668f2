"""Folders of files that are samples: video, audio, volumes, point clouds, meshes.

One file is one row, and its bytes stay as they are. What folders mean tells `class_folders`.
Files of formats that
differ are brought into the most frequent one: without loss where only the packing differs
(``.nii`` and ``.nii.gz``, ``.las`` and ``.laz``), else by decoding and encoding.
"""

from __future__ import annotations

import gzip
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hubzarr.errors import InvalidError, SampleError
from hubzarr.ingesting.class_folders import Layout, layout_of
from hubzarr.ingesting.files import find_files, format_of, prevailing, read_sample
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Unit, file_units
from hubzarr.media import Sample, get_format
from hubzarr.media.extras import need
from hubzarr.media.formats import by_extension
from hubzarr.media.guard import broken_unless_read

__all__ = ["MediaSource", "media_source", "prevails", "repacked"]

_LOOK = 200
_DEPTH = 6  # folders within folders that are looked at to recognise a place


def prevails(place: Place, *kinds: str) -> bool:
    """Whether most files of media at a place are of these kinds, as far as a look tells.

    Examples
    --------
    >>> import pathlib
    >>> for name in "a.wav", "b.wav", "cover.jpg", "notes.txt":
    ...     _ = pathlib.Path(name).write_bytes(b"...")
    >>> prevails(Place("."), "audio"), prevails(Place("."), "video", "image")
    (True, False)
    """
    found: Counter[str] = Counter()
    nearby = iter([place]) if place.is_file() else find_files(place, _is_media, depth=_DEPTH)
    for file in itertools.islice(nearby, _LOOK):
        name = by_extension(file.name)
        if name is not None:
            found[get_format(name).kind] += 1
    ours = sum(found[kind] for kind in kinds)
    return ours > 0 and 2 * ours > found.total()


@dataclass(frozen=True)
class MediaSource:
    """Files of one kind of media, one row each.

    Attributes
    ----------
    kind : str
        Of the source.
    root : Place
        A folder.
    columns : tuple of Column
        The first takes the files.
    info : dict
    media : tuple of str
        Kinds of media that are rows.
    layout : Layout
    only : str, optional
        Name of the one file that is wanted.
    further : callable, optional
        ``further(path)`` gives more of the row.
    """

    kind: str
    root: Place
    columns: tuple[Column, ...]
    info: dict[str, Any]
    media: tuple[str, ...]
    layout: Layout
    only: str | None = None
    further: Callable[[str], dict[str, Any]] | None = None

    def units(self) -> Iterator[Unit]:
        """Some files at a time, in the order of their paths."""
        files = self.root.walk() if self.only is None else [self.root.child(self.only)]
        return file_units(files, self.root)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The files of a unit, not decoded."""
        main = self.columns[0]
        named = any(column.name == "filenames" for column in self.columns)
        for path in unit.payload:
            labels = self.layout.row(path)
            if not any(format_of(path, kind) for kind in self.media):
                yield Skipped(path, f"its name is none of {self.media[0]}", broken=False)
                continue
            if labels is None:
                yield Skipped(path, "it lies outside the folders of classes", broken=False)
                continue
            try:
                sample = read_sample(self.root.child(path))
                row = {main.name: _converted(sample, main.options), **labels}
            except SampleError as error:
                yield Skipped(path, error.message)
                continue
            if self.further is not None:
                row |= self.further(path)
            if named:
                row["filenames"] = path
            yield row


def media_source(
    kind: str,
    place: Place,
    column: Column,
    media: tuple[str, ...],
    *,
    further: Callable[[str], dict[str, Any]] | None = None,
    more: tuple[Column, ...] = (),
    classes: bool = True,
    filenames: bool | None = None,
) -> MediaSource:
    """The source of the files of some kinds of media at a place.

    Parameters
    ----------
    kind : str
        Of the source.
    place : Place
        A folder or a file.
    column : Column
        For the files; without a ``sample_compression`` the most frequent format is taken.
    media : tuple of str
        Kinds of media.
    further, more
        What fills further columns, and these.
    classes : bool
        Whether folders are classes.
    filenames : bool, optional
        Whether to keep the names of files; by default where there are no classes.

    Examples
    --------
    >>> import pathlib
    >>> for name in "cat/a.wav", "dog/b.wav":
    ...     pathlib.Path("sounds", name).parent.mkdir(parents=True)
    ...     _ = pathlib.Path("sounds", name).write_bytes(b"...")
    >>> source = media_source("clips", Place("sounds"), Column("audio", {"htype": "audio"}),
    ...                       ("audio",))
    >>> [column.name for column in source.columns], source.columns[0].options
    (['audio', 'labels'], {'htype': 'audio', 'sample_compression': 'wav'})
    """
    formats: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    single = place.is_file()
    root = place.parent() if single else place
    for file in [place] if single else place.walk():
        found = next((name for one in media if (name := format_of(file.name, one))), None)
        if found is not None:
            formats[found] += 1
            folders[file.relative(root).rpartition("/")[0]] += 1
    if not formats:
        raise InvalidError(f"no files of {' or '.join(media)} in {place.url!r}")
    layout = layout_of(folders) if classes else Layout()
    options = {**column.options}
    options.setdefault("sample_compression", prevailing(formats))
    columns = [Column(column.name, options), *layout.columns, *more]
    if filenames or (filenames is None and not layout.classes):
        columns.append(Column("filenames", {"htype": "text"}))
    info = {"formats": dict(formats)}
    only = place.name if single else None
    return MediaSource(kind, root, tuple(columns), info, media, layout, only, further)


@broken_unless_read("file")
def repacked(data: bytes, have: str, want: str) -> bytes | None:
    """The same file in another packing; None where that is not what the formats differ in.

    Examples
    --------
    >>> gzip.decompress(repacked(b"volume", "nii", "nii.gz"))
    b'volume'
    """
    if (have, want) == ("nii", "nii.gz"):
        return gzip.compress(data, 6, mtime=0)
    if (have, want) == ("nii.gz", "nii"):
        return gzip.decompress(data)
    if {have, want} == {"las", "laz"}:
        laspy = need("laspy", extra="points", what="reading LAS files")
        points = laspy.read(io.BytesIO(data))
        out = io.BytesIO()
        points.write(out, do_compress=want == "laz")
        return out.getvalue()
    return None


def _converted(sample: Sample, options: dict[str, Any]) -> Sample:
    """The sample in the tensor's format, if it can be had without decoding."""
    have, want = sample.compression, options.get("sample_compression")
    if want is None or have is None or have == want:
        return sample
    data = repacked(sample.compressed_bytes, have, want)
    return sample if data is None else Sample(data, path=sample.path, compression=want)


def _is_media(name: str) -> bool:
    return by_extension(name) is not None
