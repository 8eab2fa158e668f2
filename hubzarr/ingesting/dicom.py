"""Folders of DICOM files: series of slices, one slice a row.

Files are known by their contents, whatever their names. Rows are ordered by series, in the
order in which the first file of each is found, and within a series by place along the axis
of the slices; where slices differ in direction or say nothing of their place, by instance
number. The bytes of files stay as they are, with all tags.

The headers of all files are read before the first row, since any file may be of any series.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubzarr.errors import HubzarrError, InvalidError, SampleError
from hubzarr.ingesting.columns import as_json
from hubzarr.ingesting.files import find_files, format_of, read_sample
from hubzarr.ingesting.media_files import prevails
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column, Skipped, Unit
from hubzarr.media import Sample
from hubzarr.media.extras import need
from hubzarr.media.guard import broken_unless_read

__all__ = ["KIND", "DicomSource", "Slice", "matches", "open_source"]

KIND = "dicom"

_LOOK = 50
_DEPTH = 6
_UNIT_FILES = 64
_INDEX = "DICOMDIR"  # lists the files of a medium; the files say the same themselves
_FACTS = (
    *("PatientID", "StudyInstanceUID", "StudyDate", "Modality", "SeriesDescription"),
    *("SeriesNumber", "PixelSpacing", "SliceThickness", "ImageOrientationPatient"),
)
_TAGS = [
    *("SOPClassUID", "Rows", "SeriesInstanceUID", "InstanceNumber", "ImagePositionPatient"),
    *_FACTS,
]

type Vector = tuple[float, float, float]


def matches(place: Place) -> bool:
    """Whether most files at the place are DICOM by name, or the first ones by contents."""
    try:
        if prevails(place, "dicom"):
            return True
        if place.is_file():
            return _is_dicom(place)
        files = list(itertools.islice(find_files(place, _is_bare, depth=_DEPTH), _LOOK))
        return bool(files) and all(_is_dicom(file) for file in files[:3])
    except HubzarrError:
        return False


def open_source(place: Place) -> DicomSource:
    """Slices of series, as columns ``images``, ``series``, ``instance``, ``position``.

    Classes of ``series`` are the UIDs of the series; ``instance`` is -1, and ``position``
    (in mm) NaN, where a file does not say. What is common to a series is in the info.

    Parameters
    ----------
    place : Place
        The folder, or one file.
    """
    single = place.is_file()
    root = place.parent() if single else place
    found: list[tuple[Slice, dict[str, Any]]] = []
    left_out: list[Skipped] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, about values that break DICOM's rules
        for file in [place] if single else place.walk():
            path = file.relative(root)
            try:
                found.append(_looked_at(file, path))
            except SampleError as error:
                ours = format_of(file.name, "dicom") is not None
                left_out.append(Skipped(path, error.message, broken=ours))
            except _NoImageError as error:
                left_out.append(Skipped(path, str(error), broken=False))
    if not found:
        raise InvalidError(f"no images of DICOM in {place.url!r}")
    series: dict[str, list[Slice]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for one, said in found:
        series.setdefault(one.series, []).append(one)
        facts.setdefault(one.series, said)
    ordered = {
        uid: _ordered(slices, facts[uid].get("ImageOrientationPatient"))
        for uid, slices in series.items()
    }
    return DicomSource(root, ordered, tuple(left_out), {"series": facts})


@dataclass(frozen=True, slots=True)
class Slice:
    """One file of a series.

    Attributes
    ----------
    path : str
    series : str
        UID.
    instance : int
        Number within the series, -1 where the file has none.
    position : tuple of float
        Of the first pixel, in mm; NaN where the file does not say.
    orientation : tuple of float
        Directions of rows and columns; empty where the file does not say.
    """

    path: str
    series: str
    instance: int
    position: Vector
    orientation: tuple[float, ...]


@dataclass(frozen=True)
class DicomSource:
    """Slices, series by series."""

    root: Place
    series: dict[str, list[Slice]]
    left_out: tuple[Skipped, ...]
    info: dict[str, Any]
    kind: str = KIND

    @property
    def columns(self) -> tuple[Column, ...]:
        """Files, and what orders them."""
        return (
            Column("images", {"htype": "dicom"}),
            Column("series", {"htype": "class_label", "class_names": list(self.series)}),
            Column("instance", {"htype": "generic", "dtype": "int64"}),
            Column("position", {"htype": "generic", "dtype": "float64"}),
        )

    def units(self) -> Iterator[Unit]:
        """Some slices of a series at a time."""
        for number, (uid, slices) in enumerate(self.series.items()):
            for start in range(0, len(slices), _UNIT_FILES):
                count = min(_UNIT_FILES, len(slices) - start)
                yield Unit(f"{uid}/{start}", (number, uid, start, start + count), count)

    def rows(self, unit: Unit) -> Iterator[dict[str, Any] | Skipped]:
        """The slices of a unit, not decoded."""
        number, uid, start, stop = unit.payload
        if number == start == 0:
            yield from self.left_out
        for one in self.series[uid][start:stop]:
            try:
                sample = read_sample(self.root.child(one.path))
            except SampleError as error:
                yield Skipped(one.path, error.message)
                continue
            # Files without the mark of DICOM can't be told by their contents alone.
            data, path = sample.compressed_bytes, sample.path
            yield {
                "images": Sample(data, path=path, compression="dicom"),
                "series": number,
                "instance": one.instance,
                "position": np.array(one.position),
            }


class _NoImageError(Exception):
    """A file that is sound, but holds no image."""


def _looked_at(file: Place, path: str) -> tuple[Slice, dict[str, Any]]:
    """What the header of a file says: of the slice, and of its series."""
    if file.name == _INDEX:
        raise _NoImageError("it lists other files")
    by_name, marked = format_of(file.name, "dicom") is not None, _is_dicom(file)
    if not by_name and not marked:
        raise _NoImageError("it is no DICOM file")
    header = _header(file, force=not marked)
    if "Rows" not in header:
        if "SOPClassUID" in header:  # a report, a plan
            raise _NoImageError("it holds no image")
        raise SampleError("a DICOM file that is cut, or none", path=file.url)
    facts = {key: as_json(_plain(header.get(key))) for key in _FACTS if key in header}
    return _slice(header, path), facts


@broken_unless_read("DICOM file")
def _header(file: Place, force: bool) -> Any:
    pydicom = need("pydicom", extra="medical", what="reading DICOM files")
    with file.open() as opened:
        found = pydicom.dcmread(opened, stop_before_pixels=True, force=force, specific_tags=_TAGS)
        for _ in found:  # values are parsed when they are asked for, while the file is open
            pass
        return found


@broken_unless_read("DICOM file")
def _slice(header: Any, path: str) -> Slice:
    position = tuple(float(value) for value in header.get("ImagePositionPatient") or ())
    x, y, z = position if len(position) == 3 else (float("nan"),) * 3
    orientation = tuple(float(value) for value in header.get("ImageOrientationPatient") or ())
    instance = header.get("InstanceNumber")
    return Slice(
        path,
        str(header.get("SeriesInstanceUID") or ""),
        -1 if instance is None else int(instance),
        (x, y, z),
        orientation if len(orientation) == 6 else (),
    )


def _ordered(slices: list[Slice], orientation: Sequence[float] | None) -> list[Slice]:
    """Slices by place along their axis, else by instance number."""
    first = slices[0].orientation
    placed = first and all(
        one.orientation and np.allclose(one.orientation, first, atol=1e-3) for one in slices
    )
    if not placed or np.isnan([one.position for one in slices]).any():
        return sorted(slices, key=lambda one: (one.instance, one.path))
    axis = np.cross(first[:3], first[3:])
    places = {one.path: round(float(np.dot(one.position, axis)), 3) for one in slices}
    return sorted(slices, key=lambda one: (places[one.path], one.instance, one.path))


def _plain(value: Any) -> Any:
    """Numbers and strings of pydicom as those of Python."""
    if isinstance(value, str | None):
        return value
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if hasattr(value, "__iter__"):
        return [_plain(one) for one in value]
    return str(value)


def _is_dicom(file: Place) -> bool:
    with file.open() as opened:
        return opened.read(132)[128:] == b"DICM"


def _is_bare(name: str) -> bool:
    """Whether a name has no extension that says what a file is: DICOM's often have none."""
    last = name.rpartition(".")[2] if "." in name else ""
    return not last or last.isdigit()
