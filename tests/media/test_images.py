"""Still images: headers tell what decoding gives, and pixels are those of Pillow."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubzarr.errors import InvalidError, SampleError, UnsupportedError
from hubzarr.media import extras, get_format, names, sniff
from tests.realdata import every, real

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".avif"}
FILES = [
    path
    for folder in ("images", "coco", "voc", "yolo", "tiff", "geotiff")
    for path in every(f"{folder}/**/*")
    if path.suffix.lower() in SUFFIXES | {".mpo", ".ppm"}
]
# Enough of each sort; all of them were compared once.
FILES = [path for path in FILES if not {"weather4", "bccd"} & set(path.parts)] + FILES[-900::40]
BROKEN = {
    "broken.png",
    "broken_data_stream.png",
    "corrupt_jpeg.jpeg",
    "truncated_image.png",
    "truncated_jpeg.jpg",
}
# What Pillow can't read, or reads with fewer bits or without sign.
BEYOND_PILLOW = {"D75_16b.png", "mode_16bit.png", "RGBA.uint16.tif", "multi-channel.ome.tif"}


def by_pillow(data):
    """What the documentation promises, said with Pillow alone."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data or image.mode in ("LA", "PA"):
            image = image.convert("RGBA")
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode in ("P", "CMYK", "YCbCr", "LAB"):
            image = image.convert("RGB")
        return np.asarray(image)


def check(data, path=None):
    """Decode by the file's own format; the header has to agree."""
    made = get_format(sniff(data, path))
    header, array = made.header(data), made.decode(data)
    assert (array.shape, array.dtype) == (header.shape, header.dtype)
    assert array.flags.c_contiguous
    out = np.full_like(array, 77)
    assert made.decode_into(data, out) is out
    np.testing.assert_array_equal(out, array)
    return array


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_files(path):
    data = path.read_bytes()
    if path.name in BROKEN:
        with pytest.raises(SampleError):
            get_format(sniff(data, str(path))).decode(data)
        return
    array = check(data, str(path))
    if path.name not in BEYOND_PILLOW:
        np.testing.assert_array_equal(array, by_pillow(data))


@pytest.mark.parametrize("name", sorted(BROKEN - {"broken_data_stream.png", "corrupt_jpeg.jpeg"}))
def test_headers_find_files_that_are_cut(name):
    data = real(f"images/odd/{name}").read_bytes()
    with pytest.raises(SampleError):
        get_format(sniff(data, name)).header(data)


# Orientation


def oriented_files():
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (24, 40, 3), "u1"))
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        for orientation in range(1, 9):
            yield pytest.param(image, name, orientation, id=f"{name}-{orientation}")


@pytest.mark.parametrize(("image", "name", "orientation"), list(oriented_files()))
def test_orientation(image, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, name, exif=exif)
    array = check(file.getvalue())
    assert array.shape == ((40, 24, 3) if orientation >= 5 else (24, 40, 3))
    np.testing.assert_array_equal(array, by_pillow(file.getvalue()))


# PNG: every type of colour, depth and transparency, from a writer of our own


def png_file(width, height, bits, colours, rows, *, palette=None, transparency=None):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    parts = [b"\x89PNG\r\n\x1a\n"]
    parts.append(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)))
    if palette is not None:
        parts.append(chunk(b"PLTE", palette.tobytes()))
    if transparency is not None:
        parts.append(chunk(b"tRNS", transparency))
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))
    parts.append(chunk(b"IEND", b""))
    return b"".join(parts)


