"""Named roots: where they come from, what they name, which options they give to URLs."""

from __future__ import annotations

import pickle

import pytest

import hubzarr as hub
from hubzarr.config import (
    Root,
    configure,
    get_config,
    merged_options,
    options_for,
    reset_config,
)
from hubzarr.errors import InvalidError
from hubzarr.names import parse_name
from hubzarr.session.place import address_of
from hubzarr.storage import open_storage

FILE = """\
root = "prod"

[roots.prod]
url = "s3://bucket/hub"
profile = "lab"
region = "eu-west-1"

[roots.prod.client_kwargs]
verify = true

[roots]
lab = "shelves/lab"
"""


def write(path, text, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    reset_config()


def test_of_a_file(config_file):
    write(config_file, FILE)
    config = get_config()
    assert config.root == "s3://bucket/hub"
    assert list(config.roots) == ["prod", "lab"]
    assert config.roots["lab"] == Root("lab", str(config_file.parent / "shelves/lab"))
    assert config.roots["prod"].options["profile"] == "lab"


def test_the_environment_wins(config_file, monkeypatch, tmp_path):
    write(config_file, FILE)
    monkeypatch.setenv("HUBZARR_ROOTS", f"prod=s3://moved/hub; new={tmp_path}/new")
    config = get_config()
    assert config.root == config.roots["prod"].url == "s3://moved/hub"
    assert config.roots["prod"].options["profile"] == "lab"
    assert config.roots["new"].url == f"{tmp_path}/new"
    monkeypatch.setenv("HUBZARR_ROOT", "new")
    assert get_config().root == f"{tmp_path}/new"
    assert configure(roots={"new": "memory://called"}).root == "memory://called"
    assert configure(root="lab").root == str(config_file.parent / "shelves/lab")
    assert configure(root=None, roots=None).root == f"{tmp_path}/new"


def test_a_root_that_moves_to_another_kind_of_store_drops_its_options(config_file, monkeypatch):
    write(config_file, "[roots.prod]\nurl = 's3://b/h'\nendpoint_url = 'http://127.0.0.1:9'\n")
    for url, kept in (("/local", False), ("gs://b", False), ("s3a://other", True)):
        monkeypatch.setenv("HUBZARR_ROOTS", f"prod={url}")
        assert bool(get_config().roots["prod"].options) == kept


def test_a_word_that_names_no_root_is_a_folder(config_file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert configure(root="prod").root == str(tmp_path / "prod")
    assert configure(root="./prod", roots={"prod": "memory://x"}).root == str(tmp_path / "prod")
    assert configure(root="prod").root == "memory://x"


@pytest.mark.parametrize(
    ("roots", "message"),
    [
        ({"a b": "s3://x/y"}, "bad name of a root 'a b'"),
        ({"versions": "s3://x/y"}, "reserved"),
        ({"x": {"profile": "y"}}, "has no url"),
        ({"x": {"url": ""}}, "roots.x: bad root"),
        ({"x": {"url": "s3://me:hunter2@b/y"}}, "password"),
        ({"x": {"url": "s3://b", "key": b"hunter2"}}, "roots.x.key is of type bytes"),
        ({"x": {"url": "s3://b", "k": {"token": object()}}}, "roots.x.k.token is of type object"),
        ("s3://b", "bad roots, str"),
    ],
)
def test_bad_ones(config_file, roots, message):
    with pytest.raises(InvalidError, match=message) as caught:
        configure(roots=roots)
    assert "hunter2" not in str(caught.value)
    assert not get_config().roots


def test_bad_ones_of_a_file_name_its_line(config_file):
    write(config_file, "# mine\n\n[roots.one]\nurl = '/one'\n[roots.two]\nkey = 'x'\n")
    with pytest.raises(InvalidError, match=r"config\.toml:5: the root 'two' has no url"):
        get_config()


def test_bad_ones_of_the_environment(config_file, monkeypatch):
    monkeypatch.setenv("HUBZARR_ROOTS", "s3://bucket")
    with pytest.raises(InvalidError, match=r"variable HUBZARR_ROOTS: bad roots.*name=URL"):
        get_config()


def test_secrets_that_others_can_read(config_file):
    text = "[roots.prod]\nurl = 's3://b/h'\nsecret = 'hunter2'\n"
    write(config_file, text, 0o600)
    get_config()
    write(config_file, text, 0o640)
    with pytest.warns(UserWarning, match=r"roots\.prod\.secret\): chmod 600") as warned:
        get_config()
    assert "hunter2" not in str(warned[0].message)
    write(config_file, "[roots.prod]\nurl = 's3://b/h'\nprofile = 'x'\n", 0o644)
    assert "hunter2" not in repr(get_config())


def test_settings_hide_the_options_of_roots():
    config = configure(roots={"prod": {"url": "s3://b/h", "secret": "hunter2"}})
    try:
        assert "hunter2" not in repr(config)
        assert "s3://b/h" in repr(config)
        assert b"hunter2" not in pickle.dumps(config)
        assert pickle.loads(pickle.dumps(config)).roots["prod"].url == "s3://b/h"
    finally:
        configure(roots=None)


def test_options_of_a_url(config_file):
    write(config_file, FILE)
    assert options_for("s3://bucket/hub/alice/x")["profile"] == "lab"
    assert options_for("s3a://bucket/hub")["profile"] == "lab"
    assert options_for("s3://bucket/hub2") == options_for("gs://bucket/hub") == {}
    merged = merged_options("s3://bucket/hub/x", {"anon": True, "retries": 2})
    assert merged == {
        "anon": True,
        "retries": 2,
        "client_kwargs": {"region_name": "eu-west-1", "verify": True},
    }
    assert merged_options("s3://bucket/hub", {"anon": False})["profile"] == "lab"
    options_for("s3://bucket/hub")["client_kwargs"]["verify"] = False  # a copy
    assert options_for("s3://bucket/hub")["client_kwargs"] == {"verify": True}


def test_the_deepest_root_counts():
    roots = {"all": {"url": "s3://b", "profile": "all"}, "in": {"url": "s3://b/in/"}}
    configure(roots={**roots, "disk": {"url": "/disk", "fsync": True}})
    try:
        assert options_for("s3://b/other") == {"profile": "all"}
        assert options_for("s3://b/in/x") == {}
        assert options_for("file:///disk/x") == options_for("/disk") == {"fsync": True}
        assert options_for("/disks") == {}
    finally:
        configure(roots=None)


def test_names_below_a_root(tmp_path):
    configure(root=str(tmp_path / "own"), roots={"prod": str(tmp_path / "prod")})
    try:
        a = hub.array((3,), "hub://prod/alice/x:v1")
        a[:] = 7
        a.close()
        assert (tmp_path / "prod/alice/x/versions/v1").is_dir()
        assert hub.load("prod/alice/x:v1").sum() == 21
        assert hub.load(a.name + ":v1").sum() == 21
        hub.array((1,), "prod").close()  # one word is never a root
        hub.array((1,), "hub://bob/x").close()
        assert hub.list() == ["bob/x", "prod"]
        assert hub.list("hub://prod") == hub.list("prod/alice") == ["prod/alice/x"]
        hub.copy("prod/alice/x:v1", "alice/y:v1")
        assert hub.exists("alice/y:v1")
        hub.delete("hub://prod/alice/x", force=True)
        assert hub.list("prod") == []
    finally:
        configure(root=None, roots=None)


def test_a_root_wins_over_a_namespace(tmp_path):
    hub.array((1,), "team/x").close()
    assert address_of(parse_name("team/x")).endswith("root/team/x")
    configure(roots={"team": str(tmp_path / "team")})
    try:
        assert address_of(parse_name("team/x")) == str(tmp_path / "team/x")
        assert not hub.exists("team/x")
    finally:
        configure(roots=None)


def test_pickled_handles_find_their_secrets_again(config_file, s3):
    url = s3.url("hub")
    lines = [f'{key} = "{value}"' for key, value in s3.options.items()]
    write(config_file, "\n".join(["[roots.prod]", f'url = "{url}"', *lines]))
    a = hub.array((4,), "prod/alice/x", "int32")
    a[:] = 3
    a.flush()
    packed = pickle.dumps(hub.load("prod/alice/x", "r"))
    assert s3.options["secret"].encode() not in packed
    reset_config()
    assert pickle.loads(packed).sum() == 12
    storage = pickle.loads(pickle.dumps(open_storage(f"{url}/alice/x")))
    assert storage.list_dir("versions") == ["main/"]
    a.close()


def test_promises_of_a_root_do_not_reach_the_library(s3):
    url = s3.url("hub")
    hub.configure(roots={"prod": {"url": url, **s3.options, "single_writer": True}})
    try:
        storage = open_storage(f"{url}/x")
        again = pickle.loads(pickle.dumps(storage))
        assert type(again) is type(storage)
        assert again.single_writer is True
        assert again.list_dir("") == []
    finally:
        hub.configure(roots=None)
