"""Folders of NIfTI volumes, one row each.

The bytes of a file stay as they are, header and affine included. Names as BIDS prescribes
them (``sub-01_ses-2_task-rest_bold.nii.gz``) give a column of text for each entity, with
the names that BIDS has for them, and ``suffix``; else folders may be classes.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from hubzarr.errors import HubzarrError
from hubzarr.ingesting.files import format_of
from hubzarr.ingesting.media_files import MediaSource, media_source, prevails
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column

__all__ = ["KIND", "bids_entities", "matches", "open_source"]

KIND = "nifti"

_NAME = re.compile(r"((?:[a-z]+-[a-zA-Z0-9]+_)+)([a-zA-Z0-9]+)\.nii(\.gz)?")
_ENTITIES = {
    "sub": "subject",
    "ses": "session",
    "acq": "acquisition",
    "rec": "reconstruction",
    "dir": "direction",
    "desc": "description",
    "res": "resolution",
    "hemi": "hemisphere",
    "mod": "modality",
    "ce": "contrast",
    "trc": "tracer",
}


def matches(place: Place) -> bool:
    """Whether most files of media at the place are NIfTI volumes."""
    try:
        return prevails(place, "nifti")
    except HubzarrError:
        return False


def open_source(
    place: Place, *, sample_compression: str | None = None, filenames: bool = True
) -> MediaSource:
    """NIfTI volumes, as the column ``volumes``.

    Parameters
    ----------
    place : Place
        The folder, or one file.
    sample_compression : str, optional
        ``"nii"`` or ``"nii.gz"``; by default what most files are. Others are packed or
        unpacked.
    filenames : bool
        Whether to keep the names of the files, in a column ``filenames``.

    Examples
    --------
    >>> import pathlib
    >>> for name in "sub-01/func/sub-01_task-rest_bold.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz":
    ...     pathlib.Path("study", name).parent.mkdir(parents=True)
    ...     _ = pathlib.Path("study", name).write_bytes(b"...")
    >>> [column.name for column in open_source(Place("study")).columns]
    ['volumes', 'subject', 'task', 'suffix', 'filenames']
    """
    options = {"htype": "nifti"}
    if sample_compression:
        options["sample_compression"] = sample_compression
    found = [bids_entities(file.name) for file in place.walk() if format_of(file.name, "nifti")]
    entities: tuple[str, ...] = ()
    if found and all(found):
        names = dict.fromkeys(name for one in found for name in one if name != "suffix")
        entities = (*names, "suffix")
    return media_source(
        KIND,
        place,
        Column("volumes", options),
        ("nifti",),
        further=partial(_entities_of, entities) if entities else None,
        more=tuple(Column(name, {"htype": "text"}) for name in entities),
        classes=not entities,
        filenames=filenames,
    )


def bids_entities(name: str) -> dict[str, str]:
    """Entities in the name of a file; none if BIDS would not name it so.

    Examples
    --------
    >>> bids_entities("sub-01_run-2_bold.nii.gz")
    {'subject': '01', 'run': '2', 'suffix': 'bold'}
    >>> bids_entities("brain.nii")
    {}
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return {}
    pairs = (pair.split("-") for pair in found[1].strip("_").split("_"))
    return {**{_ENTITIES.get(key, key): value for key, value in pairs}, "suffix": found[2]}


def _entities_of(entities: tuple[str, ...], path: str) -> dict[str, Any]:
    there = bids_entities(path.rpartition("/")[2])
    return {name: there.get(name, "") for name in entities}
