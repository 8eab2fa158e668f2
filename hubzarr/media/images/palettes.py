"""Images with a palette as the numbers that they store: masks whose colours are for the eye."""

from __future__ import annotations

from typing import Any

import numpy as np

from hubzarr.media.images.with_pillow import open_image, pillow_errors

__all__ = ["palette_indices"]


def palette_indices(data: bytes) -> np.ndarray[Any, Any] | None:
    """Give the indices that an image with a palette stores, in place of its colours.

    Masks of segments are often PNG files like that, those of Pascal VOC for one: the
    index is the class.

    Parameters
    ----------
    data : bytes
        An image file of any format.

    Returns
    -------
    numpy.ndarray or None
        ``(H, W)`` of uint8, as stored; None if the image has no palette.

    Raises
    ------
    SampleError
        The file is broken.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from PIL import Image
    >>> from hubzarr.media.images.palettes import palette_indices
    >>> mask = Image.fromarray(np.array([[0, 1], [1, 2]], "u1"))
    >>> mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    >>> file = io.BytesIO()
    >>> mask.save(file, "PNG")
    >>> palette_indices(file.getvalue()).tolist()
    [[0, 1], [1, 2]]
    """
    with pillow_errors(), open_image(data) as image:
        if image.mode != "P":
            return None
        image.load()
        if image.mode != "P":  # GIF may turn to RGB on loading
            return None
        return np.array(image, np.uint8)
