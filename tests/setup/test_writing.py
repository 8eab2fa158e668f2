"""Changes of the config file: nothing else in it is lost, and nobody else can read it."""

from __future__ import annotations

import stat
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubzarr.config import changed_text, write_file
from hubzarr.config.writing import toml_value
from hubzarr.errors import InvalidError, StorageError

TEXT = """\
# my settings
author = "ann@lab"   # me
root = "old"

[roots.old]
# the first one
url = "/old"

[roots.old.client_kwargs]
verify = false

[roots.other]
url = "s3://other/hub"  # theirs
"""


def test_other_lines_stay():
    made = changed_text(TEXT, {"root": "new"}, {"new": {"url": "/new", "anon": True}})
    assert made == TEXT.replace('"old"\n', '"new"\n') + '\n[roots.new]\nurl = "/new"\nanon = true\n'
    made = changed_text(TEXT, {"cache_dir": "/cache"}, {"old": {"url": "/moved"}})
    assert "# my settings" in made
    assert "# theirs" in made
    assert tomllib.loads(made) == {
        "author": "ann@lab",
        "root": "old",
        "cache_dir": "/cache",
        "roots": {"old": {"url": "/moved"}, "other": {"url": "s3://other/hub"}},
    }
    gone = changed_text(TEXT, {"root": None}, {"old": None, "other": None})
    assert tomllib.loads(gone) == {"author": "ann@lab"}
    assert changed_text(TEXT, {}, {}) == TEXT


@pytest.mark.parametrize(
    "text",
    [
        "roots = {old = {url = '/old'}}\n",
        "roots.old.url = '/old'\nauthor = 'x'\n",
        '[roots]\nold = "/old"\n',
        '[ roots . "old" ]\nurl = "/old"\n',
        'author = """\n[roots.old]\nurl = 3\n"""\n[roots.old]\nurl = "/old"\n',
    ],
)
def test_whatever_way_it_was_written(text):
    made = tomllib.loads(changed_text(text, {"root": "old"}, {"old": {"url": "/x"}}))
    wanted = tomllib.loads(text) | {"root": "old"}
    wanted["roots"] = {"old": {"url": "/x"}}
    assert made == wanted


def test_a_broken_file_is_not_replaced():
    with pytest.raises(InvalidError, match="not valid TOML"):
        changed_text("root = ", {"root": "x"}, {})


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z_][a-z0-9_-]{0,5}", fullmatch=True).filter(
    lambda name: name not in ("data", "pages", "versions", "off")
)


@given(
    st.dictionaries(NAMES, st.dictionaries(st.text(), VALUES, max_size=3), max_size=3),
    st.dictionaries(NAMES, st.dictionaries(st.text(), VALUES, max_size=3), max_size=3),
    st.sampled_from(["", TEXT, "a = 1", "[roots.x]\nurl='/x'"]),
)
def test_any_values(first, second, text):
    made = changed_text(changed_text(text, {}, first), {"root": "y"}, second)
    wanted = tomllib.loads(text)
    roots = wanted.get("roots", {}) | first | second
    wanted["root"] = "y"
    assert tomllib.loads(made) == wanted | ({"roots": roots} if roots else {})


def test_values_that_toml_lacks():
    with pytest.raises(InvalidError, match="type object"):
        toml_value(object())


def test_only_the_owner_can_read_it(tmp_path):
    path = tmp_path / "new" / "config.toml"
    write_file(str(path), "a = 1\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    write_file(str(link), "a = 2\n")
    assert link.is_symlink()
    assert path.read_text() == "a = 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == ["config.toml"]


def test_it_is_written_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    write_file(str(path), "a = 1\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_file(str(path), "a = 2\n")
    assert path.read_text() == "a = 1\n"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("config")] == ["config.toml"]
