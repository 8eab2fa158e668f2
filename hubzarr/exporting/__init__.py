"""Datasets and views in formats that others read.

============  ==============================  ==========================================
format        what is written                 options
============  ==============================  ==========================================
"folder"      class folders of files, or one  ``layout``, ``filenames``
              with ``labels.csv``
"csv"         one text file                   ``delimiter``
"parquet"     a file, or a folder of parts    ``labels``, ``maxsize``, ``compression``
"webdataset"  a tar archive, or several       ``maxsize``, ``maxcount``
"mds"         shards and ``index.json``       ``maxsize``
"zarr"        a group of plain Zarr           ``consolidated``
"coco"        images, ``annotations.json``    ``filenames``
"yolo"        images, labels, ``data.yaml``   ``style``, ``filenames``
============  ==============================  ==========================================

Each module of a format has ``FORMAT``, its name; ``is_single(url)``, whether the target is
one file; and ``write(table, target, advance, **options)``. Folders get a `dataset.json`
that says where the rows come from and what the tensors are, names of classes included.
"""

from __future__ import annotations

from hubzarr.datasets.labelled import to_xarray
from hubzarr.exporting.exporter import FORMATS, export
from hubzarr.exporting.report import ExportReport

__all__ = ["FORMATS", "ExportReport", "export", "to_xarray"]
