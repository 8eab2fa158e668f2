"""What samples mean: htypes, their checks, and how each sample is stored.

A tensor has a `TensorSpec`, made by `tensor_spec` from the arguments of ``create_tensor``.
`prepare` turns a user's sample into what is stored and refuses what doesn't fit; `restore`
is the way back. Nothing here touches a store.

==============  ===========================================================================
kept as         by which htypes
==============  ===========================================================================
array           all of numbers, and images, volumes and the like with chunk compression
file            image, video, audio, dicom, nifti, point_cloud, mesh with sample compression
text            text: UTF-8
JSON            json, list, tag: UTF-8
link            link[...]: the address, in UTF-8
sequence        sequence[...] and polygon: see `hubzarr.htypes.sequences`
==============  ===========================================================================
"""

from __future__ import annotations

from hubzarr.htypes.arguments import tensor_spec
from hubzarr.htypes.batches import prepare_many
from hubzarr.htypes.kinds import HTYPES, Htype
from hubzarr.htypes.labels import class_numbers, new_class_names
from hubzarr.htypes.preparing import Prepared, empty, prepare
from hubzarr.htypes.restoring import restore
from hubzarr.htypes.sequences import frame, unframe
from hubzarr.htypes.settling import settled, settled_by
from hubzarr.htypes.spec import TensorSpec
from hubzarr.htypes.table import describe, names, picture, table

__all__ = [
    "HTYPES",
    "Htype",
    "Prepared",
    "TensorSpec",
    "class_numbers",
    "describe",
    "empty",
    "frame",
    "names",
    "new_class_names",
    "picture",
    "prepare",
    "prepare_many",
    "restore",
    "settled",
    "settled_by",
    "table",
    "tensor_spec",
    "unframe",
]
