"""Two handles, or two versions, change the same dataset: whole samples of one side, in order."""

from __future__ import annotations

import pytest

import hubzarr as hub
from hubzarr.errors import ConflictError
from tests.datasets.support import again, create, fresh_url, numbers, row

POLICIES = ["raise", "ours", "theirs"]


@pytest.fixture
def pair():
    """Two handles of five rows."""
    ds = create(numbers=range(5))
    return again(ds), again(ds)


def settle(first, second, policy):
    """Commit the first, then the second; rows of both handles are the same afterwards."""
    first.commit("first")
    if policy == "raise":
        with pytest.raises(ConflictError, match=r"uniform.*commit\(conflict='ours'\)"):
            second.commit("second")
        second.discard()
        second.refresh()
    else:
        second.commit("second", conflict=policy)
    first.refresh()
    found = numbers(first)
    assert numbers(second) == numbers(again(first)) == found
    return found


def test_both_append(pair):
    a, b = pair
    a.append(row(10))
    b.append(row(20))
    b.append(row(21))
    a.commit("a")
    b.commit("b")
    a.refresh()
    assert numbers(a) == numbers(b) == [*range(5), 10, 20, 21]


def test_both_append_first_rows():
    ds = create()
    a, b = again(ds), again(ds)
    a.append(row(1))
    b.append(row(2, 7))
    a.commit("a")
    b.commit("b")
    assert numbers(again(ds)) == [1, 2]


def test_appends_while_the_other_updates(pair):
    a, b = pair
    a.append(row(10))
    b[1].update(row(30, 9))
    b.append(row(20))
    b[5].update(row(21, 1))
    a.commit("a")
    b.commit("b")
    a.refresh()
    assert numbers(a) == numbers(b) == [0, 30, 2, 3, 4, 10, 21]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("raise", [0, 1, 7, 3, 70]), ("ours", [0, 1, 9, 3, 70, 8]), ("theirs", [0, 1, 7, 3, 70, 8])],
)
def test_both_update_a_row(pair, policy, expected):
    a, b = pair
    a[2].update(row(7))
    a[4].update(row(70))
    b[2].update(row(9, 3))  # the shape of what `a` writes: elements could be mixed
    b.append(row(8))
    assert settle(a, b, policy) == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_parts_of_a_sample_never_mix(policy):
    ds = hub.empty(fresh_url())
    ds.create_tensor("x", dtype="int64", ragged=True)
    ds.x.extend([[0] * 6, [0] * 3])
    ds.commit("zeros")
    a, b = again(ds), again(ds)
    a.x[0][:3] = 1
    b.x[0][3:] = 2
    a.commit("a")
    if policy == "raise":
        with pytest.raises(ConflictError):
            b.commit("b")
        b.discard()
        return
    b.commit("b", conflict=policy)
    expected = [0, 0, 0, 2, 2, 2] if policy == "ours" else [1, 1, 1, 0, 0, 0]
    assert again(ds).x[0].numpy().tolist() == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_a_row_is_removed_before_others_are_appended(pair, policy):
    a, b = pair
    a.pop(1)
    b.append(row(8))
    a.commit("a")
    b.commit("b", conflict=policy)  # what is only appended meets no conflict
    assert numbers(b) == numbers(again(a)) == [0, 2, 3, 4, 8]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("raise", [0, 1, 2, 3, 4, 8]), ("ours", [0, 2, 3, 4]), ("theirs", [0, 1, 2, 3, 4, 8])],
)
def test_a_row_is_removed_after_others_were_appended(pair, policy, expected):
    a, b = pair
    a.append(row(8))
    b.pop(1)
    assert settle(a, b, policy) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("raise", [1, 2, 3, 4]), ("ours", [0, 1, 2, 33, 4]), ("theirs", [1, 2, 3, 4])],
)
def test_a_row_is_updated_whose_number_moved(pair, policy, expected):
    a, b = pair
    a.pop(0)
    b[3].update(row(33))
    assert settle(a, b, policy) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("raise", [1, 2, 3, 4]), ("ours", [0, 1, 3, 4]), ("theirs", [1, 2, 3, 4])],
)
def test_both_remove_rows(pair, policy, expected):
    a, b = pair
    a.pop(0)
    b.pop(2)
    assert settle(a, b, policy) == expected


