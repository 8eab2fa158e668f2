"""Batches on their way to a device while earlier ones are in use."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import torch

from hubzarr.loaders.torch.leaves import mapped

__all__ = ["Arriving", "Mover", "arrived", "has_streams"]

#: Devices that copy beside what they compute.
_STREAMS: Final = ("cuda", "xpu")


def has_streams(device: torch.device | None) -> bool:
    """Whether copies to a device can go beside its work."""
    return device is not None and device.type in _STREAMS


class Arriving:
    """A batch whose copies were started, maybe not ended.

    Parameters
    ----------
    batch : object
        With tensors on the device.
    event : object
        Of the stream of the copies, behind them.
    device : torch.device
    """

    __slots__ = ("batch", "device", "event")

    def __init__(self, batch: Any, event: Any, device: torch.device) -> None:
        self.batch = batch
        self.event = event
        self.device = device


class Mover:
    """Moves batches to a device.

    Where the device has streams, copies go through one of their own, and the caller gets an
    `Arriving` at once; whoever uses the batch calls `arrived` first.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = None
        #: Memory that is copied from must stay as it is until the copy has ended.
        self._sources: deque[tuple[Any, Any]] = deque()

    def __call__(self, batch: Any) -> Any:
        """Start to move a batch."""
        if not has_streams(self._device):
            return mapped(batch, lambda one: one.to(self._device), torch.Tensor)
        module = getattr(torch, self._device.type)
        if self._stream is None:
            self._stream = module.Stream(device=self._device)
        with module.stream(self._stream):
            there = mapped(batch, self._begin, torch.Tensor)
            event = self._stream.record_event()
        self._sources.append((event, batch))
        while self._sources and self._sources[0][0].query():
            self._sources.popleft()
        return Arriving(there, event, self._device)

    def _begin(self, tensor: Any) -> Any:
        return tensor.to(self._device, non_blocking=True)


def arrived(batch: Any) -> Any:
    """The batch, which what the caller's stream does from now on can use.

    The device waits for the copies, not the caller.
    """
    if not isinstance(batch, Arriving):
        return batch
    stream = getattr(torch, batch.device.type).current_stream(batch.device)
    stream.wait_event(batch.event)
    # Their memory is not used again before that stream is done with them.
    mapped(batch.batch, lambda one: one.record_stream(stream), torch.Tensor)
    return batch.batch
