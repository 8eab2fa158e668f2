"""Which shapes the samples of an htype may have, and the one shape each is kept in.

A rule takes the shape of a sample and gives the shape it is kept in, or raises
`SampleError`. It may add or drop axes of length 1, and turns an empty list, which NumPy
gives the shape (0,), into an empty sample with the axes of the others. Rules never look at
elements, so one call serves a batch of samples of one shape, and a file by its header.
"""

from __future__ import annotations

from collections.abc import Callable

from hubzarr.errors import SampleError

__all__ = [
    "Shape",
    "any_shape",
    "audio",
    "boxes",
    "boxes_3d",
    "gray_image",
    "image",
    "keypoints",
    "matrix_3x3",
    "of_ndim",
    "points",
    "rgb_image",
]

type Shape = tuple[int, ...]


def _refuse(shape: Shape, expected: str) -> SampleError:
    return SampleError(f"sample of shape {shape}; expected {expected}", shape=shape)


def any_shape(shape: Shape) -> Shape:
    """Take every shape."""
    return shape


def of_ndim(*ndims: int, expected: str) -> Callable[[Shape], Shape]:
    """Make the rule that takes shapes with some numbers of axes.

    Parameters
    ----------
    *ndims : int
        Numbers of axes, the usual one first.
    expected : str
        The shapes in words, for the error.

    Returns
    -------
    callable
        The rule.
    """
    empty = (0,) * ndims[0]

    def rule(shape: Shape) -> Shape:
        if len(shape) in ndims:
            return shape
        if shape == (0,):
            return empty
        raise _refuse(shape, expected)

    return rule


def image(shape: Shape) -> Shape:
    """(height, width) and (height, width, channels): always kept with channels."""
    if len(shape) == 3:
        return shape
    if len(shape) == 2:
        return (*shape, 1)
    if shape == (0,):
        return (0, 0, 0)
    raise _refuse(shape, "an image: (height, width) or (height, width, channels)")


def rgb_image(shape: Shape) -> Shape:
    """(height, width, 3)."""
    if len(shape) == 3 and shape[2] == 3:
        return shape
    if shape == (0,):
        return (0, 0, 3)
    raise _refuse(shape, "an RGB image: (height, width, 3)")


def gray_image(shape: Shape) -> Shape:
    """(height, width)."""
    if len(shape) == 2:
        return shape
    if len(shape) == 3 and shape[2] == 1:
        return shape[:2]
    if shape == (0,):
        return (0, 0)
    raise _refuse(shape, "a grey image: (height, width)")


def boxes(shape: Shape) -> Shape:
    """(boxes, 4); one box may come without its first axis."""
    if len(shape) == 2 and shape[1] == 4:
        return shape
    if shape == (4,):
        return (1, 4)
    if shape in ((0,), (1, 0)):
        return (0, 4)
    raise _refuse(shape, "boxes: (number of boxes, 4)")


def boxes_3d(shape: Shape) -> Shape:
    """(boxes, 7 to 10) for centre, size and rotation; (boxes, 8, 3) for eight corners."""
    if len(shape) == 2 and 7 <= shape[1] <= 10:
        return shape
    if len(shape) == 3 and shape[1:] == (8, 3):
        return shape
    if shape == (0,):
        return (0, 7)
    raise _refuse(
        shape,
        "3-D boxes: (number of boxes, 7 to 10), which are centre, size and rotation, "
        "or (number of boxes, 8, 3), which are corners",
    )


def keypoints(shape: Shape) -> Shape:
    """(3 K, objects): x, y and visibility of K keypoints, one column for each object."""
    if len(shape) == 2 and shape[0] % 3 == 0:
        return shape
    if len(shape) == 1 and shape[0] % 3 == 0:
        return (shape[0], 1) if shape[0] else (0, 0)
    raise _refuse(
        shape, "keypoints: (3 × number of keypoints, number of objects), rows x, y, visibility, …"
    )


def points(shape: Shape) -> Shape:
    """(points, 2 or 3); one point may come without its first axis."""
    if len(shape) == 2 and shape[1] in (2, 3):
        return shape
    if shape in ((2,), (3,)):
        return (1, *shape)
    if shape == (0,):
        return (0, 2)
    raise _refuse(shape, "points: (number of points, 2 or 3)")


def matrix_3x3(shape: Shape) -> Shape:
    """(3, 3)."""
    if shape == (3, 3):
        return shape
    raise _refuse(shape, "a matrix of 3 × 3")


def audio(shape: Shape) -> Shape:
    """(samples, channels); mono may come without its channel axis."""
    if len(shape) == 2:
        return shape
    if len(shape) == 1:
        return (shape[0], 1)
    raise _refuse(shape, "audio: (samples, channels)")
