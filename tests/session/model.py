"""What sessions and versions promise, said with dense arrays held in memory."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np

FILL = -1


@dataclass
class Node:
    """An array, or a group if `data` is None.

    `appended` counts the rows added by appending since the last commit; None after a resize
    of axis 0.
    """

    data: np.ndarray | None
    attributes: dict
    appended: int | None = 0

    def copy(self):
        data = None if self.data is None else self.data.copy()
        return Node(data, copy.deepcopy(self.attributes), self.appended)

    def same(self, other):
        if (self.data is None) != (other.data is None) or self.attributes != other.attributes:
            return False
        return self.data is None or np.array_equal(self.data, other.data)


def copied(nodes):
    return {path: node.copy() for path, node in nodes.items()}


def settled(nodes):
    out = copied(nodes)
    for node in out.values():
        node.appended = 0
    return out


@dataclass
class State:
    """A commit with the content that it left."""

    version: str
    number: int
    parent: State | None
    merged: State | None
    message: str | None
    kind: str
    nodes: dict
    #: Per path: shapes before and after, rows appended, made or removed.
    growth: dict = field(default_factory=dict)

    @property
    def address(self):
        return f"{self.version}@{self.number}"

    @property
    def depth(self):
        parents = [p.depth for p in (self.parent, self.merged) if p is not None]
        return max(parents, default=-1) + 1

    def ancestors(self):
        """All states that led here, by address, itself included."""
        out, waiting = {}, [self]
        while waiting:
            state = waiting.pop()
            if state is not None and state.address not in out:
                out[state.address] = state
                waiting += [state.parent, state.merged]
        return out

    def line(self):
        state = self
        while state is not None:
            yield state
            state = state.parent


def growth(old, new):
    """The summary of a commit, as far as appending is concerned."""
    out = {}
    for path in {*old, *new}:
        before, after = old.get(path), new.get(path)
        if before is None or after is None:
            out[path] = None
        elif after.data is not None and (before.data.shape != after.data.shape or after.appended):
            rows = after.data.shape[0] - before.data.shape[0]
            out[path] = (rows, after.appended or 0)
    return out


class Clash(Exception):
    """The merge has conflicts."""


def extended(data, shape):
    out = np.full(shape, FILL, data.dtype)
    inside = tuple(slice(min(a, b)) for a, b in zip(data.shape, shape, strict=True))
    out[inside] = data[inside]
    return out


def within(shape, outer):
    mask = np.zeros(outer, bool)
    mask[tuple(slice(n) for n in shape)] = True
    return mask


def merge_shapes(b, m, t, appended, policy):
    """The merged shape, and how many rows of mine move behind theirs."""
    if m == b:
        return t, 0
    if appended and m == (b[0] + appended, *b[1:]):
        if t == b:
            return m, 0
        if t[1:] == b[1:]:
            return t, appended
    if t in (b, m):
        return m, 0
    if all(x >= y for x, y in zip(m, b, strict=True)) and all(
        x >= y for x, y in zip(t, b, strict=True)
    ):
        return tuple(map(max, m, t)), 0
    if policy == "raise":
        raise Clash("shape")
    return (t if policy == "theirs" else m), 0


def merge_arrays(base, mine, theirs, appended, policy):
    """Merge by element; `mine` moves, `theirs` is what it is put on top of."""
    b, m, t = base.shape, mine.shape, theirs.shape
    shape, moved = merge_shapes(b, m, t, appended, policy)
    union = tuple(map(max, b, m, t, shape))
    x, y, z = (extended(data, union) for data in (base, mine, theirs))
    changed, other = y != x, z != x
    if moved:
        changed[b[0] :] = False
    outside = ~within(shape, union)
    if policy == "raise":
        if (changed & other & (y != z) & ~outside).any():
            raise Clash("elements")
        if (other & outside & (z != FILL)).any():
            raise Clash("cut off here")
        if (changed & outside & (y != FILL)).any():
            raise Clash("cut off there")
    if policy == "theirs":
        changed &= ~(other & (y != z))
    merged = extended(np.where(changed, y, z), shape)
    if moved:
        merged = np.concatenate([merged, mine[b[0] :]])
    return merged, moved


def merge_attributes(base, mine, theirs, policy):
    out = copy.deepcopy(theirs)
    for key in {*base, *mine}:
        b, m, t = base.get(key), mine.get(key), theirs.get(key)
        if m in (b, t):
            continue
        if t != b and policy == "raise":
            raise Clash("attribute")
        if t == b or policy == "mine":
            out[key] = m
            if m is None:
                del out[key]
    return out


def merge_node(base, mine, theirs, policy, rows):
    """Merge one node that `mine` changed; each may be None. `theirs` differs from `base`."""
    if mine is None or theirs is None:
        if mine is None and theirs is None:
            return None
        if policy == "raise":
            raise Clash("removed")
        return mine if policy == "mine" else theirs
    if base is None:
        if policy == "raise":
            raise Clash("created twice")
        return mine if policy == "mine" else theirs
    attributes = merge_attributes(base.attributes, mine.attributes, theirs.attributes, policy)
    if mine.data is None:
        return Node(None, attributes)
    data, moved = merge_arrays(base.data, mine.data, theirs.data, rows, policy)
    appended = moved or (rows if data.shape != theirs.data.shape else 0)
    return Node(data, attributes, appended)


def appended_rows(steps, path, before, after):
    """Rows appended along a way through the history; 0 if the array grew otherwise too."""
    if before[1:] != after[1:] or after[0] <= before[0]:
        return 0
    for state, second in steps:
        if second or path not in state.growth:
            continue
        found = state.growth[path]
        if found is None or found[0] != found[1]:
            return 0
    return after[0] - before[0]
