"""hubzarr configure: by flags and by questions, on folders and on object stores."""

from __future__ import annotations

import json
import os
import pty
import select
import stat
import sys
import time
import tomllib
from uuid import uuid4

import pytest

import hubzarr as hub
from hubzarr.cli import configuring, main
from hubzarr.cli.asking import Asker
from hubzarr.config import get_config
from hubzarr.errors import InvalidError, StorageError
from hubzarr.storage.buckets import bucket_exists, create_bucket


@pytest.fixture
def run(config_file, capsys, monkeypatch):
    monkeypatch.setattr(configuring, "_PROCESSES", 0)  # test_doctor.py races them

    def call(*words, code=0):
        got = main(["configure", *map(str, words)])
        captured = capsys.readouterr()
        assert got == code, captured.err
        return captured.out + captured.err

    return call


@pytest.fixture
def answers(monkeypatch):
    """Answers to questions, in order; what was asked is kept."""

    def use(*lines, secrets=()):
        asked, left, hidden = [], list(lines), list(secrets)

        def answer(question=""):
            asked.append(question)
            return left.pop(0)

        def hide(question=""):
            asked.append(question)
            return hidden.pop(0)

        monkeypatch.setattr("builtins.input", answer)
        monkeypatch.setattr("getpass.getpass", hide)
        monkeypatch.setattr(configuring, "Asker", lambda asks: Asker(True))
        return asked, left

    return use


def settings(config_file):
    return tomllib.loads(config_file.read_text())


def test_a_folder_by_flags(run, config_file, tmp_path):
    out = run("--folder", tmp_path / "shelf", "--name", "lab", "--yes")
    assert f"lab ({tmp_path}/shelf) is the default root now" in out
    assert "hubzarr ls\n" in out
    assert settings(config_file) == {
        "root": "lab",
        "roots": {"lab": {"url": f"{tmp_path}/shelf"}},
    }
    assert stat.S_IMODE(config_file.stat().st_mode) == 0o600
    assert (tmp_path / "shelf").is_dir()
    hub.array((2,), "x").close()
    assert (tmp_path / "shelf" / "x").is_dir()


def test_a_second_root_is_not_the_default(run, config_file, tmp_path):
    run("--folder", tmp_path / "one", "--yes")
    out = run("--folder", tmp_path / "two", "--name", "two", "--yes", "--no-check")
    assert "two/hello/first" in out
    assert settings(config_file)["root"] == "one"
    run("--folder", tmp_path / "two", "--name", "two", "--yes", "--no-check", "--default")
    assert get_config().root == str(tmp_path / "two")
    assert "is no longer a root" in run("--remove", "two")
    assert set(settings(config_file)) == {"roots"}
    assert "there is no root 'two'" in run("--remove", "two", code=3)


def test_a_root_is_replaced_on_demand_only(run, tmp_path):
    run("--folder", tmp_path / "one", "--name", "lab", "--yes", "--no-check")
    again = ["--folder", tmp_path / "two", "--name", "lab", "--no-check"]
    assert "say --yes to replace it" in run(*again, code=2)
    assert get_config().root == str(tmp_path / "one")
    run(*again, "--yes")
    assert get_config().roots["lab"].url == str(tmp_path / "two")


