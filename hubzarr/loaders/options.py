"""What a loader was asked for, checked before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final

import numpy as np

from hubzarr.errors import InvalidError, InvalidTypeError, NotFoundError
from hubzarr.loaders.order import Shuffle
from hubzarr.loaders.source import Source

__all__ = ["Options", "boolean", "checked"]

RAGGED: Final = ("stack", "pad", "list", "nested")
ON_ERROR: Final = ("raise", "skip", "replace")
FORMS: Final = ("dict", "tuple")
SHUFFLES: Final[dict[Any, Shuffle]] = {
    False: "none", None: "none", "none": "none", True: "window", "window": "window", "full": "full",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a loader does; `hubzarr.loaders.Loader` says what each one means."""

    batch_size: int | None = 32
    tensors: tuple[str, ...] = ()
    shuffle: Shuffle = "none"
    seed: int = 0
    window: int | None = None
    drop_last: bool = False
    pad: bool = False
    ragged: str | Mapping[str, str] = "stack"
    fill: Any = 0
    transform: Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    decode: bool | Mapping[str, bool] = True
    return_index: bool = False
    form: str = "dict"
    on_error: str = "raise"
    prefetch: int = 2
    rank: int = 0
    world_size: int = 1

    def how(self, name: str) -> str:
        """How samples of a tensor that differ in shape make a batch."""
        if isinstance(self.ragged, str):
            return self.ragged
        return self.ragged.get(name, "stack")

    def decodes(self, name: str) -> bool:
        """Whether samples of a tensor are decoded."""
        return self.decode if isinstance(self.decode, bool) else self.decode.get(name, True)

    def filling(self, name: str) -> Any:
        """What samples of a tensor are padded with."""
        return self.fill.get(name, 0) if isinstance(self.fill, Mapping) else self.fill

    @property
    def names(self) -> tuple[str, ...]:
        """Keys of a batch."""
        return (*self.tensors, "index") if self.return_index else self.tensors


def checked(source: Source, given: Mapping[str, Any], also: Iterable[str] = ()) -> Options:
    """Options from arguments.

    Parameters
    ----------
    source : Source
    given : mapping
    also : iterable of str
        Options that the caller has taken out already; for the message on an unknown one.

    Raises
    ------
    InvalidError, InvalidTypeError, NotFoundError
        One of them is wrong.
    """
    _check_names(given, also)
    options: dict[str, Any] = {one.name: one.default for one in fields(Options)}
    options |= given
    options["tensors"] = _tensors(source, given.get("tensors"))
    for name, least in _INTEGERS.items():
        options[name] = _integer(name, options[name], least)
    for name in ("drop_last", "pad", "return_index"):
        options[name] = boolean(name, options[name])
    rank, world = options["rank"], options["world_size"]
    if rank >= world:
        raise InvalidError(
            f"rank={rank} of world_size={world}: ranks are numbered from 0 to {world - 1}"
        )
    options["shuffle"] = _shuffle(options["shuffle"])
    if options["drop_last"] and options["pad"]:
        raise InvalidError("drop_last leaves the last samples out, pad adds some: give one of them")
    if options["form"] not in FORMS:
        raise InvalidError(f"form={options['form']!r}: expected one of {_listed(FORMS)}")
    if options["on_error"] not in ON_ERROR:
        raise InvalidError(f"on_error={options['on_error']!r}: expected one of {_listed(ON_ERROR)}")
    _check_by_tensor(options)
    _check_collate(options)
    if options["return_index"] and "index" in options["tensors"] and not source.single:
        raise InvalidError(
            "return_index=True adds 'index' to the batch, and there is a tensor of that name: "
            "leave it out by tensors=[...], or rename it"
        )
    return Options(**options)


def _check_collate(options: Mapping[str, Any]) -> None:
    collate = options["collate"]
    if collate is None:
        return
    if not callable(collate):
        raise InvalidTypeError(f"collate={collate!r}: expected a function of a list of samples")
    if options["batch_size"] is None:
        raise InvalidError("collate makes batches, and batch_size=None asks for samples one by one")


def _check_names(options: Mapping[str, Any], also: Iterable[str]) -> None:
    known = [*(one.name for one in fields(Options)), *also]
    for name in options:
        if name not in known:
            raise InvalidTypeError(f"a loader has no option {name!r}: {_hint(name, known)}")


