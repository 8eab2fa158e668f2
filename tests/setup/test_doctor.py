"""doctor: right verdicts on good, limited and broken stores, and nothing left behind."""

from __future__ import annotations

import os
import pickle
import signal
import threading

import pytest

import hubzarr as hub
from hubzarr.cli import main
from hubzarr.errors import ReadOnlyError, StorageError, UnsupportedError
from hubzarr.storage import LocalStorage, MemoryStorage, open_storage
from hubzarr.storage.probing import clock as clocks
from hubzarr.storage.probing import examination as examinations
from hubzarr.storage.probing import probe, trying
from hubzarr.storage.probing.races import race_processes, race_threads, verdict_of
from tests.setup.careless import Careless


@pytest.fixture
def memory(request):
    storage = MemoryStorage(f"doctor/{os.urandom(6).hex()}")
    yield storage
    storage.delete_dir("")


class Changed:
    """A storage with some methods replaced."""

    def __init__(self, inner, **methods):
        self._inner = inner
        self._methods = methods

    def __getattr__(self, name):
        if name in self._methods:
            return self._methods[name]
        return getattr(self._inner, name)


def details(report):
    return {check.name: (check.ok, check.detail) for check in report.checks}


def denied(*_, **__):
    raise StorageError("access is denied", reason="EACCES")


# -- good stores ---------------------------------------------------------------------


def test_a_folder(tmp_path):
    (tmp_path / "here").mkdir()
    for name in ("here", "new"):
        report = hub.doctor(str(tmp_path / name))
        assert (report.verdict, report.ok, report.advice) == ("many writers", True, "")
        assert report.transport == "local disk"
        assert all(check.ok is not False for check in report.checks)
        assert report.latency > 0 < report.write_speed
        assert report.read_speed > 0
    assert [path.name for path in tmp_path.iterdir() if path.name != "config"] == ["here"]
    assert not list((tmp_path / "here").iterdir())


def test_racing_processes(tmp_path):
    report = hub.doctor(str(tmp_path / "hub"), processes=2)
    assert details(report)["race of processes"] == (
        True, "2 processes, 5 rounds, one winner each",
    )  # fmt: skip
    assert report.ok


@pytest.mark.parametrize("server", ["s3", "gcs"])
def test_object_stores(server, request):
    store = request.getfixturevalue(server)
    url = store.url("hub")
    report = hub.doctor(url, storage_options=store.options)
    assert report.ok, str(report)
    assert abs(report.clock) < 5
    assert details(report)["keys a and a/b"][0] is True
    assert open_storage(url, store.options).list_dir("") == []


def test_names_and_roots(tmp_path):
    hub.array((2,), "alice/x").close()
    hub.configure(roots={"prod": str(tmp_path / "prod")})
    try:
        assert hub.doctor().url.endswith("/root")
        for place in ("prod", "hub://prod"):
            assert hub.doctor(place).url.endswith("/prod")
        assert hub.doctor("prod/alice/x").url.endswith("/prod/alice/x")
    finally:
        hub.configure(roots=None)


def test_a_report_as_text_and_as_a_document(memory):
    report = probe(memory, "memory")
    assert str(report).splitlines()[1] == "✓ safe for many writers"
    document = report.to_dict()
    assert document["verdict"] == "many writers"
    assert {check["name"] for check in document["checks"]} == set(details(report))
    assert pickle.loads(pickle.dumps(report)) == report


# -- limited stores --------------------------------------------------------------------


def test_no_atomic_creation(memory):
    def refused(path, data):
        raise UnsupportedError("no conditional writes here")

    report = probe(Changed(memory, create=refused), "test")
    assert report.verdict == "one writer"
    assert "only if it is absent" in report.advice
    assert "single_writer" in str(report)


def test_creation_that_everybody_wins(memory):
    def careless(path, data):
        memory.put_atomic(path, data)
        return True

    report = probe(Changed(memory, create=careless), "test")
    assert report.verdict == "one writer"
    assert "without notice" in report.advice
    assert details(report)["create if absent"][0] is False
    assert details(report)["race of threads"] == (False, "up to 16 racers won the same name")


