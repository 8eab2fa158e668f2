"""Names: the grammar, round trips, and messages that name the bad part."""

from __future__ import annotations

import pathlib
import pickle
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.errors import InvalidNameError, InvalidTypeError
from hubzarr.names import DEFAULT_VERSION, Name, check_segment, parse_name, parse_point

GOOD = {
    "mnist": Name(path="mnist"),
    "mnist:v1": Name(path="mnist", version="v1"),
    "mnist@7": Name(path="mnist", point="7"),
    "alice/weather:v1@7": Name(path="alice/weather", version="v1", point="7"),
    "a/b/c/d": Name(path="a/b/c/d"),
    "hub://alice/weather:v1": Name(path="alice/weather", version="v1"),
    "größe/数据:भाषा": Name(path="größe/数据", version="भाषा"),
    "cafe\u0301": Name(path="caf\u00e9"),
    "C:x": Name(path="C", version="x"),
    "a.b-c_d:data": Name(path="a.b-c_d", version="data"),
    "mnist@2026-01-31": Name(path="mnist", point="2026-01-31"),
    "mnist:v1@2026-01-31T12:00:00Z": Name(path="mnist", version="v1", point="2026-01-31T12:00:00Z"),
    "mnist@2026-01-31T12:00:00+02:00": Name(path="mnist", point="2026-01-31T12:00:00+02:00"),
    "mnist@00c0ffee00c0ffee": Name(path="mnist", point="00c0ffee00c0ffee"),
    "s3://bucket/team/mnist:v1@7": Name("s3://bucket/team/mnist", version="v1", point="7"),
    "S3://bucket/Team": Name("s3://bucket/Team"),
    "s3://bucket/a/": Name("s3://bucket/a"),
    "memory://x:v1": Name("memory://x", version="v1"),
    "gs://bucket:v1@3": Name("gs://bucket", version="v1", point="3"),
    "abfs://container@account.dfs.core.windows.net": Name(
        "abfs://container@account.dfs.core.windows.net"
    ),
    "abfs://container@account.dfs.core.windows.net/x@4": Name(
        "abfs://container@account.dfs.core.windows.net/x", point="4"
    ),
    "http://localhost:9000": Name("http://localhost:9000"),
    "http://localhost:9000/x:v1": Name("http://localhost:9000/x", version="v1"),
    "http://localhost:9000/:v1": Name("http://localhost:9000", version="v1"),
    "file:///data/mnist:v1": Name("file:///data/mnist", version="v1"),
    "file:///C:/data/mnist:v1": Name("file:///C:/data/mnist", version="v1"),
    "/data/mnist:v1": Name("/data/mnist", version="v1"),
    "/data/odd name (1)/x": Name("/data/odd name (1)/x"),
    "./local/path:v0": Name("./local/path", version="v0"),
    "../x@3": Name("../x", point="3"),
    "~/x:v1": Name("~/x", version="v1"),
    ".": Name("."),
    "..": Name(".."),
    "/data/me@work/mnist:v1": Name("/data/me@work/mnist", version="v1"),
    "/data/me@work/:v1": Name("/data/me@work", version="v1"),
    "/data/me@work/": Name("/data/me@work"),
    r"C:\data\mnist:v1@3": Name(r"C:\data\mnist", version="v1", point="3"),
    "C:/data/mnist:v1": Name("C:/data/mnist", version="v1"),
    r"\\server\share\x:v1": Name(r"\\server\share\x", version="v1"),
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items())
def test_good_names(text, expected):
    name = parse_name(text)
    assert name == expected
    assert parse_name(str(name)) == name
    assert parse_name(name) is name
    assert pickle.loads(pickle.dumps(name)) == name


