"""A manifest from somewhere else: what it names stays in its store."""

import pytest

from data_prep.encode import tokens_path
from vol3d.contracts import Row
from vol3d.errors import VolumeError
from vol3d.training.crops import find_scans
from vol3d.volume.manifest import MANIFEST, read_manifest, write_manifest


def _row(**how):
    return Row(
        **{
            "study": "s",
            "patient": "p",
            "series": "a",
            "path": "volumes/a.zarr",
            "modality": "CT",
            "spacing_mm": (1, 1, 1),
            "shape": (2, 2, 2),
            **how,
        }
    )


@pytest.mark.parametrize("name", ["../other/a.zarr", "/etc/passwd", "volumes/../../a.zarr", "..\\a", "C:\\a", "C:a", "\\\\host\\share\\a", ".."])
@pytest.mark.parametrize("key", ["path", "series"])
def test_a_row_that_leads_out_of_the_store_is_refused(tmp_path, key, name):
    write_manifest([_row(), _row(**{key: name})], tmp_path / MANIFEST)
    with pytest.raises(VolumeError, match="leads out of the store"):
        find_scans(tmp_path)


def test_names_with_dots_and_folders_stay(tmp_path):
    rows = (_row(), _row(path="volumes/site..1/a.b.zarr", series="1.2.840..7"))
    write_manifest(rows, tmp_path / MANIFEST)
    assert read_manifest(tmp_path) == rows
    assert all(tokens_path(tmp_path, row, "key").resolve().is_relative_to(tmp_path) for row in rows)
