"""Ingest by name: from any source to a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubzarr.api.datasets import dataset
from hubzarr.api.opening import load
from hubzarr.datasets import Dataset
from hubzarr.errors import InvalidTypeError
from hubzarr.ingesting.ingest import ingest_into
from hubzarr.ingesting.opening import source_of
from hubzarr.ingesting.record import IngestReport, records_in
from hubzarr.session.place import Options

__all__ = ["ingest", "ingest_report"]


def ingest(
    source: Any,
    name: str,
    *,
    kind: str | None = None,
    overwrite: bool = False,
    append: bool = False,
    skip_broken: bool = False,
    verify: bool = False,
    statistics: bool = False,
    num_workers: int | None = None,
    scheduler: str = "threads",
    progressbar: bool = True,
    commit_every: int = 50_000,
    message: str | None = None,
    storage_options: Options = None,
    source_storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Dataset:
    """Read data of some other form into a dataset.

    What is there is recognised: class folders of images, tables and the files they name,
    COCO, YOLO, Pascal VOC, IDX, CIFAR, NPY, NPZ, HDF5, TFRecord, WebDataset, MDS,
    Parquet, datasets of Hugging Face and Kaggle, Zarr, NIfTI, DICOM, GeoTIFF, point
    clouds, videos, audio, Neuroglancer Precomputed, Hub 2.

    Rows are committed as they come. If the process is killed, the same call goes on where
    it was: no row is lost and none comes twice.

    Parameters
    ----------
    source : str, path, DataFrame, table or Source
        A local path, a URL of fsspec, a ZIP file, ``kaggle://owner/dataset``,
        ``hf://owner/dataset``, a DataFrame, an Arrow table.
    name : str
        Of the dataset, which is made if there is none.
    kind : str, optional
        What the source is, where it is not recognised: see `hubzarr.ingesting.kinds`.
    overwrite : bool, default False
        Start afresh; the former state stays in the history.
    append : bool, default False
        Add to a dataset that has rows of another origin. Classes are matched by name.
    skip_broken : bool, default False
        Leave out broken samples, and report them; by default they end the ingest.
    verify : bool, default False
        Decode each file, so that damage after the header is found, too.
    statistics : bool, default False
        Keep pixel statistics of images.
    num_workers : int, optional
        Threads that read; by default two for each core, and 8 at most. Processes: by
        default one for each core. Of a cluster: by default all threads.
    scheduler : {"threads", "processes", "distributed"}
        Who reads and converts. "distributed" is the current client of dask, or a local
        cluster: its workers store samples, too, and have to reach the source and the store.
    progressbar : bool, default True
        Whether to show a progress bar, if the settings do not say otherwise.
    commit_every : int, default 50_000
        Rows after which to commit; half a minute or 512 MB end a commit as well.
    message : str, optional
        Of the last commit.
    storage_options, source_storage_options : mapping, optional
        For the store of the dataset, and for that of the source.
    **options
        For the kind of source: ``sample_compression="png"`` for images, ``table="a.csv"``
        for tables, and so on.

    Returns
    -------
    Dataset
        `ingest_report` tells what was skipped.

    Raises
    ------
    SampleError
        A sample is broken; the message has its path. What came before it is committed.
    InvalidError
        The source is not recognised; or the dataset has other rows already; or the
        source is not as it was when a part of it was ingested.

    Examples
    --------
    >>> import pandas
    >>> ds = ingest(pandas.DataFrame({"age": [3, 4], "name": ["Tom", "Rex"]}), "examples/pets")
    >>> len(ds), ds["name"].text()
    (2, ['Tom', 'Rex'])
    """
    found, known_as = source_of(
        source, kind=kind, storage_options=source_storage_options, **options
    )
    ds = dataset(name, overwrite=overwrite, storage_options=storage_options)
    ingest_into(
        ds,
        found,
        name=known_as,
        num_workers=num_workers,
        scheduler=scheduler,
        progressbar=progressbar,
        skip_broken=skip_broken,
        verify=verify,
        statistics=statistics,
        commit_every=commit_every,
        message=message,
        append=append,
    )
    return ds


def ingest_report(ds: Dataset | str, *, storage_options: Options = None) -> list[IngestReport]:
    """What was ingested into a dataset, and what was skipped and why.

    Parameters
    ----------
    ds : Dataset or str
        A dataset or the name of one.
    storage_options : mapping, optional
        With a name: options of its store.

    Returns
    -------
    list of IngestReport
        One for each source, the last one last. Of what was skipped, the first thousand.

    Examples
    --------
    >>> import pandas
    >>> ds = ingest(pandas.DataFrame({"age": [3, 4]}), "examples/ages")
    >>> [report] = ingest_report(ds)
    >>> report.rows, report.skipped
    (2, 0)
    >>> ingest_report("examples/ages") == [report]
    True
    """
    if isinstance(ds, str):
        found = load(ds, "r", storage_options=storage_options)
        if not isinstance(found, Dataset):
            raise InvalidTypeError(f"{ds!r} is an array: only datasets have such reports")
        ds = found
    return [record.report() for record in records_in(ds.info)]
