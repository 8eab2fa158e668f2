"""What workers have to know of a tensor, so that they can prepare its samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hubzarr.datasets.catalog import catalog_of
from hubzarr.datasets.entry import write_entry
from hubzarr.datasets.info import Info
from hubzarr.datasets.writing import large_or_prepared
from hubzarr.errors import SampleError
from hubzarr.htypes import TensorSpec, new_class_names, prepare_many, settled_by
from hubzarr.session import Session

__all__ = ["Plan", "plans_of", "settle"]


@dataclass(frozen=True)
class Plan:
    """A tensor's specification and names of classes.

    Parameters
    ----------
    path : str
        Of the tensor.
    spec : TensorSpec
        What its samples are.
    info : dict
        Facts about all of them.

    Examples
    --------
    >>> from hubzarr.htypes import tensor_spec
    >>> plan = Plan("labels", *tensor_spec("class_label", class_names=["cat", "dog"]))
    >>> plan.is_open, plan.prepare(["dog", "cat"])
    (False, array([1, 0], dtype=uint32))
    """

    path: str
    spec: TensorSpec
    info: dict[str, Any]

    @property
    def is_open(self) -> bool:
        """Whether samples decide on something, such as the dtype, so that their order counts."""
        spec = self.spec
        return (spec.dtype is None and spec.item_stores == "array") or spec.extends

    def prepare(self, samples: Sequence[Any], large: bool = False) -> Any:
        """Samples as they are stored; `large` ones among them may stay as they are."""
        try:
            if large:
                return [large_or_prepared(self.spec, sample, self.info) for sample in samples]
            return prepare_many(self.spec, samples, self.info)
        except SampleError as error:
            raise SampleError(f"tensor {self.path!r}: {error}", **error.fields) from error


def plans_of(session: Session, paths: Iterable[str]) -> dict[str, Plan]:
    """The plans for some tensors, by path."""
    with session.lock:
        entries = catalog_of(session).tensors
        return {path: Plan(path, entries[path].spec, _info(session, path)) for path in paths}


def _info(session: Session, path: str) -> dict[str, Any]:
    return dict((session.document(path) or {}).get("attributes", {}))


def settle(session: Session, path: str, samples: Sequence[Any]) -> Plan:
    """Let samples decide what a tensor left open; returns a plan that is good for them."""
    with session.lock:
        entry = catalog_of(session).tensors[path]
        spec = _settled(entry.spec, samples)
        if spec is not entry.spec:
            fields = {name: getattr(spec, name) for name in type(spec).__dataclass_fields__}
            write_entry(session, path, entry.with_spec(**fields))
        info = _info(session, path)
        new = new_class_names(spec, samples, info)
        if new:
            Info(session, path)["class_names"] = [*info.get("class_names", []), *new]
        return Plan(path, spec, _info(session, path))


def _settled(spec: TensorSpec, samples: Sequence[Any]) -> TensorSpec:
    for sample in samples:
        try:
            found = settled_by(spec, (sample,))
        except SampleError:
            continue  # it is told when it is prepared, with the number of its input
        if found is not spec:
            return found
    return spec
