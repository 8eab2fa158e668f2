"""The machine that checks sessions against dense arrays, on S3 behind a faulty proxy.

It knows of no faults: whatever the proxy does, each step must end as the model says. After
each example the store is read past the proxy: every commit is there, and every byte right.
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from hubzarr.storage import open_storage
from tests.faults.conftest import BROKEN, WRONG
from tests.session.support import WriteOnce
from tests.session.test_machine import HistoryMachine

# Read on import: each test runs without HUBZARR_ variables.
EXAMPLES = int(os.environ.get("HUBZARR_TEST_FAULTY_EXAMPLES", "1"))
STEPS = 12


class Guarded(WriteOnce):
    """Looks past the proxy whether an object is stored twice."""

    def __init__(self, inner, clean):
        super().__init__(inner, is_local=False)
        self.clean = clean

    def _check(self, path, data):
        if not path.endswith("/latest") and not path.startswith("pages/"):
            assert not self.clean.exists(path), f"{path} was stored twice"


def machine_behind(server, options, direct):
    class FaultyMachine(HistoryMachine):
        def new_storage(self, local):
            url = server.url("root")
            self.clean = open_storage(url, direct)
            storage = Guarded(open_storage(url, server.options | options), self.clean)
            server.set(**BROKEN, **WRONG, jitter_ms=1, stall_rate=0.002)
            return storage

        def teardown(self):
            error = sys.exc_info()[1]
            errors.extend([error] if isinstance(error, Exception) else [])
            faults.update(server.record()["faults"])
            server.reset()
            self.storage = self.clean
            super().teardown()

    faults, errors = set(), []
    return FaultyMachine, faults, errors


@pytest.mark.timeout(0)
def test_sessions_under_faults(proxy, s3, options, direct):
    machine, faults, errors = machine_behind(proxy(s3), options, direct)
    few = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        phases={Phase.generate},
        derandomize=EXAMPLES < 10,
        database=None,
    )
    try:
        run_state_machine_as_test(machine, settings=few)
    except Exception as error:
        # Faults hit other requests when an example runs again: what is said of that is no help.
        raise (errors or [error])[0] from None
    assert {name.removesuffix("_rate") for name in BROKEN} <= faults
