"""The photographs that scikit-image and scikit-learn carry inside their packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hubzarr.errors import UnsupportedError

__all__ = ["SIDE", "Picture", "fitted", "pictures"]

#: Height and width that all pictures get.
SIDE: Final = 512

#: Files inside ``skimage/data`` of every wheel; none of them is fetched from anywhere.
_SKIMAGE: Final = (
    "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png",
    "retina.jpg", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png", "color.png",
    "brick.png", "grass.png", "gravel.png", "moon.png", "coins.png", "camera.png",
    "cell.png", "page.png",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph, as it came and as it is stored."""

    title: str
    shape: tuple[int, ...]
    pixels: np.ndarray[Any, Any]


def pictures() -> Iterator[Picture]:
    """All photographs, made 512 × 512 × 3.

    Raises
    ------
    UnsupportedError
        A package that the demo needs is missing.
    """
    try:
        import matplotlib  # noqa: F401  # only to say now, not at the end, that it is missing
        from skimage import io
        from skimage.data import data_dir
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise UnsupportedError(
            f"the demo needs scikit-image, scikit-learn and matplotlib ({error}): "
            "pip install 'hubzarr[demo]'"
        ) from error
    from pathlib import Path

    samples = load_sample_images()
    for name, image in zip(samples.filenames, samples.images, strict=True):
        yield Picture(Path(name).stem, image.shape, fitted(image))
    for name in _SKIMAGE:
        path = Path(data_dir) / name
        if path.exists():  # other releases may carry other pictures
            image = io.imread(path)
            yield Picture(path.stem.replace("_", " "), image.shape, fitted(image))


def fitted(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The square in the middle, three channels, at the size of the demo."""
    from skimage import transform

    resize: Any = transform.resize  # carries no types

    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    image = image[..., :3]
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side == SIDE:
        return np.ascontiguousarray(square)
    larger = resize(square, (SIDE, SIDE), anti_aliasing=side > SIDE, preserve_range=True)
    return np.asarray(larger.round().clip(0, 255), dtype=np.uint8)
