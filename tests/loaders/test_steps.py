"""Steps and plans: each sample goes to one reader, and a few numbers say how far all have come."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubzarr.loaders.order import Blocks, Order
from hubzarr.loaders.steps import Plan, Steps

SHUFFLES = ("none", "window", "full")
ENDS = [{}, {"drop_last": True}, {"pad": True}]


@st.composite
def orders(draw, longest=120):
    blocks = Blocks.regular(draw(st.integers(0, longest)), draw(st.integers(1, 20)))
    window = draw(st.integers(1, 150))
    return Order(blocks, draw(st.sampled_from(SHUFFLES)), 3, draw(st.integers(0, 2)), window)


def joined(lists):
    return list(chain.from_iterable(lists))


def readers(order, steps, workers=1):
    """Plans of all readers, by rank and worker."""
    return [
        [Plan(order, steps, rank, worker, workers) for worker in range(workers)]
        for rank in range(steps.world)
    ]


def taken(plans, step):
    """What each rank takes in a step, in whichever worker it falls."""
    number, worker = divmod(step, len(plans[0]))
    return [of_rank[worker].positions(number).tolist() for of_rank in plans]


def rest_of(order, steps, workers=1):
    """Positions that all readers take together, step by step."""
    plans = readers(order, steps, workers)
    for of_rank in plans:
        assert sum(plan.count for plan in of_rank) == steps.count
    return [taken(plans, step) for step in range(steps.count)]


batches = st.integers(1, 12)
worlds = st.integers(1, 7)
crews = st.integers(1, 4)


# -- exactly once --------------------------------------------------------------------------


@given(order=orders(), batch=batches, world=worlds, workers=crews, data=st.data())
def test_each_position_goes_to_one_reader(order, batch, world, workers, data):
    start = data.draw(st.integers(0, order.length))
    steps = Steps(order.length, batch, world, start)
    seen = start
    for number, by_rank in enumerate(rest_of(order, steps, workers)):
        together = sorted(joined(by_rank))
        # What was consumed is always a beginning of the order.
        assert together == list(range(seen, seen + len(together)))
        seen += len(together)
        assert steps.consumed(number + 1) == seen
        assert max(map(len, by_rank)) <= batch
        if batch > 1 and order.length - start >= world:
            assert min(map(len, by_rank)) >= 1  # nobody waits for the others in vain
        assert max(map(len, by_rank)) - min(map(len, by_rank)) <= 1
    assert seen == order.length


@given(order=orders(), batch=batches, world=worlds, workers=crews, data=st.data())
def test_drop_last_leaves_out_less_than_a_step(order, batch, world, workers, data):
    start = data.draw(st.integers(0, order.length))
    steps = Steps(order.length, batch, world, start, drop_last=True)
    found = rest_of(order, steps, workers)
    assert all(len(one) == batch for by_rank in found for one in by_rank)
    together = sorted(joined(map(joined, found)))
    assert together == list(range(start, start + len(together)))
    assert order.length - start - len(together) < batch * world


@given(order=orders(), batch=batches, world=worlds, workers=crews, data=st.data())
@example(Order(Blocks.regular(3, 1), "none", 0, 0, 2), 12, 7, 1, None)
def test_pad_fills_up_from_the_beginning(order, batch, world, workers, data):
    start = data.draw(st.integers(0, order.length)) if data else 0
    steps = Steps(order.length, batch, world, start, pad=True)
    found = rest_of(order, steps, workers)
    assert all(len(one) == batch for by_rank in found for one in by_rank)
    together = sorted(joined(map(joined, found)))
    more = -(order.length - start) % (batch * world)
    wrapped = [i % order.length for i in range(more)] if found else []
    assert together == sorted([*range(start, order.length), *wrapped])
    assert steps.consumed(steps.count) == order.length


@given(order=orders(), data=st.data(), drop=st.booleans())
def test_another_crew_goes_on_where_one_stopped(order, data, drop):
    """Nothing is lost or doubled over several changes of world, batch and workers."""
    position, seen = 0, []
    for _ in range(data.draw(st.integers(1, 4))):
        steps = Steps(order.length, data.draw(batches), data.draw(worlds), position)
        done = data.draw(st.integers(0, steps.count))
        for by_rank in rest_of(order, steps, data.draw(crews))[:done]:
            seen += joined(by_rank)
        position = steps.consumed(done)
        assert sorted(seen) == list(range(position))
    steps = Steps(order.length, data.draw(batches), data.draw(worlds), position)
    seen += joined(map(joined, rest_of(order, steps)))
    assert sorted(seen) == list(range(order.length))
    rows = order.rows(0, order.length)[seen]
    assert sorted(rows.tolist()) == list(range(order.length))


@given(order=orders(), batch=batches, world=worlds, workers=crews)
def test_workers_change_nothing(order, batch, world, workers):
    steps = Steps(order.length, batch, world)
    assert rest_of(order, steps, workers) == rest_of(order, steps)


# -- what is read --------------------------------------------------------------------------


@given(
    order=orders(), batch=batches, world=worlds, workers=crews, data=st.data(),
    end=st.sampled_from(["", "drop_last", "pad"]),
)  # fmt: skip
def test_readers_want_what_they_take(order, batch, world, workers, data, end):
    start = data.draw(st.integers(0, order.length))
    steps = Steps(order.length, batch, world, start, **({end: True} if end else {}))
    for plan in joined(readers(order, steps, workers)):
        positions = [plan.positions(number) for number in range(plan.count)]
        expected = np.zeros(order.length, np.bool_)
        expected[np.concatenate([np.zeros(0, np.int64), *positions])] = True
        wanted = [plan.wanted(window) for window in range(order.count)]
        assert np.concatenate([np.zeros(0, np.bool_), *wanted]).tolist() == expected.tolist()


@given(order=orders(), batch=batches, world=worlds)
def test_batches_come_in_the_order_of_the_epoch(order, batch, world):
    steps = Steps(order.length, batch, world)
    for by_rank in rest_of(order, steps):
        for positions in by_rank:
            assert positions == sorted(positions)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_read_apart(world):
    """Each rank takes samples from its own part of a window, so that it reads few blocks."""
    order = Order(Blocks.regular(4096, 16), "window", 1, 0, 2048)
    steps = Steps(4096, 64, world)
    blocks_read = []
    for rank in range(world):
        plan = Plan(order, steps, rank)
        rows = [order.at(w).rows[order.at(w).picks[plan.wanted(w)]] for w in range(order.count)]
        blocks_read.append(len(np.unique(np.concatenate(rows) // 16)))
    assert max(blocks_read) < 1.5 * 256 / world


# -- steps ---------------------------------------------------------------------------------


def test_the_last_steps_share_when_few_are_left():
    assert [Steps(17, 4, 2).bounds(k) for k in range(3)] == [(0, 8), (8, 15), (15, 17)]
    assert [Steps(18, 4, 2).bounds(k) for k in range(3)] == [(0, 8), (8, 16), (16, 18)]
    assert [Steps(17, 4, 2, pad=True).bounds(k) for k in range(3)] == [(0, 8), (8, 16), (16, 24)]
    assert Steps(17, 4, 2, drop_last=True).count == 2


@given(order=orders(), batch=batches, world=worlds, end=st.sampled_from(ENDS))
def test_ranks_know_how_many_batches_they_have(order, batch, world, end):
    steps = Steps(order.length, batch, world, **end)
    taken = rest_of(order, steps)
    for rank in range(world):
        assert steps.of_rank(rank) == sum(bool(parts[rank]) for parts in taken)


@pytest.mark.parametrize("end", ENDS)
def test_no_samples_no_steps(end):
    assert Steps(0, 4, 2, **end).count == 0
    assert Steps(10, 4, 2, start=10, **end).count == 0
    assert Steps(0, 4, 2, **end).consumed(0) == Steps(0, 4, 2, **end).of_rank(1) == 0
    order = Order(Blocks.regular(0, 4), "window", 0, 0, 4)
    assert order.count == 0
    assert Plan(order, Steps(0, 4, 2, **end), 1).count == 0
