"""Datasets arrive whole: ragged and large samples, text, saved views, all commits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

import hubzarr as hub
from hubzarr.storage import open_storage
from tests.datasets.support import again, by_hand, columns, create, numbers, row, url_of
from tests.datasets.test_machine import RowsMachine, content
from tests.transfer.support import Remote, check_same, check_whole, fresh, fresh_url, push


def test_rows_of_all_kinds_arrive():
    ds = create(numbers=range(20))
    url = fresh_url()
    hub.push(url_of(ds), url)
    there = by_hand(hub.load(url))
    assert numbers(there) == list(range(20))
    ds.extend(columns(range(20, 30)))
    ds[3].update(row(99))
    ds.pop(5)
    ds.commit("changed")
    done = hub.push(url_of(ds), url)
    assert done.commits == 1
    assert numbers(again(there)) == numbers(ds)
    assert [c.id for c in again(there).log(syncs=True)] == [c.id for c in ds.log(syncs=True)]
    check_whole(open_storage(url))


def test_a_copy_is_of_the_state_that_the_handle_shows():
    ds = create(numbers=range(3))
    then = hub.load(f"{url_of(ds)}@{ds.commit_id}")
    ds.append(row(3))
    ds.commit("four")
    assert numbers(by_hand(hub.deepcopy(then, fresh_url()))) == [0, 1, 2]
    assert numbers(by_hand(hub.deepcopy(ds, f"{url_of(ds)}:copy"))) == [0, 1, 2, 3]


def test_copies_of_open_datasets_need_no_options_of_their_store(s3, tmp_path):
    options = {"storage_options": s3.options}
    local = create(numbers=range(3))
    there = hub.deepcopy(local, s3.url(), **options)
    back = hub.deepcopy(there, str(tmp_path / "back"))
    assert numbers(by_hand(back)) == [0, 1, 2]
    rows = hub.deepcopy(there[1:], str(tmp_path / "rows"), **options)
    assert numbers(by_hand(rows)) == [1, 2]
    target = {"target_options": s3.options}
    assert len(hub.deepcopy(str(tmp_path / "back"), s3.url(), **target)) == 3


def test_large_samples_and_saved_views():
    ds = by_hand(hub.empty(fresh_url()))
    ds.create_tensor("volumes", dtype="uint8", ragged=True)
    rng = np.random.default_rng(0)
    large = rng.integers(0, 255, (6_000_000,), "uint8")
    ds.extend({"volumes": [rng.integers(0, 255, (n,), "uint8") for n in (3, 70_000, 9)]})
    ds.append({"volumes": large})
    ds.commit("large")
    view = ds[1:3].save_view(message="some", id="some")
    assert view
    url = fresh_url()
    hub.push(url_of(ds), url)
    there = hub.load(url)
    np.testing.assert_array_equal(np.asarray(there.volumes[3]), large)
    found = there.load_view("some")
    assert found.volumes.shapes() == ds[1:3].volumes.shapes()
    check_whole(open_storage(url))


def test_saved_views_find_their_commit_under_another_name():
    ds = create(numbers=range(6))
    url = fresh_url()
    hub.push(url_of(ds), url)
    theirs = by_hand(hub.load(url))
    theirs.append(row(77))
    theirs.commit("theirs")
    ds.append(row(6))
    ds.commit("mine")
    ds[4:].save_view(id="some")
    hub.push(f"{url_of(ds)}:main", f"{url}:mine")
    assert numbers(hub.load(f"{url}:mine").load_view("some")) == [4, 5, 6]


def test_work_on_a_clone_goes_back():
    ds = create(numbers=range(6))
    url = fresh_url()
    hub.clone(url_of(ds), url)
    there = by_hand(hub.load(url))
    there.branch("theirs")
    there.checkout("theirs")
    there.extend(columns(range(50, 53)))
    there.commit("three more")
    ds.extend(columns(range(6, 8)))
    ds.commit("two more")
    hub.pull(f"{url_of(ds)}:theirs", url)
    ds.merge("theirs")
    assert sorted(numbers(ds)) == [*range(8), 50, 51, 52]
    hub.push(url_of(ds), url)
    assert numbers(hub.load(url)) == numbers(ds)


class DatasetTransfer(RowsMachine):
    """A dataset that lives, and a repository that gets its commits now and then."""

    @initialize(slow=st.booleans())
    def start(self, slow):
        super().start()
        self.there = Remote(fresh()) if slow else fresh()
        push(open_storage(self.url), self.there)

    @rule()
    def push(self):
        source = open_storage(self.url)
        push(source, self.there)
        check_same(source, self.there)
        for version, number in self.heads.items():
            ds = hub.load(f"{self.there.url}:{version}@{number}", "r")
            assert content(ds) == self.states[version, number][0]

    def teardown(self):
        if hasattr(self, "there"):
            self.push()
            check_whole(self.there)


TestDatasetTransfer = DatasetTransfer.TestCase
TestDatasetTransfer.settings = settings(
    max_examples=max(5, settings.default.max_examples // 10),
    stateful_step_count=15,
    phases=set(Phase) - {Phase.explain},
)


@pytest.mark.parametrize("history", [False, True])
def test_copies_of_datasets(history):
    ds = create(numbers=range(12))
    url = fresh_url()
    there = hub.copy(url_of(ds), url, history=history)
    assert numbers(there) == list(range(12))
    check_whole(open_storage(url))
