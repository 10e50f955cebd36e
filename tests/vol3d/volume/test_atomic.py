"""Written whole or not at all: full disks, folders without permission, exceptions, old files."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests.vol3d.scans import as_nobody, ct
from vol3d.errors import ConfigError, IntensityError, ResourceError
from vol3d.volume.atomic import atomic_path, require_writable
from vol3d.volume.read import read_volume
from vol3d.volume.write import write_volume


def test_body_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_replace_folders(tmp_path: Path) -> None:
    target = tmp_path / "store.zarr"
    for seed in (0, 1):
        write_volume(ct(seed=seed), target)
    assert np.array_equal(read_volume(target).numpy(), ct(seed=1).array)
    assert list(tmp_path.iterdir()) == [target]


def test_a_users_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("years of work")
    with pytest.raises(ResourceError, match="a folder stands"), atomic_path(tmp_path / "results"):
        pass
    assert (tmp_path / "results" / "thesis.txt").exists()


def test_names_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 248 + ".nii.gz")
    write_volume(ct(), path)
    assert np.array_equal(read_volume(path).array, ct().array)


def test_missing_folder_and_too_little_space_are_said_before_the_work(tmp_path: Path) -> None:
    worked = []
    for path, expected_bytes, words in ((tmp_path / "gone" / "a", 0, "does not exist"), (tmp_path / "a", 10**18, "too full")):
        with pytest.raises(ResourceError, match=words), atomic_path(path, expected_bytes=expected_bytes):
            worked.append(path)
        with pytest.raises(ResourceError, match=words):
            require_writable(path, expected_bytes=expected_bytes)
    assert worked == []


def test_folder_without_permission_is_said_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    worked = []
    with as_nobody(), pytest.raises(ResourceError, match="no permission"), atomic_path(tmp_path / "a"):
        worked.append(1)
    tmp_path.chmod(0o755)
    assert worked == []


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".zarr"])
@pytest.mark.parametrize("limit", [2000, 20_000])
def test_disk_that_runs_full_leaves_nothing(suffix: str, limit: int, tmp_path: Path) -> None:
    # A limit on file sizes stands for the full disk: the write fails in the middle, as ENOSPC would.
    program = f"""
        import resource, signal, sys
        from tests.vol3d.scans import ct
        from vol3d.errors import Vol3dError
        from vol3d.volume.write import write_volume
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            write_volume(ct(), {str(tmp_path / f"scan{suffix}")!r})
        except Vol3dError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    """
    done = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "larger than this system allows" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_no_format_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no format"):
        write_volume(ct(), tmp_path / "scan.jpg")
    for name in ("scan.nii", "scan.nii.gz", "scan.zarr"):
        with pytest.raises(IntensityError, match="NaN"):
            write_volume(ct().with_array(np.full(ct().shape, np.nan, np.float32)), tmp_path / name)
        with pytest.raises(IntensityError, match="complex64"):
            write_volume(ct().with_array(np.zeros(ct().shape, np.complex64)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_equal_volumes_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(ct(), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
