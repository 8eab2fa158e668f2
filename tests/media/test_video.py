"""Video clips: the same frames as PyAV gives, by header, whole, and by random access."""

import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, SampleError, UnsupportedError
from hubzarr.media import get_format, names
from hubzarr.media.video import decode, header
from hubzarr.media.video_frames import read_frames, timestamps
from tests.media.damage import cuts, errors_of, flips
from tests.realdata import every, real

av = pytest.importorskip("av")

FILES = [path for path in every("video/*") if path.name != "corrupted.mp4"]
SMALL = ["tinyavi.avi", "carphone_distorted.mp4", "video_90.mov"]


def frames(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        shown = list(container.decode(video=0))
        turns = shown[0].rotation // 90
        return np.stack([np.rot90(one.to_ndarray(format="rgb24"), turns) for one in shown])


def noise(count: int, height: int = 16, width: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), "u1")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_same_frames_as_pyav(path):
    data = path.read_bytes()
    found, expected = header(data), frames(data)
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_some_frames(path):
    data = path.read_bytes()
    whole = decode(data)
    count = len(whole)
    chance = np.random.default_rng(count)
    for start, stop in chance.integers(0, count + 1, (3, 2)).tolist():
        for step in (1, 7, -1):
            assert np.array_equal(read_frames(data, start, stop, step), whole[start:stop:step])
    assert np.array_equal(read_frames(data, -1), whole[-1:])
    assert np.array_equal(read_frames(data, step=count), whole[:1])


def test_times():
    path = real("video/bikes.mp4")
    assert np.allclose(timestamps(path.read_bytes()), np.arange(250) / 25)
    data = real("video/samplemkv.mkv").read_bytes()
    with av.open(io.BytesIO(data)) as container:
        expected = [frame.time for frame in container.decode(video=0)]
    assert np.allclose(timestamps(data), expected)


def test_facts():
    meta = header(real("video/bikes.mp4").read_bytes()).meta
    assert (meta["codec"], meta["fps"], meta["duration"], meta["sound"]) == ("h264", 25, 10, False)
    assert header(real("video/chaplin.mp4").read_bytes()).meta["sound"]


def test_rotation():
    upright = header(real("video/video_0.mov").read_bytes())
    turned = header(real("video/video_90.mov").read_bytes())
    assert upright.shape == (3, 320, 568, 3)
    assert turned.shape == (3, 568, 320, 3)
    assert turned.meta["rotation"] == 270


