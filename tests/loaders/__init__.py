"""Loaders without a framework: order, steps, windows, batches."""
