"""Loaders for TensorFlow: samples as a ``tf.data.Dataset``."""

from __future__ import annotations

from hubzarr.loaders.tensorflow.loader import TensorflowLoader, load

__all__ = ["TensorflowLoader", "load"]