def test_hidden_frames_do_not_count():
    data = real("video/big_buck_bunny_432_433.webm").read_bytes()
    with av.open(io.BytesIO(data)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 24
    assert header(data).shape[0] == 24


@pytest.mark.parametrize("name", names("video"))
def test_lossless(name):
    video = noise(7)
    file = get_format(name).encode(video, lossless=True)
    assert get_format(name).header(file).shape == video.shape
    assert np.array_equal(get_format(name).decode(file), video)
    assert np.array_equal(read_frames(file, 2, 5), video[2:5])


@pytest.mark.parametrize("name", names("video"))
@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1)])
def test_lossy_keeps_shape_and_looks(name, size):
    height, width = size
    video = np.zeros((5, height, width, 3), "u1")
    video[:, : height // 2] = 200
    file = get_format(name).encode(video, fps=10)
    found = decode(file)
    assert found.shape == header(file).shape == video.shape
    if height > 1:
        assert np.abs(found.astype(int) - video).mean() < 12
    assert np.allclose(timestamps(file), np.arange(5) / 10, atol=1e-3)


@pytest.mark.parametrize("name", names("video"))
def test_same_frames_same_bytes(name):
    video = noise(4)
    assert get_format(name).encode(video) == get_format(name).encode(video)


@given(
    start=st.none() | st.integers(-70, 70),
    stop=st.none() | st.integers(-70, 70),
    step=st.none() | st.integers(-20, 20).filter(bool),
)
@settings(max_examples=40, deadline=None)
def test_slices_like_those_of_numpy(start, stop, step):
    video = np.repeat(np.arange(60, dtype="u1"), 8 * 8 * 3).reshape(60, 8, 8, 3)
    file = lossless_clip(video)
    assert np.array_equal(read_frames(file, start, stop, step), video[start:stop:step])


_made: dict[int, bytes] = {}


def lossless_clip(video: np.ndarray) -> bytes:
    """With a key frame every eight frames."""
    if not _made:
        out = io.BytesIO()
        with av.open(out, "w", format="mp4") as container:
            options = {"qp": "0", "g": "8"}
            stream = container.add_stream("libx264rgb", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = video.shape[2], video.shape[1], "rgb24"
            for frame in video:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        _made[0] = out.getvalue()
    return _made[0]


def test_without_the_first_key_frame():
    """Frames that nothing refers to decode to nothing: header and decode agree on those left."""
    file = lossless_clip(np.repeat(np.arange(60, dtype="u1"), 8 * 8 * 3).reshape(60, 8, 8, 3))
    out = io.BytesIO()
    with av.open(io.BytesIO(file)) as source, av.open(out, "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if number >= 3 and packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = out.getvalue()
    found = decode(data)
    assert found.shape == header(data).shape
    assert 0 < len(found) < 58
    assert np.array_equal(found[-1], np.full((8, 8, 3), 59))
    assert np.array_equal(read_frames(data, 5, 9), found[5:9])


def test_frames_of_several_sizes():
    """All frames take the size of the first."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as target:
        stream = target.add_stream("mjpeg", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuvj420p"
        for number, (height, width) in enumerate([(16, 32), (32, 16), (16, 32)]):
            for packet in one_jpeg(height, width):
                packet.stream, packet.pts, packet.dts = stream, number * 40, number * 40
                packet.time_base = Fraction(1, 1000)
                target.mux(packet)
    with av.open(io.BytesIO(out.getvalue())) as container:
        assert {frame.width for frame in container.decode(video=0)} == {16, 32}
    found = decode(out.getvalue())
    assert found.shape == header(out.getvalue()).shape == (3, 16, 32, 3)
    assert np.abs(found.astype(int) - 90).max() < 5


def one_jpeg(height: int, width: int) -> list:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, "u1"), format="rgb24")
    frame = frame.reformat(format="yuvj420p")
    return encoder.encode(frame) + encoder.encode(None)


def test_corrupted():
    data = real("video/corrupted.mp4").read_bytes()
    with pytest.raises(SampleError, match="broken video"):
        decode(data)


@pytest.mark.parametrize("name", SMALL)
def test_broken_files(name):
    data = real(f"video/{name}").read_bytes()
    for read in (header, decode):
        assert errors_of(read, cuts(data, 12)) > 10
        errors_of(read, flips(data, 12))
        errors_of(read, flips(data, 12, within=200))


@pytest.mark.parametrize("name", SMALL[1:])
def test_cut_files_are_told_from_their_headers(name):
    data = real(f"video/{name}").read_bytes()
    assert errors_of(header, [data[: len(data) // 2], data[:-2000]]) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a" + bytes(100),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        b"\0\0\0\x14ftypisom\0\0\0\0isom",
        b"RIFF\0\0\0\0AVI ",
    ],
)
def test_other_files(data):
    for read in (header, decode, read_frames, timestamps):
        with pytest.raises(SampleError):
            read(data)


def test_sound_alone_is_no_video():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "f4"), format="fltp", layout="mono")
        sound.sample_rate = 8000
        target.mux(stream.encode(sound))
        target.mux(stream.encode(None))
    with pytest.raises(SampleError, match="no video stream"):
        header(out.getvalue())


@pytest.mark.parametrize(
    "array", [np.zeros((2, 4, 4), "u1"), np.zeros((2, 4, 4, 3)), np.zeros((0, 4, 4, 3), "u1")]
)
def test_unsuitable_arrays(array):
    with pytest.raises(SampleError, match="expected"):
        get_format("mp4").encode(array)


def test_unsuitable_options():
    with pytest.raises(InvalidError, match="fps"):
        get_format("mp4").encode(noise(1), fps=0)
    with pytest.raises(UnsupportedError, match="no_such"):
        get_format("mp4").encode(noise(1), codec="no_such")
    small = get_format("mp4").encode(noise(9, 64, 64), quality=45)
    large = get_format("mp4").encode(noise(9, 64, 64), quality=10)
    assert len(small) < len(large)
