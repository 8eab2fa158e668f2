"""Folders of point clouds and meshes, against laspy, NumPy and what other files say."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from hubzarr.errors import InvalidError
from hubzarr.ingesting import points
from hubzarr.ingesting.media_files import repacked
from hubzarr.ingesting.place import Place
from hubzarr.ingesting.recognise import recognise
from tests.ingesting.flat import options, rows, skipped
from tests.realdata import real


def scan(seed=0, width=4):
    return np.random.default_rng(seed).normal(size=(50, width)).astype(np.float32)


def kitti(folder, *names, width=4):
    for number, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(scan(number, width).tobytes())
    return Place(folder)


def test_real_las_and_laz_as_laspy_reads_them():
    import laspy

    folder = real("las")
    assert recognise(Place(folder)).KIND == "points"
    source = points.open_source(Place(folder))
    assert options(source)["points"]["sample_compression"] == "laz"
    found = rows(source)
    assert len(found) == 9
    for row in found:
        path = folder / row["filenames"]
        expected = laspy.read(path)
        data = row["points"].compressed_bytes
        if path.suffix == ".laz":
            assert data == path.read_bytes()
        else:  # packed with all that is known of each point
            kept = laspy.read(io.BytesIO(data))
            for name in expected.point_format.dimension_names:
                assert np.array_equal(kept[name], expected[name]), name
        assert np.allclose(row["points"].array, expected.xyz)


@pytest.mark.parametrize(
    ("folder", "column", "count"), [("pcd", "points", 4), ("ply", "meshes", 4)]
)
def test_real_pcd_and_ply_keep_their_bytes(folder, column, count):
    folder = real(folder)
    assert recognise(Place(folder)).KIND == "points"
    found = rows(points.open_source(Place(folder)))
    assert len(found) == count
    for row in found:
        assert row[column].compressed_bytes == folder.joinpath(row["filenames"]).read_bytes()


def test_kitti(tmp_path):
    place = kitti(tmp_path, "velodyne/000000.bin", "velodyne/000001.bin")
    assert recognise(place).KIND == "points"
    source = points.open_source(place)
    assert options(source)["points"] == {"htype": "point_cloud", "sample_compression": "bin"}
    for number, row in enumerate(rows(source)):
        assert np.array_equal(row["points"].array, scan(number))


def test_nuscenes(tmp_path):
    place = kitti(tmp_path, "LIDAR_TOP/n0__a.pcd.bin", "LIDAR_TOP/n0__b.pcd.bin", width=5)
    tmp_path.joinpath("LIDAR_TOP", "n0__c.pcd.bin").write_bytes(b"cut")
    tmp_path.joinpath("notes.txt").write_text("...")
    assert recognise(place).KIND == "points"
    source = points.open_source(place)
    assert source.info["fields"][:4] == ["x", "y", "z", "intensity"]
    again = pickle.loads(pickle.dumps(source))
    found = [row for unit in again.units() for row in again.rows(unit) if isinstance(row, dict)]
    assert len(found) == 2
    for number, row in enumerate(found):
        assert np.array_equal(row["points"], scan(number, 5))
    told = [(one.what, one.broken) for one in skipped(source)]
    assert told == [("LIDAR_TOP/n0__c.pcd.bin", True), ("notes.txt", False)]


def test_other_binary_files_do_not_match(tmp_path):
    kitti(tmp_path, "weights.bin", "model/part-a.bin")
    assert not points.matches(Place(tmp_path))
    tmp_path.joinpath("000000.bin").write_bytes(b"17 bytes, no scan")
    assert not points.matches(Place(tmp_path))
    assert not points.matches(Place(tmp_path / "missing"))


def test_repacking():
    import laspy

    data = real("las/extrabytes.las").read_bytes()
    packed = repacked(data, "las", "laz")
    assert len(packed) < len(data)
    back = laspy.read(io.BytesIO(repacked(packed, "laz", "las")))
    assert np.array_equal(back.points.array, laspy.read(io.BytesIO(data)).points.array)
    assert repacked(data, "las", "pcd") is None


def test_choice_between_points_and_meshes(tmp_path):
    place = kitti(tmp_path, "velodyne/000000.bin")
    with pytest.raises(InvalidError, match="media='walls'"):
        points.open_source(place, media="walls")
    with pytest.raises(InvalidError, match="no files of mesh"):
        points.open_source(place, media="mesh")