def test_equal_rows_do_not_hide_that_rows_moved():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x").extend([7] * 5)
    ds.commit("sevens")
    a, b = again(ds), again(ds)
    a.x.pop(0)
    b.x[3] = 9
    a.commit("a")
    with pytest.raises(ConflictError, match="rows were removed"):
        b.commit("b")
    b.discard()


def test_info_changes_while_rows_are_removed(pair):
    a, b = pair
    a.pop(0)
    b.uniform.info["unit"] = "m"
    b.ragged.info["unit"] = "s"
    a.commit("a")
    b.commit("b")
    assert numbers(again(a)) == [1, 2, 3, 4]
    assert again(a).uniform.info["unit"] == "m"
    assert again(a).ragged.info["unit"] == "s"


# -- versions ---------------------------------------------------------------------


def diverged():
    ds = create(numbers=range(5))
    ds.checkout("dev", create=True)
    ds.append(row(8))
    ds[1].update(row(9))
    ds.commit("dev")
    main = again(ds)
    main.append(row(7))
    main[0].update(row(3, 7))
    return ds, main


def test_merge_of_versions():
    dev, main = diverged()
    main.commit("main")
    main.merge("dev")
    assert numbers(main) == numbers(again(main)) == [3, 9, 2, 3, 4, 7, 8]
    assert numbers(dev) == [0, 9, 2, 3, 4, 8]
    dev.merge("main")
    assert numbers(dev) == [3, 9, 2, 3, 4, 7, 8]


@pytest.mark.parametrize("policy", POLICIES)
def test_merge_of_versions_that_changed_a_row(policy):
    _, main = diverged()
    main[1].update(row(6))
    main.commit("main")
    if policy == "raise":
        with pytest.raises(ConflictError, match=r"uniform.*Nothing was merged"):
            main.merge("dev")
        assert numbers(main) == [3, 6, 2, 3, 4, 7]
        return
    main.merge("dev", conflict=policy)
    assert numbers(main) == numbers(again(main)) == [3, 6 if policy == "ours" else 9, 2, 3, 4, 7, 8]


# -- one side changes the form of a tensor ----------------------------------------------


def shapes(*samples, start=((0, 0),)):
    """Two handles; `x` holds samples of one shape, or nothing; then each appends one."""
    ds = hub.empty(fresh_url())
    ds.create_tensor("x", dtype="int64")
    ds.create_tensor("id", dtype="int64")
    for sample in start:
        ds.append({"x": sample, "id": 0})
    ds.commit("start")
    handles = [again(ds) for _ in samples]
    for number, (handle, sample) in enumerate(zip(handles, samples, strict=True), 1):
        handle.append({"x": sample, "id": number})
    return handles


def content(ds):
    found = again(ds)
    return [x.tolist() for x in found.x.numpy(aslist=True)], found.id.numpy().tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [([1, 1], [2, 2, 2]), ([1, 1, 1], [2, 2]), ([1], [2, 2, 2])],
    ids=["second", "first", "both"],
)
def test_a_tensor_becomes_ragged(first, second):
    a, b = shapes(first, second)
    b.info["note"] = b.x.info["note"] = "kept"
    a.commit("a")
    b.commit("b")
    assert content(a) == ([[0, 0], first, second], [0, 1, 2])
    a.refresh()
    assert a.x.numpy(aslist=True)[2].tolist() == second
    assert again(a).x.info["note"] == again(a).info["note"] == "kept"
    a.append({"x": [3], "id": 3})
    b.append({"x": [4, 4], "id": 4})
    b.commit("b")
    a.commit("a")
    assert content(a) == ([[0, 0], first, second, [4, 4], [3]], [0, 1, 2, 4, 3])


@pytest.mark.parametrize(
    ("first", "second"), [([1, 1], [2, 2, 2]), ([1, 1], [2, 2])], ids=["ragged", "alike"]
)
def test_two_first_samples(first, second):
    a, b = shapes(first, second, start=())
    a.commit("a")
    b.commit("b")
    assert content(a) == ([first, second], [1, 2])


