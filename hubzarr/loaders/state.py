"""How far an epoch has come, as a small document that any rank can go on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from hubzarr.errors import InvalidError, InvalidTypeError
from hubzarr.loaders.running import Reading

__all__ = ["resumed", "state_of"]

#: Version of the document.
STATE: Final = 1


def state_of(reading: Reading, epoch: int, position: int) -> dict[str, Any]:
    """The document for a position of an epoch: a dict of a few numbers and strings."""
    options = reading.options
    return {
        "version": STATE,
        "commit": reading.source.commit,
        "length": len(reading.source),
        "seed": options.seed,
        "epoch": epoch,
        "position": position,
        "shuffle": options.shuffle,
        "window": reading.window,
        "order": reading.fingerprint,
    }


def resumed(reading: Reading, state: Mapping[str, Any]) -> tuple[Reading, int, int]:
    """The reading with seed and window of a state, and the state's epoch and position.

    Raises
    ------
    InvalidError
        It is of other data or of another order, in which "the rest" would be other samples.
    """
    _check_state(state)
    changes = {"seed": state["seed"]}
    if state["shuffle"] == "window":
        changes["window"] = state["window"]
    found = Reading(reading.source, replace(reading.options, **changes), reading.to)
    mine = {
        "commit": found.source.commit, "length": len(found.source),
        "shuffle": found.options.shuffle, "order": found.fingerprint,
    }  # fmt: skip
    for key, value in mine.items():
        if state[key] != value:
            raise InvalidError(
                f"the state is of a loader with {key} {state[key]!r}, this one has {value!r}: "
                f"{_ADVICE[key]}"
            )
    return found, int(state["epoch"]), int(state["position"])


_ADVICE: Final = {
    "commit": "open the dataset at that commit, as in hub.load(name@commit id), to go on",
    "length": "select the same rows",
    "shuffle": "give it the same shuffle",
    "order": "it needs the same rows in the same order, and tensors that are as heavy",
}
_KEYS: Final[dict[str, type]] = {
    "commit": str, "length": int, "seed": int, "epoch": int, "position": int, "shuffle": str,
    "window": int, "order": str,
}  # fmt: skip


def _check_state(state: Any) -> None:
    if not isinstance(state, Mapping):
        raise InvalidTypeError(f"a state is a dict from state_dict(), not {type(state).__name__}")
    if "version" not in state:
        raise InvalidError(
            "this is no state of a loader, which has a version: expected what state_dict() gave, "
            f"not a dict with {', '.join(map(repr, state)) or 'nothing in it'}"
        )
    if state["version"] != STATE:
        raise InvalidError(
            f"a state of version {state['version']!r}; this release reads version {STATE}"
        )
    for key, kind in _KEYS.items():
        if not isinstance(state.get(key), kind):
            raise InvalidError(f"the state has no {key}, or not as {kind.__name__}")
    if not 0 <= state["position"] <= state["length"] or state["epoch"] < 0:
        raise InvalidError(
            f"the state is at position {state['position']} of {state['length']} in epoch "
            f"{state['epoch']}: it was not made by state_dict()"
        )
