"""Two people with copies of their own share a place: nobody's commits are ever lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import hubzarr as hub
from hubzarr.codecs import array_document
from hubzarr.errors import ConflictError
from hubzarr.history.heads import head
from hubzarr.session import create_repository, open_session
from hubzarr.session.branching import log, merge
from hubzarr.storage import open_storage
from tests.session.support import content, write
from tests.transfer.support import check_whole, fresh_url

WHO = st.sampled_from(["ann", "bob"])


def alive(storage, version):
    newest = head(storage, version)
    return newest is not None and newest.commit.state != "deleted"


def ids(storage, version):
    return [c.id for c in reversed(log(open_session(storage, version, mode="r"), syncs=True))]


def together(a, b):
    """Whether one line of commits goes on from the other."""
    return a[: len(b)] == b[: len(a)]


class Rivals(RuleBasedStateMachine):
    """``main`` is pushed and pulled while it fits, else under one's own name, and merged."""

    @initialize()
    def start(self):
        self.urls = {who: fresh_url(who) for who in ("shared", "ann", "bob")}
        self.stores = {who: open_storage(url) for who, url in self.urls.items()}
        document = array_document((8, 2), "i4", (2, 2))
        create_repository(self.stores["shared"], "main", document, author="shared")
        for who in ("ann", "bob"):
            hub.clone(self.urls["shared"], self.urls[who])

    @rule(who=st.sampled_from(["shared", "ann", "bob"]), row=st.integers(0, 7))
    def commit(self, who, row):
        session = open_session(self.stores[who], "main", author=who)
        write(session, row, session.manifest.commit.number)
        session.commit(f"row {row}")

    @rule(who=WHO, pulls=st.booleans())
    def bring(self, who, pulls):
        mine, shared = (ids(self.stores[name], "main") for name in (who, "shared"))
        act = hub.pull if pulls else hub.push
        if not together(mine, shared):
            with pytest.raises(ConflictError, match="the last commit in common is main@"):
                act(f"{self.urls[who]}:main", self.urls["shared"])
            assert [ids(self.stores[name], "main") for name in (who, "shared")] == [mine, shared]
            return
        done = act(f"{self.urls[who]}:main", self.urls["shared"])
        source, target = (shared, mine) if pulls else (mine, shared)
        longer = max(len(source), len(target))
        assert done.versions["main"] == (len(target) - 1, longer - 1)
        assert ids(self.stores[who if pulls else "shared"], "main") == max(source, target, key=len)

    @rule(who=WHO)
    def push_as_mine(self, who):
        before = ids(self.stores["shared"], "main")
        hub.push(f"{self.urls[who]}:main", f"{self.urls['shared']}:{who}")
        assert hub.push(f"{self.urls[who]}:main", f"{self.urls['shared']}:{who}").commits == 0
        assert ids(self.stores["shared"], "main") == before
        assert ids(self.stores["shared"], who) == ids(self.stores[who], "main")
        np.testing.assert_array_equal(
            content(self.stores["shared"], who), content(self.stores[who], "main")
        )

    @rule(who=WHO)
    def merge_mine(self, who):
        if alive(self.stores["shared"], who):
            session = open_session(self.stores["shared"], "main", author="shared")
            merge(session, who, "theirs")

    @rule(who=WHO)
    def start_anew(self, who):
        """A new clone, of everything; the old one's commits may have been merged or not."""
        self.urls[who] = fresh_url(who)
        self.stores[who] = open_storage(self.urls[who])
        hub.clone(self.urls["shared"], self.urls[who], versions=["main"])
        if alive(self.stores["shared"], who):
            hub.delete(f"{self.urls['shared']}:{who}")

    def teardown(self):
        for storage in getattr(self, "stores", {}).values():
            check_whole(storage)


TestRivals = Rivals.TestCase
TestRivals.settings = settings(
    max_examples=max(10, settings.default.max_examples // 3),
    stateful_step_count=20,
    phases=set(Phase) - {Phase.explain},
)