BAD = {
    "": "missing",
    "hub://": "missing",
    ":v1": "missing",
    "@7": "missing",
    "/": "top of the file system",
    "a//b": "empty",
    "a/": "empty",
    "mnist:": "version is empty",
    "mnist@": "bad point ''",
    "a/../b": "'..' would leave the root",
    "hub://../b": "'..' would leave the root",
    "a/./b": "dot",
    ".hidden": "starts or ends with a dot",
    "mnist.": "starts or ends with a dot",
    "mnist:..": "'..' would leave the root",
    "a b": "contains ' '",
    "a\\b": "contains '\\\\\\\\'",
    "a*": r"contains '\*'",
    "a\nb": "contains",
    "a\x00b": "contains",
    "a\u200bb": "contains",
    "a\u202eb": "contains",
    "mnist:v1/2": "contains '/'",
    "mnist:v1:v2": "contains ':'",
    "mnist@7@8": "bad point '7@8'",
    "mnist@-1": "bad point '-1'",
    "mnist@yesterday": "bad point 'yesterday'",
    "mnist@2026-13-01": "bad point '2026-13-01'",
    "mnist@20260131T12": "bad point",
    "versions": "'versions' is reserved",
    "alice/pages": "'pages' is reserved",
    "data/x": "'data' is reserved",
    "x" * 129: "129 characters",
    "語" * 86: "258 bytes",
    "s3://": "no place",
    "s3:///": "no place",
    "s3://bucket/../other": r"'\.\.' in",
    "http://h/./x": "'.' in",
    "/data/a\x00": "control character",
    "zip://a::s3://b/c": "chains several",
    "/data/x:v 1": "contains ' '",
}


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_bad_names(text, message):
    with pytest.raises(InvalidNameError, match=message) as caught:
        parse_name(text)
    assert caught.value.name == text


@pytest.mark.parametrize(
    "text", ["ftp://me:hunter2@host/x", "http://host/x?token=hunter2", "ftp://a:hunter2@h/x y:"]
)
def test_secrets_in_urls_are_refused_and_not_repeated(text):
    with pytest.raises(InvalidNameError) as caught:
        parse_name(text)
    assert "hunter2" not in f"{caught.value} {caught.value.fields}"


def test_paths_are_local():
    assert parse_name(pathlib.PurePosixPath("mnist:v1")) == Name("./mnist", version="v1")
    assert parse_name(pathlib.PurePosixPath("/data/mnist")) == Name("/data/mnist")


@pytest.mark.parametrize("value", [None, 7, b"mnist", ["mnist"]])
def test_other_types(value):
    with pytest.raises(InvalidTypeError, match="a name is a string or a path"):
        parse_name(value)


def test_addresses():
    assert DEFAULT_VERSION == "main"
    name = parse_name("alice/weather:v1")
    assert name.repository == "alice/weather"
    assert name.address("s3://bucket/hub/") == "s3://bucket/hub/alice/weather"
    assert parse_name("/data/x:v1").address("s3://bucket") == "/data/x"
    assert Name("s3://bucket", "a/b").repository == "s3://bucket/a/b"


def test_the_fields_are_checked_too():
    for fields in (
        {"path": "a/../b"},
        {"path": "x", "version": "a/b"},
        {"path": "x", "point": "soon"},
        {"path": "cafe\u0301"},
        {"root": "s3://"},
        {},
    ):
        with pytest.raises(InvalidNameError):
            Name(**fields)


def test_points():
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_point("7") == 7
    assert parse_point("007") == 7
    assert parse_point("999999999999") == 999_999_999_999
    assert parse_point("1234567890123456") == "1234567890123456"
    assert parse_point("00C0FFEE00C0FFEE") == "00c0ffee00c0ffee"
    assert parse_point("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    for text in ("2026-01-31T12:00:00Z", "2026-01-31 12:00", "2026-01-31T14:00:00+02:00"):
        assert parse_point(text) == noon
        assert parse_point(text).tzinfo is UTC
    for text in ("1234567890123", "0001-01-01T00:00:00+14:00", "٣", "2026-01-31T25:00"):
        with pytest.raises(InvalidNameError, match="bad point"):
            parse_point(text)


SEGMENTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(SEGMENTS)
def test_a_segment_is_refused_or_safe(text):
    try:
        segment = check_segment(text)
    except InvalidNameError:
        return
    assert segment == unicodedata.normalize("NFC", segment)
    assert check_segment(segment) == segment
    assert not set(segment) & set('/\\:@*?"<>| \t\n\0')
    assert segment[0] != "." != segment[-1]
    if segment not in ("versions", "pages", "data", "forks"):
        assert parse_name(f"{segment}:{segment}@1") == Name(
            path=segment, version=segment, point="1"
        )


@given(st.text(st.sampled_from("ab/:@.~\\C1-s3 é")))
def test_any_text_is_refused_or_comes_back(text):
    try:
        name = parse_name(text)
    except InvalidNameError:
        return
    assert parse_name(str(name)) == name
    if name.root is None:
        assert ".." not in name.path.split("/")
