"""The picture that the demo leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Comparison", "save_figure"]

type Comparison = tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any]]


def save_figure(
    path: Path,
    gallery: list[tuple[str, np.ndarray[Any, Any]]],
    changed: list[Comparison],
    titles: tuple[str, str, str],
) -> None:
    """Save pictures of version 0 above rows of before, after and difference.

    Parameters
    ----------
    path : Path
    gallery : list of (title, pixels)
    changed : list of (title, before, after)
    titles : tuple of str
        Of the gallery, of the column before, of the column after.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: a library must not touch the state of the caller's plots.
    columns = len(gallery) // 2
    figure = Figure(figsize=(11, 4.3 + 3.1 * len(changed)), layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=[4.3, 3.1 * len(changed)], hspace=0.03)
    upper, lower = parts
    upper.suptitle(titles[0], fontsize=12, fontweight="bold")
    for axes, (title, pixels) in zip(upper.subplots(2, columns).flat, gallery, strict=False):
        axes.imshow(pixels)
        axes.set_title(title, fontsize=8)
        axes.axis("off")
    lower.suptitle("What changed", fontsize=12, fontweight="bold")
    grid = lower.subplots(len(changed), 3, squeeze=False)
    for row, (title, before, after) in zip(grid, changed, strict=True):
        distance = np.abs(after.astype(np.int16) - before).max(axis=-1)
        row[0].imshow(before)
        row[0].set_title(f"{title} in {titles[1]}", fontsize=9)
        row[1].imshow(after)
        row[1].set_title(f"{title} in {titles[2]}", fontsize=9)
        shown = row[2].imshow(distance, cmap="magma", vmin=0, vmax=255)
        share = np.count_nonzero(distance) / distance.size
        row[2].set_title(f"difference: {share:.0%} of the pixels", fontsize=9)
        lower.colorbar(shown, ax=row[2], shrink=0.85)
        for axes in row:
            axes.axis("off")
    figure.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.15)