def test_a_first_batch_is_ragged_on_one_side():
    a, b = shapes([1, 1], [2, 2], start=())
    b.extend({"x": [[3], [4, 4]], "id": [3, 4]})
    c = again(a)
    c.extend({"x": [[5], [6, 6]], "id": [5, 6]})
    a.commit("a")
    b.commit("b")
    c.commit("c")
    expected = [[1, 1], [2, 2], [3], [4, 4], [5], [6, 6]]
    assert content(a) == (expected, [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("converts", ["a", "b"])
def test_a_sample_is_updated_where_the_tensor_becomes_ragged(policy, converts):
    a, b = shapes([1, 1], [2, 2])
    a.x[0] = [7, 7, 7] if converts == "a" else [7, 7]
    b.x[0] = [8, 8] if converts == "a" else [8, 8, 8]
    expected = {"raise": a.x[0], "theirs": a.x[0], "ours": b.x[0]}[policy].numpy().tolist()
    a.commit("a")
    if policy == "raise":
        with pytest.raises(ConflictError, match="x: sample 0"):
            b.commit("b")
        b.discard()
        assert content(a) == ([expected, [1, 1]], [0, 1])
        return
    b.commit("b", conflict=policy)
    assert content(a) == ([expected, [1, 1], [2, 2]], [0, 1, 2])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_row_is_removed_where_the_tensor_becomes_ragged(policy):
    a, b = shapes([1, 1, 1], [2, 2])
    b.pop(0)
    a.commit("a")
    if policy == "raise":
        with pytest.raises(ConflictError, match="removed"):
            b.commit("b")
        b.discard()
        return
    b.commit("b", conflict=policy)
    if policy == "ours":
        assert content(a) == ([[2, 2]], [2])
    else:
        assert content(a) == ([[0, 0], [1, 1, 1]], [0, 1])


def test_merge_of_a_version_where_the_tensor_became_ragged():
    a, b = shapes([1, 1], [2, 2, 2])
    b.commit("ignored")
    a.checkout("dev", create=True)
    a.extend({"x": [[5], [6, 6]], "id": [5, 6]})
    a.commit("dev")
    b.refresh()
    b.merge("dev")
    xs, ids = content(b)
    assert sorted(zip(ids, xs, strict=True)) == [
        (0, [0, 0]), (1, [1, 1]), (2, [2, 2, 2]), (5, [5]), (6, [6, 6]),
    ]  # fmt: skip


def test_different_dtypes_are_a_conflict():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x")
    ds.commit("open")
    a, b = again(ds), again(ds)
    a.x.append([1, 2])
    b.x.append([1.5, 2.5])
    a.commit("a")
    with pytest.raises(ConflictError):
        b.commit("b")
    b.discard()
    assert again(ds).x.numpy().tolist() == [[1, 2]]


# -- names of classes ------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_both_sides_add_names_of_classes(many):
    ds = hub.empty(fresh_url())
    ds.create_tensor("x", htype="class_label", class_names=["a"], unknown="extend", ragged=many)
    ds.x.extend(["a", "a"])
    ds.commit("start")
    first, second = again(ds), again(ds)
    first.x.extend(["b", "c"])
    second.x.extend(["d", "c", "a"])
    second.x[1] = ["d", "b"] if many else "d"
    first.commit("first")
    second.commit("second")
    found = again(ds)
    assert found.x.info.class_names == ["a", "b", "c", "d"]
    changed = ["d", "b"] if many else "d"
    assert found.x.text() == second.x.text() == ["a", changed, "b", "c", "d", "c", "a"]


def test_names_of_classes_that_were_changed_are_a_conflict():
    ds = hub.empty(fresh_url())
    ds.create_tensor("x", htype="class_label", class_names=["a"], unknown="extend")
    ds.commit("start")
    first, second = again(ds), again(ds)
    first.x.info.class_names = ["z"]
    second.x.append("b")
    first.commit("first")
    with pytest.raises(ConflictError, match="class_names"):
        second.commit("second")
    second.discard()
