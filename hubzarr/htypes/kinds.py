"""The table of htypes: what the samples of each are and how they are kept.

An htype is written ``name``, ``sequence[name]`` (a list of samples in one row),
``link[name]`` (the URL of a sample) or ``sequence[link[name]]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hubzarr.htypes import shapes
from hubzarr.htypes.shapes import Shape, of_ndim

__all__ = ["HTYPES", "Htype"]

_INTEGERS = "ui"
_NUMBERS = "uif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Htype:
    """One htype.

    Attributes
    ----------
    name : str
        As in ``htype="bbox"``.
    picture : str
        One character for it in a summary.
    sample : str
        What a sample is, in words.
    stores : str
        How a sample is kept when it is not kept as a file: ``"array"``, ``"text"``,
        ``"json"`` or ``"sequence"``.
    dtype : str or None
        Default dtype; None: that of the first sample, or of each file.
    kinds : str
        Kinds of dtype that are possible, as in `numpy.dtype.kind`; empty: all.
    fit : callable
        Rule for shapes.
    ndim : int or None
        Number of axes of a sample, where all have the same.
    files : str or None
        Kind of file formats that a sample may be kept as; ``"any"``: all kinds.
    more_formats : tuple of str
        Formats of other kinds that will do.
    compression : str or None
        Default sample compression.
    needs_compression : bool
        Whether the user has to choose one, because samples come as files of many formats.
    info : mapping
        Facts about all samples that users give and see, with defaults.
    """

    name: str
    picture: str
    sample: str
    stores: str = "array"
    dtype: str | None = None
    kinds: str = ""
    fit: Callable[[Shape], Shape] = shapes.any_shape
    ndim: int | None = None
    files: str | None = None
    more_formats: tuple[str, ...] = ()
    compression: str | None = None
    needs_compression: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


_IMAGES: dict[str, Any] = {"dtype": "uint8", "files": "image"}

_ALL = (
    Htype(name="generic", picture="▪", sample="array of any shape and dtype", files="any"),
    Htype(
        name="image",
        picture="▦",
        sample="image (height, width, channels)",
        fit=shapes.image,
        ndim=3,
        **_IMAGES,
    ),
    Htype(
        name="image.rgb",
        picture="▦",
        sample="RGB image (height, width, 3)",
        fit=shapes.rgb_image,
        ndim=3,
        **_IMAGES,
    ),
    Htype(
        name="image.gray",
        picture="▦",
        sample="grey image (height, width)",
        fit=shapes.gray_image,
        ndim=2,
        **_IMAGES,
    ),
    Htype(
        name="class_label",
        picture="●",
        sample="class number or name, or a list of them",
        dtype="uint32",
        kinds=_INTEGERS,
        fit=of_ndim(0, 1, expected="a class label or a list of class labels"),
        info={"class_names": ()},
    ),
    Htype(name="tag", picture="#", sample="list of strings", stores="json", ndim=1),
    Htype(
        name="bbox",
        picture="▭",
        sample="boxes (number, 4)",
        dtype="float32",
        kinds=_NUMBERS,
        fit=shapes.boxes,
        ndim=2,
        info={"coords": {}},
    ),
    Htype(
        name="bbox.3d",
        picture="▱",
        sample="3-D boxes (number, 7 to 10) or (number, 8, 3)",
        dtype="float32",
        kinds=_NUMBERS,
        fit=shapes.boxes_3d,
        info={"coords": {}},
    ),
    Htype(
        name="video",
        picture="▶",
        sample="video (frames, height, width, 3)",
        dtype="uint8",
        fit=of_ndim(4, expected="a video: (frames, height, width, channels)"),
        ndim=4,
        files="video",
        needs_compression=True,
    ),
    Htype(
        name="binary_mask",
        picture="◧",
        sample="mask (height, width) or (height, width, masks)",
        dtype="bool",
        kinds="b",
        fit=of_ndim(2, 3, expected="masks: (height, width) or (height, width, number of masks)"),
    ),
    Htype(
        name="segment_mask",
        picture="▩",
        sample="class number of each pixel (height, width)",
        dtype="uint32",
        kinds="uib",
        fit=of_ndim(2, 3, expected="class numbers of pixels: (height, width)"),
        info={"class_names": ()},
    ),
    Htype(
        name="instance_label",
        picture="◫",
        sample="number of the instance, of a sample or pixels",
        dtype="uint32",
        kinds=_INTEGERS,
        fit=of_ndim(0, 1, 2, 3, expected="instance numbers with up to 3 axes"),
    ),
    Htype(
        name="keypoints_coco",
        picture="☩",
        sample="x, y, visibility (3 × keypoints, objects)",
        dtype="int32",
        kinds=_NUMBERS,
        fit=shapes.keypoints,
        ndim=2,
        info={"keypoints": (), "connections": ()},
    ),
    Htype(
        name="point",
        picture="∴",
        sample="points (number, 2 or 3)",
        dtype="int32",
        kinds=_NUMBERS,
        fit=shapes.points,
        ndim=2,
    ),
    Htype(
        name="polygon",
        picture="◇",
        sample="list of polygons (points, 2 or 3)",
        stores="sequence",
        dtype="float32",
        kinds=_NUMBERS,
        ndim=3,
    ),
    Htype(
        name="audio",
        picture="♪",
        sample="audio (samples, channels)",
        dtype="float32",
        kinds=_NUMBERS,
        fit=shapes.audio,
        ndim=2,
        files="audio",
        needs_compression=True,
    ),
    Htype(name="text", picture="¶", sample="string", stores="text", dtype="str", ndim=0),
    Htype(name="json", picture="≡", sample="anything that JSON can say", stores="json", ndim=0),
    Htype(
        name="list",
        picture="☰",
        sample="list of anything that JSON can say",
        stores="json",
        ndim=1,
    ),
    Htype(
        name="dicom",
        picture="✚",
        sample="DICOM file: pixels as stored",
        files="dicom",
        compression="dicom",
        fit=of_ndim(2, 3, 4, expected="pixels: (height, width), with frames or channels or both"),
    ),
    Htype(
        name="nifti",
        picture="◍",
        sample="NIfTI file: volume as stored",
        files="nifti",
        compression="nii.gz",
    ),
    Htype(
        name="point_cloud",
        picture="⁘",
        sample="points (number, 3 or more)",
        files="point_cloud",
        more_formats=("ply",),
        kinds=_NUMBERS,
        ndim=2,
        fit=of_ndim(2, expected="a point cloud: (number of points, x y z and more)"),
    ),
    Htype(
        name="intrinsics",
        picture="∡",
        sample="camera matrix (3, 3)",
        dtype="float32",
        kinds=_NUMBERS,
        fit=shapes.matrix_3x3,
        ndim=2,
    ),
    Htype(
        name="mesh",
        picture="△",
        sample="mesh: vertices (number, 3)",
        files="mesh",
        compression="ply",
        kinds=_NUMBERS,
        ndim=2,
        fit=of_ndim(2, expected="vertices: (number of vertices, 3)"),
    ),
    Htype(
        name="embedding",
        picture="→",
        sample="vector",
        dtype="float32",
        kinds=_NUMBERS,
        fit=of_ndim(1, expected="a vector: one axis"),
        ndim=1,
    ),
)

HTYPES: Mapping[str, Htype] = MappingProxyType({htype.name: htype for htype in _ALL})
