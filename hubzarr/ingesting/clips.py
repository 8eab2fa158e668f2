"""Folders of videos, or of audio: a folder for each class, or files alone."""

from __future__ import annotations

from hubzarr.errors import HubzarrError
from hubzarr.ingesting.files import count_formats
from hubzarr.ingesting.media_files import MediaSource, media_source, prevails
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.source import Column
from hubzarr.media import get_format

__all__ = ["KIND", "matches", "open_source"]

KIND = "clips"

_COLUMNS = {"video": "videos", "audio": "audio"}


def matches(place: Place) -> bool:
    """Whether most files of media at the place are videos, or most are audio."""
    try:
        return any(prevails(place, media) for media in _COLUMNS)
    except HubzarrError:
        return False


def open_source(
    place: Place,
    *,
    media: str | None = None,
    sample_compression: str | None = None,
    filenames: bool | None = None,
) -> MediaSource:
    """Videos, or audio, as columns ``videos`` or ``audio`` and ``labels``.

    Parameters
    ----------
    place : Place
        The folder, or one file.
    media : str, optional
        ``"video"`` or ``"audio"``; by default what there is more of.
    sample_compression : str, optional
        Format to keep the files in. By default the one that most of them have, so that
        those stay untouched; of audio, where formats differ, a lossless one.
    filenames : bool, optional
        Whether to keep the names of the files, in a column ``filenames``. By default
        this is done where there are no classes.

    Examples
    --------
    >>> import pathlib
    >>> for name in "cat/tom.mp4", "dog/rex.mp4":
    ...     pathlib.Path("clips", name).parent.mkdir(parents=True)
    ...     _ = pathlib.Path("clips", name).write_bytes(b"...")
    >>> for column in open_source(Place("clips")).columns:
    ...     print(column.name, column.options)
    videos {'htype': 'video', 'sample_compression': 'mp4'}
    labels {'htype': 'class_label', 'class_names': ['cat', 'dog']}
    """
    names = [file.name for file in place.walk()]
    formats = {one: count_formats(names, one) for one in _COLUMNS}
    media = media or max(formats, key=lambda one: formats[one].total())
    options = {"htype": media}
    wanted = sample_compression or (_lossless(formats[media]) if media == "audio" else None)
    if wanted:
        options["sample_compression"] = wanted
    column = Column(_COLUMNS.get(media, media), options)
    return media_source(KIND, place, column, (media,), filenames=filenames)


def _lossless(formats: dict[str, int]) -> str | None:
    """For audio of several formats the most frequent lossless one, so that nothing is lost."""
    if len(formats) < 2:
        return None
    lossless = [name for name in formats if get_format(name).lossless]
    return max(lossless, key=lambda name: formats[name], default="flac")
