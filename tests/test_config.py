"""Settings: their sources, in order, and errors that name the source."""

from __future__ import annotations

import multiprocessing
import os
import sys

import pytest

from hubzarr import config
from hubzarr.config import (
    Config,
    config_path,
    configure,
    get_config,
    parse_bytes,
    reset_config,
)
from hubzarr.errors import InvalidError

KEYS = [
    "ROOTS",
    "CACHE_DIR",
    "CACHE_SIZE",
    "TRANSPORT",
    "OFFLINE",
    "ROOT",
    "CACHE_BYTES",
    "BUFFER_BYTES",
    "SYNC_INTERVAL",
    "THREADS",
    "FSYNC",
    "AUTHOR",
]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for key in [*KEYS, "PROGRESS", "CONFIG"]:
        monkeypatch.delenv(f"HUBZARR_{key}", raising=False)
    for key in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(key, str(tmp_path))
    for key in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(key, raising=False)
    reset_config()
    yield
    reset_config()


@pytest.fixture
def file(monkeypatch, tmp_path):
    path = tmp_path / "settings" / "hubzarr.toml"
    path.parent.mkdir()
    path.write_text("")
    monkeypatch.setenv("HUBZARR_CONFIG", str(path))
    return path


def test_defaults():
    found = get_config()
    assert os.path.isabs(found.root)
    assert found.root.endswith("hubzarr")
    assert found.cache_bytes == found.buffer_bytes == 256 << 20
    assert found.sync_interval == 1.0
    assert found.threads == (os.cpu_count() or 1)
    assert found.fsync is False
    assert found.progress is None
    assert "@" in found.author


def test_the_strongest_source_wins(file, monkeypatch):
    file.write_text('threads = 3\ncache_bytes = "1MB"\nauthor = "file"\nroot = "s3://file/x"')
    monkeypatch.setenv("HUBZARR_THREADS", "4")
    monkeypatch.setenv("HUBZARR_AUTHOR", "environment")
    configure(author="call")
    found = get_config()
    assert (found.root, found.cache_bytes, found.threads) == ("s3://file/x", 1_000_000, 4)
    assert found.author == "call"
    assert configure(author=None).author == "environment"
    monkeypatch.delenv("HUBZARR_AUTHOR")
    assert get_config().author == "file"
    reset_config()
    assert get_config().author == "file"


def test_all_settings_from_each_source(file, monkeypatch):
    wanted = {
        "root": "s3://bucket/hub",
        "cache_bytes": 10,
        "buffer_bytes": 2 << 30,
        "sync_interval": 0.5,
        "threads": 3,
        "fsync": True,
        "author": "Ann <ann@lab>",
        "progress": False,
        "cache_dir": "/var/cache/hub",
        "cache_size": 5 << 30,
        "transport": "fsspec",
        "offline": True,
    }
    expected = Config(**wanted)
    assert configure(**wanted) == expected
    reset_config()
    texts = wanted | {"buffer_bytes": "2GiB", "fsync": "on", "progress": "0"}
    texts |= {"cache_size": "5GiB", "offline": "yes"}
    for key, value in texts.items():
        monkeypatch.setenv(f"HUBZARR_{key.upper()}", str(value))
    assert get_config() == expected
    for key in texts:
        monkeypatch.delenv(f"HUBZARR_{key.upper()}")
    file.write_text(
        'root = "s3://bucket/hub/"\ncache_bytes = 10\nbuffer_bytes = "2 GiB"\nthreads = 3\n'
        'sync_interval = 0.5\nfsync = true\nprogress = false\nauthor = "Ann <ann@lab>"\n'
        'cache_dir = "/var/cache/hub"\ncache_size = "5GiB"\ntransport = "fsspec"\n'
        "offline = true\n"
    )
    reset_config()
    assert get_config() == expected


def test_empty_variables_count_as_unset(monkeypatch):
    monkeypatch.setenv("HUBZARR_THREADS", "")
    assert get_config().threads == (os.cpu_count() or 1)


def test_relative_roots_are_fixed(file, monkeypatch, tmp_path):
    file.write_text('root = "hub"')
    assert get_config().root == str(file.parent / "hub")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUBZARR_ROOT", "./hub/")
    assert get_config().root == str(tmp_path / "hub")
    assert configure(root=tmp_path / "other").root == str(tmp_path / "other")
    assert configure(root="~/x").root == str(tmp_path / "x")
    assert configure(root="memory://").root == "memory://"