def test_a_bucket_by_flags(run, config_file, s3, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    bucket = f"made-{uuid4().hex}"
    words = ["--provider", "s3-compatible", "--endpoint", s3.endpoint, "--bucket", bucket]
    words += ["--prefix", "team/hub", "--name", "prod", "--default"]
    assert "say --create" in run(*words, code=3)
    assert not config_file.exists()
    document = json.loads(run(*words, "--create", "--json"))
    assert (document["created"], document["verdict"]) == (True, "many writers")
    assert settings(config_file) == {
        "root": "prod",
        "roots": {"prod": {"url": f"s3://{bucket}/team/hub", "endpoint_url": s3.endpoint}},
    }
    a = hub.array((3,), "alice/x")
    a[:] = 2
    a.close()
    assert hub.load("hub://prod/alice/x").sum() == 6
    assert hub.load(f"s3://{bucket}/team/hub/alice/x").sum() == 6


def test_a_bucket_of_google(run, config_file, gcs):
    bucket = f"made-{uuid4().hex}"
    words = ["--provider", "gcs", "--bucket", f"gs://{bucket}", "--endpoint", gcs.endpoint]
    words += ["--project", "test", "--anon", "--name", "g", "--create", "--yes"]
    run(*words)
    options = {"endpoint_url": gcs.endpoint, "project": "test", "token": "anon"}
    assert settings(config_file)["roots"]["g"] == {"url": f"gs://{bucket}", **options}
    assert bucket_exists(f"gs://{bucket}", options)


def test_stored_keys(run, config_file, s3, monkeypatch):
    url = s3.url("hub")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-secret")
    words = ["--provider", "s3-compatible", "--endpoint", s3.endpoint, "--credentials", "stored"]
    out = run(*words, "--bucket", url.split("/")[2], "--prefix", "hub", "--name", "p", "--yes")
    assert "the file holds secrets (key, secret)" in out
    assert settings(config_file)["roots"]["p"]["secret"] == "hunter2-secret"
    assert stat.S_IMODE(config_file.stat().st_mode) == 0o600
    shown = run("--show") + run("--show", "--json")
    assert url in shown
    assert "hunter2" not in out + shown + repr(get_config())


def test_azure(run, config_file, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "hunter2")
    words = ["--provider", "azure", "--bucket", "hub", "--name", "az", "--yes", "--no-check"]
    assert "Storage account is missing: say --account" in run(*words, code=2)
    run(*words, "--account", "lab")
    assert settings(config_file)["roots"]["az"] == {
        "url": "az://hub", "account_name": "lab", "anon": False,
    }  # fmt: skip
    out = run(*words, "--account", "lab", "--credentials", "stored")
    assert settings(config_file)["roots"]["az"]["account_key"] == "hunter2"
    assert "hunter2" not in out


def test_what_can_not_be_used_is_not_written(run, config_file, tmp_path):
    (tmp_path / "file").write_text("x")
    out = run("--folder", tmp_path / "file" / "below", "--yes", code=1)
    assert "can't" in out
    words = [
        "--url",
        "s3://no-such-bucket-here/x",
        "--yes",
        "-o",
        "endpoint_url=http://127.0.0.1:9",
    ]
    run(*words, "-o", "retries=0", "-o", "anon=true", code=1)
    assert not config_file.exists()


def test_one_writer(run, config_file, tmp_path, monkeypatch):
    def careless(self, path, data):
        self.put(path, data)
        return True

    monkeypatch.setattr("hubzarr.storage.LocalStorage.create", careless)
    run("--folder", tmp_path / "x", "--name", "x", "--yes")
    assert "single_writer" not in settings(config_file)["roots"]["x"]
    run("--folder", tmp_path / "x", "--name", "x", "--yes", "--single-writer")
    assert settings(config_file)["roots"]["x"]["single_writer"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--provider", "s3", "--bucket", "Bad_Bucket!"], "bad bucket name 'Bad_Bucket!'"),
        (["--provider", "s3"], "Bucket is missing: say --bucket"),
        (["--provider", "s3-compatible", "--endpoint", "minio:9000"], "bad endpoint"),
        (["--provider", "url", "--url", "somewhere"], "is no URL"),
        (["--folder", "x", "--name", "a b"], "bad name of a root"),
        (["--folder", "x", "--cache-size", "many"], "bad size 'many'"),
        (["--provider", "s3", "--bucket", "lab", "-o", "x"], "expected key=value"),
        (["--provider", "s3", "--bucket", "lab", "-o", "secret=hunter2"], "--option secret=…"),
        (["--provider", "gcs", "--bucket", "lab", "--credentials", "stored"], "not for gcs"),
        ([], "say --provider: local, s3"),
    ],
)
def test_bad_flags(run, config_file, words, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    out = main_of(run, [*words, "--yes", "--no-check"])
    assert message in out
    assert not config_file.exists()


def main_of(run, words):
    try:
        return run(*words, code=1)
    except AssertionError:
        return run(*words, code=2)


def test_other_settings_stay(run, config_file, tmp_path):
    config_file.parent.mkdir(parents=True)
    config_file.write_text("# mine\nauthor = 'ann@lab'\n")
    cache = tmp_path / "cache"
    run("--folder", tmp_path / "x", "--yes", "--cache-dir", cache, "--cache-size", "5GiB")
    assert config_file.read_text().startswith("# mine\nauthor = 'ann@lab'\n")
    config = get_config()
    assert (config.author, config.cache_dir, config.cache_size) == ("ann@lab", str(cache), 5 << 30)


def test_a_named_file_is_made(run, tmp_path, monkeypatch, capsys):
    path = tmp_path / "new" / "mine.toml"
    monkeypatch.setenv("HUBZARR_CONFIG", str(path))
    assert main(["ls"]) == 1
    assert "which does not exist" in capsys.readouterr().err
    run("--folder", tmp_path / "x", "--yes", "--no-check")
    assert settings(path)["root"] == "x"
    assert main(["ls"]) == 0


def test_notes(run, tmp_path, monkeypatch):
    root = tmp_path / "data" / "hubzarr"
    (root / "team" / "x").mkdir(parents=True)
    monkeypatch.setenv("HUBZARR_ROOT", str(root))
    words = ["--folder", tmp_path / "y", "--name", "team", "--yes", "--no-check"]
    assert "names that begin with team/ now mean this root" in run(*words, "--no-default")
    assert "HUBZARR_ROOT is set in the environment, and wins" in run(*words, "--default")


def test_questions_about_a_folder(run, answers, config_file, tmp_path):
    asked, left = answers("1", str(tmp_path / "shelf"), "a b", "lab", "", "y")
    out = run()
    assert not left
    assert asked[1].startswith("Folder [")
    assert "bad name of a root 'a b'" in out
    assert "✓ safe for many writers" in out
    assert settings(config_file)["root"] == "lab"


def test_questions_about_a_bucket(run, answers, config_file, s3, tmp_path):
    bucket = f"asked-{uuid4().hex}"
    asked, left = answers(
        "7", "s3-compatible", "minio", s3.endpoint, bucket, "", "", "4", "prod", "n", "y", "",
        str(tmp_path / "cache"), "1GiB",
        secrets=["testing", "testing"],
    )  # fmt: skip
    out = run()
    assert not left
    assert any("(not shown)" in question for question in asked)
    assert "a number from 1 to 6, please" in out
    assert f"created s3://{bucket}" in out
    found = settings(config_file)
    assert found["roots"]["prod"]["key"] == "testing"
    assert (found["cache_dir"], found["cache_size"]) == (str(tmp_path / "cache"), "1GiB")
    assert "root" not in found


def test_nothing_is_written_before_the_last_answer(run, answers, config_file, monkeypatch):
    answers("1", "", "")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Asker, "confirms", stop)
    assert main(["configure"]) == 130
    assert not config_file.exists()


