"""Names of reports: safe, unique, and the scans of a folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol3d.cli.report_files import expand_scans, output_names, write_json
from vol3d.errors import ResourceError, VolumeError


@given(st.lists(st.text(min_size=1, max_size=300).filter(lambda s: "\x00" not in s), max_size=20))
def test_names_are_safe_and_unique(texts):
    names = output_names([Path(text) for text in texts])
    assert len({name.lower() for name in names}) == len(texts)
    for name in names:
        assert name.isascii()
        assert "/" not in name
        assert not name.startswith((".", "-"))
        assert 0 < len(name) < 130


def test_names_drop_the_suffix_and_keep_the_case():
    scans = ["a/ct.nii.gz", "b/CT.nrrd", "c/Müller 01.mha", "d/case.v2.nii", "series", "e/.."]
    assert output_names([Path(s) for s in scans]) == ["ct", "CT-2", "M_ller_01", "case.v2", "series", "scan"]


def test_a_folder_of_scans_is_its_scans_and_a_series_is_itself(tmp_path):
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "b.zarr").mkdir()
    for name in ("a.nii.gz", "notes.txt", ".hidden.nii"):
        (tmp_path / "many" / name).touch()
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").touch()
    missing = tmp_path / "missing.nii"
    scans = expand_scans([tmp_path / "many", tmp_path / "series", missing, missing])
    assert scans == [tmp_path / "many" / "a.nii.gz", tmp_path / "many" / "b.zarr", tmp_path / "series", missing]
    with pytest.raises(VolumeError):
        expand_scans([])


def test_json_is_whole_or_absent(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": "ü"})
    before = target.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(ResourceError):
        write_json(tmp_path / "missing" / "a.json", {})