def _hint(name: str, known: list[str]) -> str:
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else f"options are {', '.join(known)}"


#: Options that other loaders have, and what there is instead.
_ELSEWHERE: Final = {
    "batch_sampler": "hubzarr.loaders.torch.MapDataset takes samplers, in a DataLoader of PyTorch",
    "buffer_size": "shuffle=True mixes in a window of window= samples",
    "collate_fn": "collate= takes one; for shapes that differ, ragged= may do",
    "decode_method": "decode={name: False} gives the stored bytes instead of arrays",
    "generator": "the order is that of seed=",
    "num_epochs": "each loop over the loader is one epoch",
    "num_workers": "threads read and decode; ds.pytorch has worker processes, too",
    "persistent_workers": "workers stay for the next epoch anyway",
    "prefetch_factor": "prefetch= is the number of batches that are made ahead",
    "sampler": (
        "ds[rows] selects, ds.sample_by(weights) draws; hubzarr.loaders.torch.MapDataset takes "
        "samplers, in a DataLoader of PyTorch"
    ),
    "tobytes": "decode={name: False} gives the stored bytes",
}


def _tensors(source: Source, given: Any) -> tuple[str, ...]:
    known = [field.name for field in source.fields]
    if given is None:
        chosen = known
    elif isinstance(given, str):
        chosen = [given]
    elif isinstance(given, Iterable):
        chosen = list(given)
    else:
        raise InvalidTypeError(f"tensors={given!r}: expected a list of names")
    for name in chosen:
        if name not in known:
            raise NotFoundError(f"no tensor {name!r}: there are {_listed(known)}")
        if chosen.count(name) > 1:
            raise InvalidError(f"tensors names {name!r} more than once")
    if not chosen:
        raise InvalidError("nothing to load: there is no tensor, or tensors=[] names none")
    return tuple(chosen)


def _shuffle(given: Any) -> Shuffle:
    found = SHUFFLES.get(given) if isinstance(given, bool | str | None) else None
    if found is None:
        raise InvalidError(f"shuffle={given!r}: expected True, False, 'window' or 'full'")
    return found


#: Options that are integers, and the least that makes sense.
_INTEGERS: Final = {
    "batch_size": 1, "window": 1, "prefetch": 0, "world_size": 1, "rank": 0, "seed": None,
}  # fmt: skip


def _integer(name: str, value: Any, least: int | None) -> int | None:
    if value is None and name in ("batch_size", "window"):
        return None
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise InvalidTypeError(f"{name}={value!r}: expected an integer")
    found: int = value.__index__()
    if least is not None and found < least:
        raise InvalidError(f"{name}={found}: expected at least {least}")
    return found


def boolean(name: str, value: Any) -> bool:
    """A switch, or an error that names it."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidTypeError(f"{name}={value!r}: expected True or False")
    return bool(value)


def _check_by_tensor(options: Mapping[str, Any]) -> None:
    """Options that may be given for each tensor."""
    names, transform = options["tensors"], options["transform"]
    for key, (is_right, expected) in _BY_TENSOR.items():
        given = options[key]
        by_name = given if isinstance(given, Mapping) else {"": given}
        for one in by_name.values():
            if not is_right(one):
                raise (InvalidError if isinstance(one, str) else InvalidTypeError)(
                    f"{key}={one!r}: expected {expected}, or such by tensor"
                )
        # A function of whole samples may give others than those that are loaded.
        if isinstance(given, Mapping) and not (key in ("ragged", "fill") and callable(transform)):
            for name in given:
                if name not in names:
                    raise NotFoundError(f"{key} names {name!r}; loaded are {_listed(names)}")


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"


#: Options that may differ by tensor: what is right, and how to say it.
_BY_TENSOR: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "ragged": (lambda one: isinstance(one, str) and one in RAGGED, f"one of {_listed(RAGGED)}"),
    "fill": (
        lambda one: isinstance(one, bool | int | float | complex | np.generic),
        "a number",
    ),
    "decode": (lambda one: isinstance(one, bool), "True or False"),
    "transform": (lambda one: one is None or callable(one), "a function of a sample"),
}
