"""Transforms: functions from samples to rows, run over many inputs, by many workers, in order."""

from __future__ import annotations

from hubzarr.computing.functions import ComputeFunction, Pipeline, compose, compute
from hubzarr.computing.report import ComputeReport, SkippedInput

__all__ = [
    "ComputeFunction",
    "ComputeReport",
    "Pipeline",
    "SkippedInput",
    "compose",
    "compute",
]
