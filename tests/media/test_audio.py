"""Audio: the same samples as soundfile gives, and files that tell their length wrongly."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, SampleError
from hubzarr.media import get_format, names
from hubzarr.media.audio import decode, header, read_samples
from tests.media.damage import cuts, errors_of, flips
from tests.realdata import every, real

soundfile = pytest.importorskip("soundfile")

FILES = [path for path in every("audio/*/*") if path.suffix[1:] in names("audio")]
RECORDINGS = [path for path in FILES if path.parent.name != "fsdd"]
LENGTH_UNKNOWN = "sampleflac.flac"  # soundfile can't read it in one go
LENGTH_GUESSED = "test_audio_44100.mp3"


def ids(path):
    return path.name


def tone(count: int = 5000, channels: int = 2) -> np.ndarray:
    times = np.arange(count)[:, np.newaxis] / 8000
    return (0.5 * np.sin(2 * np.pi * 440 * times * np.arange(1, channels + 1))).astype("f4")


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_same_samples_as_soundfile(path):
    data = path.read_bytes()
    found, told = decode(data), header(data)
    assert (told.shape, told.dtype) == (found.shape, found.dtype)
    with soundfile.SoundFile(path) as file:
        assert told.meta["samplerate"] == file.samplerate
        assert told.meta["subtype"] == file.subtype
    if path.name != LENGTH_UNKNOWN:
        expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("path", RECORDINGS, ids=ids)
def test_parts(path):
    data = path.read_bytes()
    whole = decode(data)
    for start, stop in [
        (None, 10),
        (1000, 2500),
        (-300, None),
        (-300, -290),
        (9, 3),
        (10**9, None),
    ]:
        assert np.array_equal(read_samples(data, start, stop), whole[start:stop])


def test_length_unknown():
    """A FLAC file written to a pipe: FFmpeg gives the same samples."""
    av = pytest.importorskip("av")
    data = real(f"audio/deeplake/{LENGTH_UNKNOWN}").read_bytes()
    with av.open(io.BytesIO(data)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    expected = np.concatenate(parts, axis=1).reshape(-1, 2) / np.float32(32768)
    assert np.array_equal(decode(data), expected)
    assert header(data).shape == expected.shape


def test_length_guessed():
    """An MP3 file without a count of frames: its samples are counted, not guessed."""
    path = real(f"audio/hf/{LENGTH_GUESSED}")
    assert soundfile.info(path).frames != len(decode(path.read_bytes()))
    assert header(path.read_bytes()).shape == (110592, 2)


def test_cut_mp3_is_a_shorter_one():
    data = real("audio/librosa/test1_22050.mp3").read_bytes()
    half = data[: len(data) // 2]
    found = decode(half)
    assert header(half).shape == found.shape
    assert 0 < len(found) < len(decode(data))
    assert header(data + data).shape == decode(data + data).shape


@pytest.mark.parametrize("name", ["librosa/test1_22050.mp3", f"hf/{LENGTH_GUESSED}"])
def test_garbled_mp3(name):
    """Either an error, or as many samples as the header says: decoders skip what is garbled."""
    for data in flips(real(f"audio/{name}").read_bytes(), 20):
        try:
            found = decode(data)
        except SampleError:
            continue
        assert header(data).shape == found.shape


def test_parts_of_seconds():
    meta = header(real("audio/librosa/test_audio.flac").read_bytes()).meta
    assert meta["frames"] == 229021
    assert meta["duration"] == 229021 / 44100
    assert meta["channels"] == 2


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "opus"])
@pytest.mark.parametrize("channels", [1, 2])
def test_encoded(name, channels):
    sound = tone(channels=channels)
    file = get_format(name).encode(sound, samplerate=8000)
    found = get_format(name).decode(file)
    told = get_format(name).header(file)
    assert found.shape == told.shape == sound.shape
    assert told.meta["samplerate"] == 8000
    worst = {"wav": 0, "flac": 1e-6}.get(name, 0.2)
    assert np.abs(found - sound).max() <= worst


def test_long_vorbis():
    """In one go libsndfile would overflow its stack."""
    sound = tone(2_000_000, 1)
    assert header(get_format("ogg").encode(sound)).shape == sound.shape


@pytest.mark.parametrize(
    ("name", "dtype", "subtype"),
    [("wav", "i2", "PCM_16"), ("wav", "i4", "PCM_32"), ("flac", "i2", "PCM_16")],
)
def test_integers_stay(name, dtype, subtype):
    most = np.iinfo(dtype)
    sound = np.array([[0, 1], [most.min, most.max], [-1, 1000]], dtype)
    file = get_format(name).encode(sound, samplerate=8000)
    assert header(file).meta["subtype"] == subtype
    read, _ = soundfile.read(io.BytesIO(file), dtype=sound.dtype.name)
    assert np.array_equal(read, sound)
    assert np.array_equal(decode(file), (sound / -float(most.min)).astype("f4"))


@given(
    st.integers(0, 300),
    st.integers(1, 4),
    st.sampled_from(["f2", "f4", ">f4", "f8", "i2", ">i2", "i4"]),
)
@settings(max_examples=40, deadline=None)
def test_wav_of_any_shape(count, channels, dtype):
    values = np.random.default_rng(count).integers(-100, 100, (count, channels))
    sound = (values / 128 if "f" in dtype else values).astype(dtype)
    file = get_format("wav").encode(sound)
    assert header(file).shape == sound.shape
    range_ = 1 if "f" in dtype else float(1 << (8 * sound.dtype.itemsize - 1))
    assert np.array_equal(decode(file), (sound / range_).astype("f4"))


def test_one_axis():
    assert decode(get_format("wav").encode(np.zeros(7, "f4"))).shape == (7, 1)


@pytest.mark.parametrize("path", RECORDINGS, ids=ids)
def test_broken_files(path):
    data = path.read_bytes()
    for read in (header, decode):
        assert errors_of(read, cuts(data, 8)) >= 8
        errors_of(read, flips(data, 8))
        errors_of(read, flips(data, 20, within=100))


@pytest.mark.parametrize("path", [path for path in RECORDINGS if path.suffix != ".mp3"], ids=ids)
def test_cut_files(path):
    data = path.read_bytes()
    assert errors_of(decode, [data[: len(data) // 2], data[:-10]]) == 2


def test_piped_wav():
    """A program that writes to a pipe can't know the sizes: then the file's end counts."""
    data = bytearray(get_format("wav").encode(np.arange(100, dtype="i2"), samplerate=8000))
    place = data.index(b"data")
    struct.pack_into("<I", data, 4, 0xFFFFFFFF)
    struct.pack_into("<I", data, place + 4, 0xFFFFFFFF)
    assert header(bytes(data)).shape == (100, 1)
    assert len(decode(bytes(data))) == 100


@pytest.mark.parametrize("data", [b"", b"RIFF", b"fLaC", bytes(1000), b"OggS" + bytes(50)])
def test_other_files(data):
    for read in (header, decode, read_samples):
        with pytest.raises(SampleError):
            read(data)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2, 2)), np.zeros(3, "u1"), np.zeros((3, 0)), np.array(["a"])]
)
def test_unsuitable_arrays(array):
    with pytest.raises(SampleError, match="expected"):
        get_format("wav").encode(array)


def test_unsuitable_options():
    with pytest.raises(InvalidError, match="opus can't hold 2 channels at 44100 Hz"):
        get_format("opus").encode(tone(), samplerate=44100)
    with pytest.raises(InvalidError, match="mp3"):
        get_format("mp3").encode(tone(channels=3))
    with pytest.raises(InvalidError, match="NO_SUCH"):
        get_format("wav").encode(tone(), subtype="NO_SUCH")
    assert header(get_format("wav").encode(tone(), subtype="PCM_24")).meta["subtype"] == "PCM_24"
