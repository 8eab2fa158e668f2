"""Push, pull and clone by name: what comes along, what it costs, what is refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import hubzarr as hub
from hubzarr.codecs import array_document
from hubzarr.errors import (
    ConflictError,
    DamagedError,
    ExistsError,
    InvalidError,
    InvalidNameError,
    InvalidTypeError,
    NotFoundError,
    StorageError,
)
from hubzarr.history.heads import head
from hubzarr.session import create_repository, open_session
from hubzarr.session.branching import branch, delete_version, log, merge, revert, seal
from hubzarr.session.copying import all_goals, move_repository
from hubzarr.storage import open_storage
from hubzarr.storage.faulty import Fault, FaultyStorage
from tests.session.support import append, content, write
from tests.transfer.support import (
    Remote,
    check_same,
    check_whole,
    fresh,
    fresh_url,
    heads,
    push,
)


def filled(rows=40, chunks=(4, 6), **options):
    """A repository of one array with a few commits."""
    storage = fresh()
    document = array_document((rows, 6), "i4", chunks, **options)
    create_repository(storage, "main", document, author="me", message="created")
    session = open_session(storage, "main", author="me")
    for step in range(3):
        write(session, slice(step, rows), step + 1)
        session.commit(f"step {step}")
    return storage, session


def commit(session, key, value, message="more"):
    write(session, key, value)
    return session.commit(message)


def objects(storage, folder):
    return {path for path in storage.list_all("") if path.startswith(folder)}


class TestHistory:
    def test_commits_keep_all_that_they_have(self):
        source, session = filled()
        target = fresh()
        done = push(source, target)
        assert (done.commits, done.versions) == (4, {"main": (-1, 3)})
        assert log(open_session(target, "main"), syncs=True) == log(session, syncs=True)
        check_same(source, target)
        check_whole(target)
        np.testing.assert_array_equal(content(target, "main"), content(source, "main"))

    def test_what_led_to_a_branch_comes_along_and_no_more(self):
        source, session = filled()
        branch(open_session(source, "main", "1"), "dev")
        dev = open_session(source, "dev", author="me")
        commit(dev, 0, 9)
        target = fresh()
        assert push(source, target, "dev").versions == {"dev": (-1, 1), "main": (-1, 1)}
        check_whole(target)
        commit(session, 1, 8)
        assert push(source, target, "main").versions == {"main": (1, 4)}
        check_same(source, target)

    def test_the_second_parents_of_merges_come_along(self):
        source, session = filled()
        branch(session, "dev")
        dev = open_session(source, "dev", author="me")
        append(dev, np.full((3, 6), 7))
        dev.commit("rows")
        commit(session, 0, 5)
        merge(session, "dev")
        target = fresh()
        assert set(push(source, target, "main").versions) == {"dev", "main"}
        assert merge(open_session(target, "main", author="you"), "dev") is not None
        check_whole(target)

    def test_a_merged_branch_is_not_copied_again(self):
        source, session = filled()
        branch(session, "dev")
        dev = open_session(source, "dev", author="me")
        commit(dev, slice(0, 20), 9)
        target = FaultyStorage(fresh())
        push(source, target)
        merge(session, "dev")
        target.log.clear()
        done = push(source, target)
        assert (done.commits, done.objects) == (1, 0)

    def test_sealed_and_deleted_versions(self):
        source, session = filled()
        for name in ("v1", "gone"):
            branch(session, name)
        seal(open_session(source, "v1", author="me"))
        target = fresh()
        push(source, target, "gone")
        delete_version(source, "gone", "me")
        branch(session, "junk")
        delete_version(source, "junk", "me")
        push(source, target)
        assert sorted(heads(target)) == ["gone", "main", "v1"]
        assert head(target, "gone").commit.state == "deleted"
        assert head(target, "v1").sealed
        with pytest.raises(NotFoundError, match="was deleted"):
            hub.push(f"{source.url}:gone", target.url)

    def test_long_histories_take_their_log_along(self):
        source, session = filled(rows=4)
        for number in range(80):
            commit(session, 0, number, f"number {number}")
        target = fresh()
        push(source, target)
        found = log(open_session(target, "main"))
        assert [c.message for c in found] == [c.message for c in log(session)]
        for number in range(70):
            commit(session, 1, number, None)
        push(source, target)
        assert log(open_session(target, "main"), syncs=True) == log(session, syncs=True)

    def test_tables_in_pages_and_moved_nodes(self):
        source = fresh()
        group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
        create_repository(source, "main", group, author="me")
        session = open_session(source, "main", author="me")
        session.create_array("a", array_document((3000, 2), "u1", (1, 2)))
        rng = np.random.default_rng(0)
        for rows in (range(0, 3000, 7), range(5, 3000, 501), (2999,)):
            for row in rows:
                write(session, row, rng.integers(1, 99), "a")
            session.commit("rows")
        session.array("a").resize((5000, 2))
        write(session, 4321, 3, "a")
        session.commit("longer")
        target = FaultyStorage(fresh())
        push(source, Remote(target))
        check_same(source, target)
        check_whole(target)
        commit_one = len(target.log)
        write(session, 17, 200, "a")
        session.commit("one row")
        done = push(source, Remote(target))
        assert done.objects == 2  # one chunk, one pack
        assert len(target.log) - commit_one < 12
        check_whole(target)


class TestCost:
    def test_an_incremental_push_costs_what_changed(self):
        source, session = filled(rows=2000)
        counted, target = FaultyStorage(source), FaultyStorage(fresh())
        push(counted, Remote(target))
        counted.log.clear()
        target.log.clear()
        commit(session, 1000, 77)
        done = push(Remote(counted), Remote(target))
        assert (done.commits, done.objects) == (1, 2)  # one chunk, one pack
        assert len(counted.log) < 16
        assert len(target.log) < 16

    def test_nothing_to_do_costs_a_few_looks(self):
        source, _ = filled()
        target = FaultyStorage(fresh())
        push(source, target)
        target.log.clear()
        assert str(push(source, target)).startswith("nothing to copy: ")
        assert len(target.log) < 10

    def test_a_push_to_an_empty_store_asks_for_no_object(self):
        source, _ = filled(rows=2000)
        target = FaultyStorage(fresh())
        push(source, Remote(target))
        assert target.count("exists", "size") < 30

    def test_an_interrupted_push_copies_what_is_missing(self):
        source, _ = filled(rows=4000)
        target = fresh()
        push(source, target)
        manifests = objects(target, "versions/")
        data = sorted(objects(target, "data/"))
        target.delete([*manifests, *data[1::3]])
        done = push(source, Remote(target))
        assert done.skipped > 500
        assert done.objects < 2 * len(data[1::3])
        check_same(source, target)
        check_whole(target)

    def test_a_dry_run_changes_nothing_and_tells_what_would_be_copied(self):
        source, _ = filled()
        target = fresh()
        told = push(source, target, dry_run=True)
        assert not list(target.list_all(""))
        done = push(source, target)
        assert (told.objects, told.nbytes, told.commits) == (
            done.objects, done.nbytes, done.commits
        )  # fmt: skip
        assert "would copy 4 commits" in str(told)

    def test_a_point_that_comes_back_is_not_copied_again(self):
        source, session = filled()
        target = fresh()
        push(source, target)
        revert(session, 1)
        assert push(source, Remote(target)).objects == 0


class TestConflicts:
    def diverged(self):
        source, session = filled()
        target = fresh()
        push(source, target)
        commit(session, 0, 5, "mine")
        theirs = open_session(target, "main", author="them")
        commit(theirs, 1, 6, "theirs")
        return source, session, target

    def test_commits_of_others_are_never_lost(self):
        source, _, target = self.diverged()
        before = set(target.list_all(""))
        with pytest.raises(ConflictError, match=r"main@4 'theirs' by them.*common is main@3") as e:
            push(source, target)
        assert set(target.list_all("")) == before
        assert e.value.common == 3
        with pytest.raises(ConflictError, match="main@4 'mine' by me"):
            push(target, source)

    def test_a_target_that_is_ahead_has_it_all(self):
        source, _ = filled()
        target = fresh()
        push(source, target)
        commit(open_session(target, "main", author="them"), 0, 1)
        assert push(source, target).commits == 0
        assert push(target, source).commits == 1

    def test_repositories_that_began_apart(self):
        (source, _), (target, _) = filled(), filled()
        with pytest.raises(ConflictError, match="no commit in common"):
            push(source, target)

    def test_another_version_name_takes_them(self):
        source, session, target = self.diverged()
        done = hub.push(f"{source.url}:main", f"{target.url}:mine")
        assert done.versions == {"mine": (-1, 0)}
        mine, main = open_session(target, "mine"), open_session(target, "main", author="me")
        assert [c.id for c in log(mine)] == [c.id for c in log(session)]
        assert [c.message for c in log(mine)] == [c.message for c in log(session)]
        np.testing.assert_array_equal(content(target, "mine"), content(source, "main"))
        merge(main, "mine")
        assert content(target, "main")[0, 0] == 5
        assert content(target, "main")[1, 0] == 6
        commit(session, 2, 7, "mine again")
        assert hub.push(f"{source.url}:main", f"{target.url}:mine").versions == {"mine": (0, 1)}
        assert hub.push(f"{source.url}:main", f"{target.url}:mine").commits == 0
        check_whole(target)
        with pytest.raises(ConflictError, match="another version name, such as ':main-2'"):
            hub.push(f"{source.url}:main", f"{target.url}:main", dry_run=True)

    def test_their_commits_can_be_merged_here_under_another_name(self):
        source, session, target = self.diverged()
        names = f"{source.url}:theirs", f"{target.url}:main"
        assert hub.pull(*names).versions == {"theirs": (-1, 0)}
        merge(session, "theirs")
        assert content(source, "main")[:2, 0].tolist() == [5, 6]
        commit(open_session(target, "main", author="them"), 2, 8)
        assert hub.pull(*names).versions == {"theirs": (0, 1)}
        session.refresh()
        merge(session, "theirs")
        assert content(source, "main")[:3, 0].tolist() == [5, 6, 8]
        check_whole(source)

    def test_another_name_for_a_whole_version(self):
        source, session = filled(rows=4)
        for number in range(40):
            commit(session, 0, number)
        target = fresh()
        assert hub.push(f"{source.url}:main", f"{target.url}:mine").versions == {"mine": (-1, 43)}
        assert [c.id for c in log(open_session(target, "mine"))] == [c.id for c in log(session)]
        assert list(heads(target)) == ["mine"]
        check_whole(target)
        commit(session, 0, 99)
        assert hub.push(f"{source.url}:main", f"{target.url}:mine").versions == {"mine": (43, 44)}
        commit(open_session(target, "mine", author="you"), 0, 1)
        commit(session, 0, 98)
        with pytest.raises(ConflictError, match="choose another"):
            hub.push(f"{source.url}:main", f"{target.url}:mine")

    def test_another_name_is_refused_where_others_grew_from_it(self):
        source, session = filled()
        branch(session, "dev")
        commit(open_session(source, "dev", author="me"), 0, 5)
        commit(session, 1, 6)
        merge(session, "dev")
        with pytest.raises(InvalidError, match=r"dev@0.*was made on main@3"):
            hub.push(f"{source.url}:main", f"{fresh_url()}:mine")

    def test_two_pushers_at_once(self):
        source, _ = filled(rows=200)
        target = fresh()
        failures = []

        def run():
            try:
                push(source, Remote(target))
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        check_same(source, target)
        check_whole(target)

    def test_two_pushers_of_different_commits_at_once(self):
        source, session = filled(rows=50)
        other, target = fresh(), fresh()
        push(source, other)
        theirs = open_session(other, "main", author="them")
        for number in range(20):
            commit(session, 0, number, "mine")
            commit(theirs, 0, 100 + number, "theirs")
        outcomes = []

        def run(origin):
            try:
                outcomes.append(push(origin, target).commits)
            except ConflictError as error:
                outcomes.append(str(error))

        threads = [threading.Thread(target=run, args=(one,)) for one in (source, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(isinstance(outcome, str) for outcome in outcomes) == [False, True]
        winner = source if heads(target) == heads(source) else other
        check_same(winner, target)
        check_whole(target)

    def test_a_writer_at_the_target_goes_on(self):
        source, session = filled()
        target = fresh()
        push(source, target)
        writer = open_session(target, "main", author="them")
        write(writer, 3, 33)
        commit(session, 0, 5)
        push(source, target)
        assert writer.commit("after the push").number == 5
        assert content(target, "main")[[0, 3], 0].tolist() == [5, 33]


class TestDamage:
    def test_a_lost_chunk_stops_the_push(self):
        source, _ = filled()
        chunk = max(objects(source, "data/"))
        source.delete([chunk])
        target = fresh()
        with pytest.raises(DamagedError, match="missing although a commit needs it"):
            push(source, target)
        check_whole(target)

    @pytest.mark.parametrize("kind", ["data/", "pages/"])
    @pytest.mark.parametrize("how", ["flip", "cut"])
    def test_damaged_bytes_are_not_passed_on(self, kind, how):
        source, session = filled(rows=4)
        for number in range(40):
            commit(session, 0, number)
        path = min(objects(source, kind))
        data = bytearray(source.get(path))
        data[len(data) // 2] ^= 1
        source.put_atomic(path, bytes(data if how == "flip" else data[:-3]))
        target = fresh()
        with pytest.raises(DamagedError, match=path):
            push(source, target)
        assert path not in set(target.list_all(""))
        check_whole(target)

    def test_verify_mends_what_is_cut_short_at_the_target(self):
        source, _ = filled()
        target = fresh()
        push(source, target)
        path = min(objects(target, "data/"))
        target.put_atomic(path, b"short")
        target.delete(objects(target, "versions/"))
        push(source, target, verify=True)
        check_whole(target)

    def test_what_was_damaged_on_its_way_is_read_again(self):
        source, _ = filled()

        class Flaky:
            def __init__(self):
                self.failed = set()

            def __getattr__(self, name):
                return getattr(source, name)

            def distrust(self, path):
                return True

            def get(self, path):
                data = source.get(path)
                if path.startswith("data/") and path not in self.failed:
                    self.failed.add(path)
                    return data[:-1]
                return data

        target = fresh()
        push(Flaky(), target)
        check_whole(target)


class TestNames:
    @pytest.fixture
    def roots(self, tmp_path):
        hub.configure(
            root=str(tmp_path / "home"),
            roots={"lab": str(tmp_path / "lab"), "prod": str(tmp_path / "prod")},
        )
        yield tmp_path
        hub.configure(root=None, roots=None)

    def test_the_name_of_a_root(self, roots):
        a = hub.from_numpy(np.arange(6), "alice/x")
        a.branch("dev")
        assert set(hub.push("alice/x", "lab").versions) == {"main", "dev"}
        assert hub.load("hub://lab/alice/x").sum() == 15
        assert hub.push("alice/x:dev", "hub://prod").versions == {"dev": (-1, 0), "main": (-1, 1)}
        assert (roots / "prod" / "alice" / "x").is_dir()
        assert hub.push("lab/alice/x", "prod").commits == 0
        a[0] = 9
        a.commit("nine")
        hub.push("alice/x", "lab")
        assert hub.pull("prod/alice/x", "lab").commits == 1
        assert hub.load("prod/alice/x").sum() == 24
        assert hub.push("alice/x:main", "lab:release").versions["release"] == (-1, 0)
        assert hub.push(str(roots / "lab" / "alice" / "x"), "prod").commits == 1

    def test_names_and_urls(self, roots):
        hub.from_numpy(np.arange(6), "alice/x")
        hub.push("alice/x", "bob/y")
        hub.pull("carol/z", str(roots / "home" / "bob" / "y"))
        assert hub.load("carol/z").sum() == 15
        with pytest.raises(NotFoundError, match=r"no root is named 'prd' \(configured: lab, prod"):
            hub.push("alice/x", "prd")
        with pytest.raises(InvalidNameError, match="under no configured root"):
            hub.push(str(roots / "elsewhere"), "lab")
        with pytest.raises(NotFoundError, match="no array or dataset named"):
            hub.pull("alice/x", "lab")
        with pytest.raises(NotFoundError, match="version 'v9'"):
            hub.push("alice/x:v9", "lab")
        with pytest.raises(InvalidNameError, match="point of the history"):
            hub.push("alice/x@0", "lab")
        with pytest.raises(InvalidError, match="both source and target"):
            hub.push("alice/x", "alice/x")

    def test_clone(self, roots):
        a = hub.from_numpy(np.arange(6), "alice/x")
        for name in ("dev", "v1"):
            a.branch(name)
        done = hub.clone("alice/x", "lab/alice/copy", versions=["v1"])
        assert done.versions == {"main": (-1, 1), "v1": (-1, 0)}
        hub.clone("alice/x", "lab/alice/copy")
        assert [v.name for v in hub.versions("lab/alice/copy")] == ["dev", "main", "v1"]
        with pytest.raises(InvalidTypeError, match="all versions"):
            hub.clone("alice/x:v1", "lab/y")
        with pytest.raises(InvalidTypeError, match="list of names"):
            hub.clone("alice/x", "lab/y", versions="v1")
        with pytest.raises(NotFoundError, match="nothing"):
            hub.clone("alice/x", "lab/y", versions=["nothing"])

    def test_unsynced_writes_are_pushed_too(self, roots):
        a = hub.from_numpy(np.arange(6), "alice/x")
        a[0] = 5
        hub.push("alice/x", "lab")
        assert hub.load("lab/alice/x").sum() == 20


class TestCopy:
    def test_a_copy_goes_on_where_it_was_interrupted(self):
        source, _ = filled(rows=4000)
        url = fresh_url()
        target = open_storage(url)
        hub.copy(source.url, url)
        data = sorted(objects(target, "data/"))
        target.delete([*objects(target, "versions/"), *data[::5]])
        counts = target.counters.writes
        hub.copy(source.url, url)
        assert set(data) == objects(target, "data/")
        assert target.counters.writes == counts
        with pytest.raises(ExistsError, match="exists already"):
            hub.copy(source.url, url)

    def test_a_second_version_shares_what_is_there(self):
        source, session = filled(rows=4000)
        branch(session, "v1")
        commit(session, 0, 99)
        url = fresh_url()
        hub.copy(source.url + ":v1", url)
        told = hub.copy(source.url + ":main", url, dry_run=True)
        assert told.objects == 2  # one chunk, one pack
        hub.copy(source.url + ":main", url)
        np.testing.assert_array_equal(content(open_storage(url), "main"), content(source, "main"))

    def test_history(self):
        source, session = filled()
        branch(session, "dev")
        commit(open_session(source, "dev", author="me"), 0, 9)
        url, other, point = fresh_url(), fresh_url(), fresh_url()
        assert hub.copy(f"{source.url}:dev", url, history=True, dry_run=True).commits == 6
        a = hub.copy(f"{source.url}:dev", url, history=True)
        assert [c.id for c in a.log(syncs=True)] == [
            c.id for c in log(open_session(source, "dev"), syncs=True)
        ]
        b = hub.copy(f"{source.url}:dev", f"{other}:mine", history=True)
        assert (b.version, [c.id for c in b.log()]) == ("mine", [c.id for c in a.log()])
        c = hub.copy(f"{source.url}@1", point, history=True)
        assert [c.number for c in c.log()] == [1, 0]
        check_whole(open_storage(url))
        check_whole(open_storage(other))

    def test_within_one_repository_nothing_is_copied(self):
        source, _ = filled()
        before = objects(source, "data/")
        assert hub.copy(source.url, f"{source.url}:v2", dry_run=True).objects == 0
        hub.copy(source.url, f"{source.url}:v2")
        assert objects(source, "data/") == before


class TestRename:
    def test_an_interrupted_move_goes_on(self):
        source, session = filled(rows=100)
        branch(session, "gone")
        delete_version(source, "gone", "me")
        goals = all_goals(source)
        url = fresh_url()
        push(source, open_storage(url), "main")
        open_storage(url).delete([min(objects(open_storage(url), "data/"))])
        hub.rename(source.url, url)
        assert not list(source.list_all(""))
        assert all_goals(open_storage(url)) == goals
        check_whole(open_storage(url))

    @pytest.mark.parametrize("side", ["source", "target"])
    def test_a_crash_anywhere_loses_nothing(self, side):
        for at in range(1, 400, 3 if side == "source" else 2):
            source, session = filled(rows=8)
            branch(session, "dev")
            before, expected = heads(source), content(source, "main")
            target = fresh()
            sides = {"source": FaultyStorage(source), "target": FaultyStorage(target)}
            sides[side].schedule(Fault(at=at, dead=True))
            try:
                move_repository(sides["source"], sides["target"])
            except StorageError:
                ended = False
            else:
                ended = True
            if heads(target) != before:
                check_whole(source)
            check_whole(target)
            if heads(source):
                move_repository(source, target)
            assert heads(target) == before
            check_whole(target)
            np.testing.assert_array_equal(content(target, "main"), expected)
            assert not list(source.list_all(""))
            if ended:
                break
        assert ended
        assert at > 20

    def test_nothing_is_deleted_before_all_is_there(self):
        source, _ = filled()
        before = set(source.list_all(""))
        source.delete([max(objects(source, "data/"))])
        with pytest.raises(DamagedError):
            hub.rename(source.url, fresh_url())
        assert len(set(source.list_all(""))) == len(before) - 1

    def test_what_is_there_already_stays(self):
        source, session = filled()
        twin, other = fresh_url(), fresh_url()
        hub.clone(source.url, twin)
        commit(open_session(open_storage(twin), "main", author="you"), 0, 1)
        hub.copy(source.url, f"{other}:v1")
        for url in (twin, other):
            with pytest.raises(ExistsError, match="choose another name"):
                hub.rename(source.url, url)
        assert session.manifest.commit.number == head(source, "main").commit.number


def test_the_advice_of_a_conflict_can_be_followed_both_ways(tmp_path):
    mine, theirs, apart = (str(tmp_path / name) for name in ("mine", "theirs", "apart"))
    a = hub.from_numpy([1, 2], mine)
    hub.clone(mine, theirs)
    b = hub.load(theirs)
    a[0], b[1] = 8, 9
    a.commit("a")
    b.commit("b")
    for move, there in ((hub.pull, "mine"), (hub.push, "theirs")):
        with pytest.raises(ConflictError, match=rf"main-2', and merge the two in \S*{there};"):
            move(mine, theirs)
    hub.pull(mine + ":main-2", theirs + ":main")
    a.merge("main-2")
    assert a[:].tolist() == [8, 9]
    hub.from_numpy([1, 2], apart)
    with pytest.raises(ConflictError, match="can't be merged by element: bring it under another"):
        hub.pull(mine, apart)
    hub.pull(mine + ":other", apart + ":main")
