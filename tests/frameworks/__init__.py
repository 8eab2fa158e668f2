"""Tests that need PyTorch, TensorFlow or JAX; each module skips itself where its one is missing."""
