"""Hypothesis profiles: `dev` explores anew on each run, `ci` gives the same answer every time."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

from tests.servers.fixtures import *  # noqa: F403 - what the module exports are fixtures

# Deadlines time single examples, which a loaded machine fails for no reason of ours. The fixture
# that gives each test its own root does so once per test, not per example: no example relies on it.
_COMMON = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("dev", max_examples=50, **_COMMON)
settings.register_profile("ci", max_examples=50, derandomize=True, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))

# Where tests run in the background Ctrl-C is ignored, and nothing that it ends could be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