def test_profiles_are_offered(run, answers, config_file, tmp_path, monkeypatch, capsys):
    aws = tmp_path / "aws"
    aws.write_text("[default]\nx = 1\n[profile lab]\naws_access_key_id = hunter2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(aws))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    answers("2", "my-bucket", "", "eu-west-1", "2", "", "", "y", "n")
    out = run("--no-check")
    assert "a profile of ~/.aws: default, lab" in out
    assert settings(config_file)["roots"]["my-bucket"] == {
        "url": "s3://my-bucket", "region": "eu-west-1", "profile": "lab",
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(pty, "fork"), reason="no terminals here")
def test_on_a_terminal(config_file, tmp_path):
    """Keys are not shown while they are typed."""
    lines = [
        "3",
        "http://127.0.0.1:9",
        "lab-bucket",
        "",
        "",
        "4",
        "hunter2",
        "hunter2",
        "",
        "",
        "n",
    ]
    command = [sys.executable, "-m", "hubzarr.cli", "configure", "--no-check"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, command)
    seen, end = b"", time.monotonic() + 60
    waiting = 0
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            try:
                seen += os.read(terminal, 4096)
            except OSError:  # the other side is closed
                break
        elif lines and seen.rstrip().endswith(b":") and len(seen) > waiting:
            waiting = len(seen) + 1  # until more than the answer's echo has come
            os.write(terminal, lines.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, seen.decode()
    assert not lines
    assert b"hunter2" not in seen
    assert settings(config_file)["roots"]["lab-bucket"]["secret"] == "hunter2"


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_buckets_in_regions(s3_moto, region):
    url = f"s3://made-{uuid4().hex}/hub"
    options = {**s3_moto.options, "client_kwargs": {"region_name": region}}
    assert bucket_exists(url, options) is False
    create_bucket(url, options)
    assert bucket_exists(url, options) is True
    assert hub.doctor(url, storage_options=options).verdict == "many writers"


def test_buckets_that_can_not_be_made(s3, tmp_path):
    assert bucket_exists("sftp://host/x") is None
    with pytest.raises(InvalidError, match="with the store's own tools"):
        create_bucket("sftp://host/x")
    with pytest.raises(StorageError):
        create_bucket("s3://not_a_bucket_NAME/x", s3.options)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="can't create"):
        create_bucket(str(tmp_path / "file" / "x"))


def test_no_empty_file_is_left_after_an_error(run, config_file, monkeypatch):
    monkeypatch.setenv("HUBZARR_CONFIG", str(config_file.parent / "other.toml"))
    run(code=2)
    run("--show")
    assert not (config_file.parent / "other.toml").exists()


def test_the_verdict_is_shown_without_questions_too(run, tmp_path):
    words = ("--folder", tmp_path / "shelf", "--name", "lab", "--yes")
    assert "many writers" in run(*words)
    assert "many writers" not in run(*words, "--no-check")


def test_the_default_root_stays_the_default_when_repeated(run, config_file, tmp_path):
    run("--folder", tmp_path / "one", "--name", "lab", "--yes")
    for _ in range(2):
        out = run("--folder", tmp_path / "two", "--name", "lab", "--yes")
        assert "is the default root now" in out
        assert "hubzarr ls\n" in out
    assert get_config().root == str(tmp_path / "two")


def test_mistyped_roots_are_told(run, capsys, tmp_path, monkeypatch):
    run("--folder", tmp_path / "one", "--name", "lab", "--yes")
    monkeypatch.chdir(tmp_path)
    for words in (["--root", "nosuch", "ls"], ["doctor", "nosuch"]):
        assert main(words) == 3
        told = capsys.readouterr().err
        assert "'nosuch'; configured roots: lab. A folder" in told
        assert "'./nosuch'" in told
    assert main(["--root", "./nosuch", "ls"]) == 0
    (tmp_path / "there").mkdir()
    hub.array((2,), "x").close()
    assert main(["--root", "there", "ls"]) == 0
    assert main(["doctor", "there", "--quick"]) == main(["doctor", "x", "--quick"]) == 0
    assert f"{tmp_path}/one/x" in capsys.readouterr().out