def test_creation_that_fails_in_races_only(memory):
    between = threading.Barrier(2)

    def checks_then_writes(path, data):
        if memory.exists(path):
            return False
        if "race" in path:
            try:
                between.wait(2)  # two of them see that the name is free
            except threading.BrokenBarrierError:
                return False
        memory.put_atomic(path, data)
        return True

    report = probe(Changed(memory, create=checks_then_writes), "test")
    assert details(report)["create if absent"][0] is True
    assert details(report)["race of threads"][0] is False
    assert report.verdict == "one writer"


def test_a_store_that_only_reads(memory):
    memory.put("alice/x/versions/main/latest", b"0")

    def refused(*_):
        raise ReadOnlyError("HTTP stores are read-only")

    report = probe(Changed(memory, put=refused), "test")
    assert report.verdict == "read-only"
    assert details(report)["read"] == (True, "an object of the store")
    report = probe(Changed(memory, put=denied), "test")
    assert report.verdict == "read-only"
    assert "ask for the right" in report.advice
    report = probe(Changed(memory, put=denied, get_range=denied), "test")
    assert report.verdict == "unusable"


def test_rights_are_told_apart(memory):
    report = probe(Changed(memory, put=denied, list_dir=denied, get=denied), "test")
    assert (report.verdict, report.advice.split(":")[0]) == ("unusable", "Access is denied")
    report = probe(Changed(memory, list_dir=denied), "test")
    assert report.verdict == "unusable"
    assert "s3:ListBucket" in report.advice
    report = probe(Changed(memory, delete=denied, delete_dir=denied), "test")
    assert report.verdict == "many writers"
    assert "Nothing can be deleted" in report.advice
    assert ".hubzarr-doctor-" in report.advice


# -- broken stores ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("ranges", {"get_range": lambda m: lambda path, start, stop: m.get(path)}),
        ("list what is new", {"list_dir": lambda m: lambda path, after="", limit=None: []}),
        ("read back", {"exists": lambda m: lambda path: True}),
        ("overwrite", {"put_atomic": lambda m: lambda p, data: m.exists(p) or m.put(p, data)}),
        ("odd characters", {"get": lambda m: lambda p: m.get(p.replace("%41", "A"))}),
        ("bandwidth", {"get_many": lambda m: lambda paths: [b"x" * (1 << 20)] * len(paths)}),
    ],
)
def test_wrong_answers(memory, name, method):
    replaced = {key: make(memory) for key, make in method.items()}
    report = probe(Changed(memory, **replaced), "test")
    assert details(report)[name][0] is False
    wanted = "many writers" if name == "bandwidth" else "unusable"
    assert report.verdict == wanted


def test_a_place_that_is_not_there(s3):
    report = hub.doctor("s3://no-such-bucket-here/hub", storage_options=s3.options)
    assert report.verdict == "unusable"
    assert "--create" in report.advice
    assert len(report.checks) == 1


def test_a_store_that_hangs(memory, monkeypatch):
    monkeypatch.setattr(examinations, "_LIMIT", 0.2)
    monkeypatch.setattr(trying, "_CLEANING", 0.2)
    asleep = threading.Event()
    try:
        report = probe(Changed(memory, get=lambda path: asleep.wait(30)), "test")
    finally:
        asleep.set()
    assert report.verdict == "unusable"
    assert details(report)["read back"] == (False, "no answer in 0 s")
    assert details(report)["race of threads"] == (None, "not tried")


def test_secrets_stay_out_of_reports(memory):
    def talkative(*_):
        raise StorageError("bad signature by key hunter2 and hunter3")

    options = {"secret": "hunter2", "client_kwargs": {"aws_session_token": "hunter3"}}
    report = probe(Changed(memory, put=talkative), "test", options=options)
    assert "hunter" not in str(report) + repr(report) + str(report.to_dict())
    assert "key … and …" in str(report)


# -- nothing is left -------------------------------------------------------------------


def test_interrupts_leave_nothing(memory):
    def told(check):
        if check.name == "overwrite":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        probe(memory, "memory", told=told)
    assert list(memory.list_all("")) == []