def pack(values, bits):
    """Rows of numbers as bytes, the first number in the highest bits."""
    if bits == 16:
        return [row.astype(">u2").tobytes() for row in values]
    spread = np.unpackbits(values.astype("u1")[..., None], axis=-1)[..., 8 - bits :]
    return [np.packbits(row).tobytes() for row in spread.reshape(len(values), -1)]


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_of_greys(bits, clear):
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 1 << bits, (7, 13))
    key = int(values[3, 3])
    data = png_file(
        13, 7, bits, 0, pack(values, bits), transparency=struct.pack(">H", key) if clear else None
    )
    dtype, top = ("u2", 65535) if bits == 16 else ("u1", 255)
    grey = (values * (top // ((1 << bits) - 1))).astype(dtype)
    wanted = grey
    if clear:
        alpha = np.where(values == key, 0, top).astype(dtype)
        wanted = np.stack([grey, grey, grey, alpha], axis=-1)
    np.testing.assert_array_equal(check(data), wanted)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_of_palettes(bits, clear):
    rng = np.random.default_rng(bits)
    count = 1 << bits
    values = rng.integers(0, count, (5, 11))
    palette = rng.integers(0, 256, (count, 3), "u1")
    alphas = rng.integers(0, 256, max(1, count // 2), "u1")
    data = png_file(
        11,
        5,
        bits,
        3,
        pack(values, bits),
        palette=palette,
        transparency=alphas.tobytes() if clear else None,
    )
    wanted = palette[values]
    if clear:
        full = np.full(count, 255, "u1")
        full[: len(alphas)] = alphas
        wanted = np.concatenate([wanted, full[values][..., None]], axis=-1)
    np.testing.assert_array_equal(check(data), wanted)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colours", [2, 4, 6])
def test_png_of_colours(colours, bits):
    channels = {2: 3, 4: 2, 6: 4}[colours]
    values = np.random.default_rng(bits).integers(0, 1 << bits, (5, 6, channels))
    data = png_file(6, 5, bits, colours, pack(values.reshape(5, -1), bits))
    wanted = values if channels > 2 else values[..., [0, 0, 0, 1]]
    np.testing.assert_array_equal(check(data), wanted.astype(f"u{bits // 8}"))


@pytest.mark.parametrize("bits", [8, 16])
def test_png_with_a_clear_colour(bits):
    values = np.random.default_rng(bits).integers(0, 1 << bits, (5, 6, 3))
    key = struct.pack(">HHH", *values[2, 2].tolist())
    data = png_file(6, 5, bits, 2, pack(values.reshape(5, -1), bits), transparency=key)
    array = check(data)
    np.testing.assert_array_equal(array[..., :3], values)
    clear = (values == values[2, 2]).all(axis=-1)
    np.testing.assert_array_equal(array[..., 3], np.where(clear, 0, (1 << bits) - 1))


# Whatever Pillow can write


def saved(mode, size, file_format, rng, **options):
    raw = rng.integers(0, 256, (size[1], size[0], 4), "u1")
    image = Image.fromarray(raw).convert("RGB")
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 1 << 16, size[::-1], "u2"))
    elif mode == "LAB":
        image = Image.frombytes("LAB", size, raw[..., :3].tobytes())
    else:
        image = (Image.fromarray(raw) if mode in ("RGBA", "LA") else image).convert(mode)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


WRITTEN = [
    ("JPEG", ["L", "RGB", "CMYK", "YCbCr"]),
    ("PNG", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    ("WEBP", ["L", "RGB", "RGBA"]),
    ("GIF", ["1", "L", "P", "RGB", "RGBA"]),
    ("BMP", ["1", "L", "P", "RGB", "RGBA"]),
    ("DIB", ["L", "RGB"]),
    ("TIFF", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"]),
    ("JPEG2000", ["L", "LA", "RGB", "RGBA", "I;16"]),
    ("AVIF", ["L", "RGB", "RGBA"]),
    ("ICO", ["RGBA"]),
    ("PPM", ["1", "L", "RGB", "I;16"]),
    ("TGA", ["1", "L", "LA", "P", "RGB", "RGBA"]),
    ("PCX", ["1", "L", "P", "RGB"]),
    ("SGI", ["L", "RGB", "RGBA"]),
    ("XBM", ["1"]),
]


@pytest.mark.parametrize(
    ("file_format", "mode"), [(name, mode) for name, modes in WRITTEN for mode in modes]
)
@settings(max_examples=20)
@given(data=st.data())
def test_what_pillow_writes(file_format, mode, data):
    size = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
    options = {}
    if file_format == "JPEG":
        options = {
            "progressive": data.draw(st.booleans()),
            "quality": data.draw(st.integers(20, 95)),
        }
    elif file_format == "WEBP":
        options = {"lossless": data.draw(st.booleans())}
    elif file_format == "GIF":
        options = {"interlace": data.draw(st.booleans())}
    elif file_format == "AVIF":
        options = {"speed": 10}
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    file = saved(mode, size, file_format, rng, **options)
    name = f"a.{'tga' if file_format == 'TGA' else 'dib' if file_format == 'DIB' else 'x'}"
    array = check(file, name)
    wanted = by_pillow(file)
    np.testing.assert_array_equal(array, wanted)


# Encoding

KINDS = {
    "grey": ("u1", ()),
    "rgb": ("u1", (3,)),
    "rgba": ("u1", (4,)),
    "grey16": ("u2", ()),
    "rgb16": ("u2", (3,)),
    "rgba16": ("u2", (4,)),
}


@pytest.mark.parametrize("name", names("image"))
@settings(max_examples=20)
@given(data=st.data())
def test_encoding(name, data):
    dtype, last = KINDS[data.draw(st.sampled_from(sorted(KINDS)))]
    size = (data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    array = rng.integers(0, np.iinfo(dtype).max, (*size, *last), dtype)
    made = get_format(name)
    try:
        file = made.encode(array)
    except SampleError as error:
        assert "expected" in str(error)  # noqa: PT017
        return
    assert sniff(file, f"a{made.extensions[0]}") == name
    back = check(file, f"a{made.extensions[0]}")
    if name != "gif" and (made.lossless or array.ndim == back.ndim):
        assert back.shape == array.shape
    if made.lossless:
        np.testing.assert_array_equal(back, array)


def test_tiff_takes_any_numbers():
    rng = np.random.default_rng(0)
    for dtype in ("i1", "i4", "u8", "f2", "f4", "f8", "c8", ">u2"):
        for shape in ((9, 8), (9, 8, 2), (9, 8, 3), (9, 8, 4), (9, 8, 7)):
            array = (rng.random(shape) * 100).astype(dtype)
            np.testing.assert_array_equal(check(get_format("tiff").encode(array)), array)


def test_png_takes_bool_and_one_channel():
    mask = np.random.default_rng(0).random((9, 7)) > 0.5
    made = get_format("png")
    np.testing.assert_array_equal(check(made.encode(mask)), mask * np.uint8(255))
    grey = np.arange(12, dtype="u1").reshape(3, 4, 1)
    np.testing.assert_array_equal(check(made.encode(grey)), grey[..., 0])


def test_options_of_encoders():
    array = np.random.default_rng(0).integers(0, 255, (64, 64, 3), "u1")
    jpeg = get_format("jpeg")
    assert len(jpeg.encode(array, quality=30)) < len(jpeg.encode(array, quality=95))
    with pytest.raises(InvalidError, match="quality"):
        jpeg.encode(array, quality="no such")
    with pytest.raises(InvalidError, match="compression"):
        get_format("tiff").encode(array, compression="no such")


# Broken files


@pytest.mark.parametrize("name", names("image"))
@settings(max_examples=20)
@given(data=st.data())
def test_broken_files_raise_nothing_but_sample_errors(name, data):
    made = get_format(name)
    rng = np.random.default_rng(0)
    for dtype, last in (("u1", (3,)), ("u1", (4,)), ("?", ())):
        try:
            file = made.encode(rng.integers(0, 2, (20, 30, *last)).astype(dtype))
            break
        except SampleError:
            continue
    if data.draw(st.booleans()):
        file = file[: data.draw(st.integers(0, len(file)))]
    else:
        spoiled = bytearray(file)
        for _ in range(data.draw(st.integers(1, 4))):
            # Sizes lie at the start: leave their high bytes alone, or gigabytes are asked for.
            spoiled[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 7))
        file = bytes(spoiled)
    for read in (made.header, made.decode):
        try:
            read(file)
        except SampleError:
            pass


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "bmp"])
def test_header_finds_truncation(name):
    made = get_format(name)
    file = made.encode(np.random.default_rng(0).integers(0, 255, (50, 50, 3), "u1"))
    for part in (0.1, 0.5, 0.9):
        cut = file[: int(part * len(file))]
        with pytest.raises(SampleError):
            made.header(cut)
        with pytest.raises(SampleError):
            made.decode(cut)


@pytest.mark.parametrize(
    ("name", "magic", "offset"), [("jpeg2000", b"\xff\x4f\xff\x51", 8), ("png", b"IHDR", 4)]
)
def test_a_few_bytes_that_claim_gigabytes(name, magic, offset):
    made = get_format(name)
    file = bytearray(made.encode(np.zeros((200, 300, 3), "u1")))
    file[file.index(magic) + offset] = 7  # the width, times millions
    with pytest.raises(SampleError):
        made.decode(bytes(file))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", names("image"))
def test_decoding_finds_truncation(name, part):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, (40, 40, 4 if name == "ico" else 3), "u1")
    made = get_format(name)
    file = made.encode(array[..., 0] > 99 if name == "xbm" else array)
    with pytest.raises(SampleError):
        made.decode(file[: int(part * len(file))])


def test_deep_jpegs():
    codecs = pytest.importorskip("imagecodecs")
    grey = np.random.default_rng(0).integers(0, 1 << 12, (20, 30), "u2")
    for bits in (12, 16):
        file = codecs.jpeg8_encode(grey, lossless=True, bitspersample=bits)
        np.testing.assert_array_equal(check(file), grey)
    assert check(codecs.jpeg8_encode(grey, bitspersample=12)).dtype == np.uint16


@pytest.mark.parametrize("name", names("image"))
def test_arrays_may_be_written_to(name):
    array = np.zeros((5, 6, 4 if name == "ico" else 3), "u1")
    made = get_format(name)
    assert made.decode(made.encode(array[..., 0] > 9 if name == "xbm" else array)).flags.writeable


@pytest.mark.parametrize("name", names("image"))
def test_nothing_is_no_image(name):
    for read in (get_format(name).header, get_format(name).decode):
        with pytest.raises(SampleError):
            read(b"")


# Packages that are missing


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "jpeg2000", "gif"])
def test_pillow_alone_will_do(name, monkeypatch):
    array = np.random.default_rng(0).integers(0, 255, (20, 30, 3), "u1")
    made = get_format(name)
    file = made.encode(array)
    wanted = made.decode(file)
    for package in ("imagecodecs", "tifffile"):
        monkeypatch.setitem(extras._loaded, package, None)
    np.testing.assert_array_equal(check(file), wanted)
    np.testing.assert_array_equal(check(made.encode(array)), by_pillow(made.encode(array)))


def test_sixteen_bit_colour_names_what_it_needs(monkeypatch):
    file = get_format("png").encode(np.zeros((2, 2, 3), "u2"))
    monkeypatch.delitem(extras._loaded, "imagecodecs", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'hubzarr\[images\]'"):
        get_format("png").decode(file)


def test_without_pillow(monkeypatch):
    for module in [name for name in extras._loaded if name.startswith("PIL")]:
        monkeypatch.delitem(extras._loaded, module)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(UnsupportedError, match="needs the package PIL"):
        get_format("pcx").decode(b"\x0a")