BAD = [
    ("root", "", "bad root"),
    ("root", 7, "bad root"),
    ("root", "hub://x", "bad root"),
    ("root", "ftp://me:hunter2@host/x", "password"),
    ("cache_bytes", "many", "bad size 'many'"),
    ("cache_bytes", "1XB", "bad size"),
    ("cache_bytes", -1, "bad size"),
    ("buffer_bytes", True, "bad size"),
    ("buffer_bytes", 1.5, "bad size"),
    ("sync_interval", "soon", "number of seconds"),
    ("sync_interval", -1, "number of seconds"),
    ("sync_interval", float("nan"), "number of seconds"),
    ("sync_interval", float("inf"), "number of seconds"),
    ("threads", 0, "whole number"),
    ("threads", "2.5", "whole number"),
    ("threads", True, "whole number"),
    ("fsync", "perhaps", "true or false"),
    ("fsync", 1, "true or false"),
    ("author", "", "bad author"),
    ("author", "two\nlines", "bad author"),
    ("progress", "auto?", "true or false"),
    ("cache_dir", "", "bad folder"),
    ("cache_dir", "s3://bucket/cache", "bad folder"),
    ("cache_dir", 7, "bad folder"),
    ("cache_size", "plenty", "bad size"),
    ("transport", "carrier pigeon", "bad transport"),
    ("offline", "later", "true or false"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_bad_values_name_their_source(key, value, message, file, monkeypatch):
    before = get_config()
    with pytest.raises(InvalidError, match=rf"^configure\({key}=\.\.\.\): .*{message}") as caught:
        configure(**{key: value})
    assert "hunter2" not in str(caught.value)
    assert get_config() == before
    if isinstance(value, str) and value:
        monkeypatch.setenv(f"HUBZARR_{key.upper()}", value)
        with pytest.raises(InvalidError, match=f"variable HUBZARR_{key.upper()}: .*{message}"):
            get_config()
        monkeypatch.delenv(f"HUBZARR_{key.upper()}")
    if isinstance(value, str) and "\n" not in value:
        file.write_text(f"# my settings\n\n{key} = '{value}'\n")
        reset_config()
        with pytest.raises(InvalidError, match=rf"hubzarr\.toml:3: .*{message}"):
            get_config()


def test_the_disk_cache_is_turned_off_by_a_word(file, monkeypatch, tmp_path):
    file.write_text('cache_dir = "cache"')
    assert get_config().cache_dir == str(file.parent / "cache")
    monkeypatch.setenv("HUBZARR_CACHE_DIR", "off")
    assert get_config().cache_dir is None
    assert configure(cache_dir=tmp_path / "here").cache_dir == str(tmp_path / "here")
    monkeypatch.delenv("HUBZARR_CACHE_DIR")
    reset_config()
    file.write_text("cache_dir = false")
    assert get_config().cache_dir is None
    assert get_config().cache_size == 10 << 30


def test_unknown_settings(file):
    with pytest.raises(InvalidError, match="unknown setting 'cash_bytes'; known ones: root, roots"):
        configure(cash_bytes=1)
    with pytest.raises(InvalidError, match="unknown setting"):
        configure(cash_bytes=None)
    file.write_text("threads = 2\n[storage]\nfsync = true\n")
    reset_config()
    with pytest.raises(InvalidError, match=r"hubzarr\.toml:2: unknown setting 'storage'"):
        get_config()


@pytest.mark.parametrize("text", [b"threads = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_broken_files(file, text):
    file.write_bytes(text)
    reset_config()
    with pytest.raises(InvalidError, match=r"hubzarr\.toml: not valid TOML"):
        get_config()


def test_a_named_file_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("HUBZARR_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(InvalidError, match=r"HUBZARR_CONFIG names .*none\.toml"):
        get_config()
    monkeypatch.setenv("HUBZARR_CONFIG", str(tmp_path))
    with pytest.raises(InvalidError, match="can't read the config file"):
        get_config()


def test_a_failed_change_leaves_the_rest(monkeypatch):
    configure(threads=3)
    with pytest.raises(InvalidError):
        configure(threads=4, fsync="perhaps")
    assert get_config().threads == 3


def test_folders_of_the_systems(monkeypatch, tmp_path):
    def places():
        reset_config()
        return get_config().root, config_path()

    home = str(tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", home))
    assert places() == (f"{home}/.local/share/hubzarr", f"{home}/.config/hubzarr/config.toml")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/share")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    assert places() == ("/srv/share/hubzarr", f"{home}/.config/hubzarr/config.toml")
    monkeypatch.setattr(sys, "platform", "darwin")
    support = f"{home}/Library/Application Support/hubzarr"
    assert places() == (support, f"{support}/config.toml")


def test_a_machine_without_user_names(monkeypatch):
    def unknown():
        raise OSError("No username set in the environment")

    monkeypatch.setattr(config.places.getpass, "getuser", unknown)
    assert get_config().author.startswith("unknown@")


def test_sizes():
    sizes = {"0": 0, "7B": 7, "1k": 1000, "1 KB": 1000, "2KiB": 2048, "1.5GB": 1_500_000_000}
    sizes |= {"1TiB": 1 << 40, "0.5MiB": 1 << 19, "9007199254740993": 9007199254740993}
    for text, size in sizes.items():
        assert parse_bytes(text) == size


def _child(answers):
    answers.put(get_config().threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_changes_survive_a_fork():
    configure(threads=7)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_child, args=(answers,))
    child.start()
    assert answers.get(timeout=30) == 7
    child.join(30)
