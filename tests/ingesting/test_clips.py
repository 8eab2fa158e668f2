"""Folders of video and audio, against PyAV and soundfile."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from hubzarr.errors import InvalidError
from hubzarr.htypes import prepare, tensor_spec
from hubzarr.ingesting import clips
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import recognise
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import real


def sound(seconds=0.01, seed=0):
    """The bytes of a short WAV file."""
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    values = np.random.default_rng(seed).integers(-999, 999, int(8000 * seconds), "i2")
    soundfile.write(file, values, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def fill(folder, *names, data=None):
    for number, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(seed=number) if data is None else data)
    return Place(folder)


def test_real_audio_is_kept_and_decoded_like_soundfile():
    import soundfile

    folder = real("audio/fsdd")
    assert recognise(Place(folder)).KIND == "clips"
    source = clips.open_source(Place(folder))
    assert options(source)["audio"] == {"htype": "audio", "sample_compression": "wav"}
    found = rows(source)
    assert [row["filenames"] for row in found] == sorted(path.name for path in folder.iterdir())
    for row in found[:10]:
        path = folder / row["filenames"]
        assert row["audio"].compressed_bytes == path.read_bytes()
        expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
        assert np.array_equal(row["audio"].array, expected)


def test_real_video_is_kept_and_decoded_like_pyav(tmp_path):
    import av

    file = real("video/realshort.mp4")
    place = fill(tmp_path, "walk/a.mp4", "run/b.mp4", data=file.read_bytes())
    assert recognise(place).KIND == "clips"
    source = clips.open_source(place)
    assert options(source) == {
        "videos": {"htype": "video", "sample_compression": "mp4"},
        "labels": {"htype": "class_label", "class_names": ["run", "walk"]},
    }
    found = rows(source)
    assert [row["labels"] for row in found] == [0, 1]
    assert found[0]["videos"].compressed_bytes == file.read_bytes()
    with av.open(str(file)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(found[0]["videos"].array, expected)


def test_real_folder_of_many_formats():
    source = clips.open_source(Place(real("video")))
    assert source.info["formats"] == {"webm": 1, "mp4": 5, "mkv": 1, "avi": 1, "mov": 2}
    assert options(source)["videos"]["sample_compression"] == "mp4"
    assert sum(unit.rows for unit in source.units()) == 10


def test_audio_of_many_formats_is_kept_without_loss():
    import soundfile

    folder = real("audio/librosa")
    source = clips.open_source(Place(folder))
    assert options(source)["audio"]["sample_compression"] == "flac"
    spec, info = tensor_spec(**options(source)["audio"])
    for row in rows(source):
        stored = prepare(spec, row["audio"], info)
        expected, _ = soundfile.read(folder / row["filenames"], always_2d=True, dtype="float32")
        kept, _ = soundfile.read(io.BytesIO(stored.data), always_2d=True, dtype="float32")
        assert np.abs(kept - np.clip(expected, -1, 1)).max() <= 1 / 32768


def test_splits_above_classes(tmp_path):
    place = fill(tmp_path, "train/cat/a.wav", "train/dog/b.wav", "test/cat/c.wav", "notes.txt")
    source = clips.open_source(place)
    assert options(source)["split"]["class_names"] == ["train", "test"]
    found = [row for unit in source.units() for row in source.rows(unit) if isinstance(row, dict)]
    assert [(row["labels"], row["split"]) for row in found] == [(0, 1), (0, 0), (1, 0)]
    assert [(one.what, one.broken) for one in skipped(source)] == [("notes.txt", False)]


def test_files_that_lie_outside_are_told(tmp_path):
    place = fill(tmp_path, "cat/a.wav", "dog/b.wav", "loose.wav")
    (one,) = skipped(clips.open_source(place))
    assert (one.what, one.broken) == ("loose.wav", False)


def test_single_file(tmp_path):
    place = fill(tmp_path, "a.wav", "b.wav").child("b.wav")
    assert recognise(place).KIND == "clips"
    (row,) = rows(clips.open_source(place))
    assert row["filenames"] == "b.wav"
    assert row["audio"].compressed_bytes == place.read()


def test_garbage_is_told_with_its_name(tmp_path):
    place = fill(tmp_path, "a.wav", "b.wav")
    tmp_path.joinpath("b.wav").write_bytes(b"no sound")
    tmp_path.joinpath("c.wav").symlink_to(tmp_path / "missing")
    told = skipped(clips.open_source(place))
    assert [(one.what, one.broken) for one in told] == [("b.wav", True), ("c.wav", True)]


def test_other_folders_do_not_match(tmp_path):
    assert not clips.matches(Place(tmp_path))
    fill(tmp_path, "a.jpg", "b.jpg", "c.wav", data=b"...")
    assert not clips.matches(Place(tmp_path))
    assert not clips.matches(Place(tmp_path / "missing"))
    with pytest.raises(InvalidError, match="no files of video"):
        clips.open_source(Place(tmp_path), media="video")


def test_options(tmp_path):
    place = fill(tmp_path, "cat/a.wav", "dog/b.wav")
    source = clips.open_source(place, sample_compression="flac", filenames=True)
    assert options(source)["audio"]["sample_compression"] == "flac"
    assert [row["filenames"] for row in rows(source)] == ["cat/a.wav", "dog/b.wav"]


def test_travels(tmp_path):
    source = clips.open_source(fill(tmp_path, "cat/a.wav", "dog/b.wav"))
    again = pickle.loads(pickle.dumps(source))
    assert [row["labels"] for row in rows(again)] == [0, 1]
