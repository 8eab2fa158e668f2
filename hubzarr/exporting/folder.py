"""Folders of files: a folder for each class, or flat with a table of everything else.

Files are written as they are stored; images that are stored as arrays become PNG, or TIFF
where PNG can't hold them.

``layout="classes"``: ``cats/000000.jpg``, for images with one label each.
``layout="flat"``: ``images/000000.jpg``, one folder for each tensor of files, and
``labels.csv``, which names the files and has a column for each other tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubzarr.errors import InvalidError
from hubzarr.exporting.cells import cells, has_cells
from hubzarr.exporting.csv_file import csv_text
from hubzarr.exporting.naming import file_names, safe_folder
from hubzarr.exporting.report import Written
from hubzarr.exporting.table import Block, Field, Table
from hubzarr.exporting.target import Target

__all__ = ["FORMAT", "is_single", "write"]

FORMAT = "folder"

type Advance = Callable[[int], None]

_TABLE = "labels.csv"


def is_single(url: str) -> bool:
    """Whether the target is one file: it never is."""
    return False


def write(
    table: Table,
    target: Target,
    advance: Advance,
    *,
    layout: str = "auto",
    filenames: str | None = None,
) -> Written:
    """Write a file for each sample that is one.

    Parameters
    ----------
    table : Table
    target : Target
    advance : callable
        Told how many rows are done.
    layout : {"auto", "classes", "flat"}
        Folders of classes, or a folder for each tensor and a table; by default what loses
        nothing: the first for images with one label and nothing else.
    filenames : str, optional
        A text tensor with the names of the files; by default "filenames", if there is one
        whose values will do.
    """
    files = [field for field in table.fields if field.file_format and not field.spec.is_sequence]
    if not files:
        raise InvalidError(
            "no tensor of files or images to make a folder of: use format='csv' or 'parquet'"
        )
    if layout not in ("auto", "classes", "flat"):
        raise InvalidError(f"layout={layout!r}; expected 'auto', 'classes' or 'flat'")
    labels = [f for f in table.fields if f.is_label and f.class_names and f.name != "split"]
    fitting = len(files) == 1 and len(labels) == 1
    if layout == "classes" and not fitting:
        raise InvalidError(
            "folders of classes need one tensor of images and one of single labels with names; "
            f"there are {len(files)} and {len(labels)}: choose them with tensors=[...]"
        )
    others = {field.name for field in table.fields} - {f.name for f in (*files, *labels)}
    if layout == "classes" or (layout == "auto" and fitting and others <= {"split"}):
        return _classes(table, target, advance, files[0], labels[0], filenames)
    return _flat(table, target, advance, files, filenames)


def _classes(
    table: Table, target: Target, advance: Advance, images: Field, label: Field,
    filenames: str | None,
) -> Written:  # fmt: skip
    names = [name.rpartition("/")[2] for name in file_names(table, images, filenames)]
    if len(set(names)) < len(names):
        names = [f"{row:06d}_{name}" for row, name in enumerate(names)]
    folders = [safe_folder(name) for name in label.class_names]
    if len({folder.lower() for folder in folders}) < len(folders):
        raise InvalidError("some names of classes make the same folder: use layout='flat'")
    splits = [f for f in table.fields if f.name == "split" and f.is_label and f.class_names]
    left_out = {
        f.name: "folders of classes have no place for it"
        for f in table.fields
        if f not in (images, label, *splits)
    }
    missing = 0
    for block in table.blocks([images, label, *splits]):
        for row, samples in block.each():
            image, number = samples[images.name], int(samples[label.name])
            if image is None or number >= len(folders):
                missing += 1
                continue
            above = [safe_folder(split.names_of(samples[split.name])) for split in splits]
            path = "/".join([*above, folders[number], names[row]])
            target.write(path, image.encoded(str(images.file_format)))
        advance(block.rows)
    notes = (f"{missing} rows without an image or a class were left out",) if missing else ()
    return Written(left_out, notes)


def _flat(
    table: Table, target: Target, advance: Advance, files: Sequence[Field], filenames: str | None
) -> Written:
    others = [field for field in table.fields if has_cells(field)]
    chosen = [*files, *others]
    paths = {field.name: _paths(table, field, filenames) for field in files}
    columns = _path_columns(files, {field.name for field in others})
    with target.open(_TABLE) as text:
        text.write(csv_text([[name] for name in (*columns.values(), *(f.name for f in others))]))
        for block in table.blocks(chosen):
            written = [_write_files(target, field, paths[field.name], block) for field in files]
            written += [cells(field, block.columns[field.name]) for field in others]
            text.write(csv_text(written))
            advance(block.rows)
    left_out = {
        field.name: "a list of files has no place in a table"
        for field in table.fields
        if field not in chosen
    }
    tensors = {field.name: {"column": columns[field.name]} for field in files}
    return Written(left_out, tensors=tensors)


def _paths(table: Table, field: Field, filenames: str | None) -> list[str]:
    folder = safe_folder(field.name)
    return [f"{folder}/{name}" for name in file_names(table, field, filenames)]


def _path_columns(files: Sequence[Field], taken: set[str]) -> dict[str, str]:
    """Columns of the paths: "file", or named after their tensors where there are several."""
    found = {}
    for field in files:
        name = "file" if len(files) == 1 else field.name
        while name in taken:
            name += "_file"
        taken.add(name)
        found[field.name] = name
    return found


def _write_files(target: Target, field: Field, paths: Sequence[str], block: Block) -> list[str]:
    """Write the files of a block; their paths, "" where there is none."""
    written = []
    for row, sample in enumerate(block.columns[field.name], block.start):
        if sample is not None:
            target.write(paths[row], sample.encoded(str(field.file_format)))
        written.append("" if sample is None else paths[row])
    return written