def test_ctrl_c_on_the_command_line(tmp_path, monkeypatch, capsys):
    root = tmp_path / "hub"
    root.mkdir()
    before = LocalStorage.put

    def put(self, path, data):
        if "/listed/007" in path:
            os.kill(os.getpid(), signal.SIGINT)
        before(self, path, data)

    monkeypatch.setattr(LocalStorage, "put", put)
    assert main(["doctor", str(root), "--quick"]) == 130
    assert "stopped" in capsys.readouterr().err
    assert not list(root.iterdir())


# -- races -----------------------------------------------------------------------------


def test_careless_racers_are_found(tmp_path):
    storage = Careless(str(tmp_path))
    assert "up to 4" in verdict_of(storage, "threads", race_threads(storage, "threads", 4, 2))
    won = race_processes(Careless, (str(tmp_path),), "processes", 2, 2)
    assert verdict_of(storage, "processes", won) == "up to 2 racers won the same name"


def test_outcomes_of_races(memory):
    memory.put("r/0", b"racer 1")
    assert verdict_of(memory, "r", [[1]]) == ""
    assert verdict_of(memory, "r", [[0]]) == "the object is not the winner's"
    assert verdict_of(memory, "r", [[1], []]) == "nobody won 1 of 2 rounds"


# -- clocks ----------------------------------------------------------------------------


def test_clocks_that_are_wrong(memory, monkeypatch, tmp_path):
    monkeypatch.setattr("hubzarr.storage.probing.checks.skew", lambda *_: 3600.0)
    found = details(probe(memory, "memory"))["clock"]
    assert found[0] is False
    assert "3600 s ahead" in found[1]
    monkeypatch.undo()
    storage = LocalStorage(str(tmp_path))
    storage.put("x", b"")
    assert abs(clocks.skew(storage, "x", {})) < 60
    os.utime(tmp_path / "x", (1, 1))
    assert clocks.skew(storage, "x", {}) > 1e8
    assert clocks.skew(memory, "x", {}) is None


def test_where_clocks_are_asked(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    ask = clocks._service
    assert ask("s3://b/x", {"endpoint_url": "http://h:1"}) == "http://h:1"
    assert ask("s3://b/x", {"client_kwargs": {"endpoint_url": "http://h:2"}}) == "http://h:2"
    assert ask("s3://b/x", {"endpoint_url": "file:///etc/passwd"}) is None
    assert ask("gs://b/x", {}) == "https://storage.googleapis.com"
    assert ask("az://c/x", {"account_name": "lab"}) == "https://lab.blob.core.windows.net"
    assert ask("https://h/x", {}) == "https://h/x"
    assert ask("sftp://h/x", {}) is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://h:3")
    assert ask("s3://b/x", {}) == "http://h:3"


# -- the command -----------------------------------------------------------------------


def test_exit_codes(tmp_path, capsys, monkeypatch):
    assert main(["doctor", str(tmp_path / "a"), "--quick"]) == 0
    assert "✓ safe for many writers" in capsys.readouterr().out
    assert main(["doctor", "memory://doctor-codes", "--quick", "--json"]) == 0
    assert '"verdict": "many writers"' in capsys.readouterr().out
    (tmp_path / "file").write_text("x")
    assert main(["doctor", str(tmp_path / "file"), "--quick"]) == 1
    monkeypatch.setattr(LocalStorage, "put", denied)
    (tmp_path / "c").mkdir()
    assert main(["doctor", str(tmp_path / "c"), "--quick"]) == 6
    monkeypatch.undo()
    monkeypatch.setattr(LocalStorage, "create", Careless.create)
    assert main(["doctor", str(tmp_path / "d"), "--quick"]) == 5


def test_options_of_the_command(s3, capsys, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    words = ["--endpoint", s3.endpoint, "--region", "us-east-1", "-o", "transport=fsspec"]
    assert main(["doctor", s3.url("hub"), "--quick", *words]) == 0
    assert "fsspec (s3fs)" in capsys.readouterr().out
