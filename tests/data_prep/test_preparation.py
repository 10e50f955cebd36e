import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep.preparation import prepare
from data_prep.sources.ct_rate import read_vqa
from data_prep.verify import verify
from tests.data_prep.miniature import ct_rate, phantom
from vol3d.volume.manifest import mask_key, read_manifest, read_table
from vol3d.volume.read import read_volume


def tree_bytes(store: Path) -> dict[str, str]:
    return {p.relative_to(store).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(store.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("ct_rate")
    return root, ct_rate(root, num=12)


@pytest.fixture(scope="module")
def store(corpus: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare("ct_rate", corpus[0], folder)
    return folder


def test_every_planted_wrong_is_found_and_named(corpus: tuple[Path, dict[str, str]], store: Path) -> None:
    assert {row["key"]: row["reason"] for row in read_table(store / "quarantine.parquet")} == corpus[1]
    assert all(row["message"] for row in read_table(store / "quarantine.parquet"))


def test_the_rest_is_in_the_store_in_hounsfield_units(corpus: tuple[Path, dict[str, str]], store: Path) -> None:
    rows = {row.series: row for row in read_manifest(store)}
    assert len(rows) == 12 - len(corpus[1])
    assert not set(rows) & set(corpus[1])
    assert {p.name for p in (store / "volumes").iterdir()} == {f"{key}.zarr" for key in rows}
    for key in ("train_0_a_1", "valid_1_a_1"):  # v2 as it is, v1 with slope, intercept, spacing and orientation from the table
        seed = 0 if key.startswith("train") else 10
        expected = phantom(seed).volume
        volume = read_volume(store / rows[key].path)
        assert np.array_equal(volume.numpy(), expected.numpy())
        assert volume.spacing_mm == expected.spacing_mm
        assert volume.orientation == "RAS"
        assert rows[key].findings == " ".join(phantom(seed).findings.split())
        assert rows[key].labels == dict(phantom(seed).report_labels)


def test_run_again_changes_no_byte(corpus: tuple[Path, dict[str, str]], store: Path) -> None:
    before = tree_bytes(store)
    times = {p: p.stat().st_mtime_ns for p in (store / "volumes").rglob("zarr.json")}
    prepare("ct_rate", corpus[0], store)
    assert tree_bytes(store) == before
    assert {p: p.stat().st_mtime_ns for p in (store / "volumes").rglob("zarr.json")} == times  # nothing was done twice


def test_what_a_killed_run_leaves_is_swept_and_redone(corpus: tuple[Path, dict[str, str]], store: Path, tmp_path: Path) -> None:
    before = tree_bytes(store)
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    (copy / "records/train_0_a_1.json").unlink()
    (copy / "manifest.parquet").unlink()
    (copy / "volumes/.tmp-abc.zarr").mkdir()
    (copy / "records/.tmp-abc.json").write_text("half", encoding="utf-8")
    shutil.rmtree(copy / "volumes/valid_0_a_1.zarr/c")
    (copy / "records/valid_0_a_1.json").write_text("{", encoding="utf-8")
    prepare("ct_rate", corpus[0], copy)
    after = tree_bytes(copy)
    assert after == before


def test_verify_names_what_changed(store: Path, tmp_path: Path) -> None:
    assert verify(store) == []
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    shard = next((copy / "volumes/train_0_a_1.zarr").rglob("c/*/*/*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    shutil.copytree(copy / "volumes/train_7_a_1.zarr", copy / "volumes/stranger.zarr")
    problems = {p.key: p.problem for p in verify(copy)}
    assert set(problems) == {"train_0_a_1", "stranger"}
    assert "damaged" in problems["train_0_a_1"]


def test_vqa_and_masks_keys(corpus: tuple[Path, dict[str, str]], store: Path) -> None:
    assert [q["series"] for q in read_vqa(corpus[0], "valid")] == ["valid_0_a_1", None]
    assert mask_key(read_manifest(store)[0]).startswith("masks/")


@pytest.mark.slow
def test_forty_volumes_kills_and_workers_same_bytes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    planted = ct_rate(root, num=40)
    reference = tmp_path / "one"
    prepare("ct_rate", root, reference)
    assert {row["key"]: row["reason"] for row in read_table(reference / "quarantine.parquet")} == planted
    expected = tree_bytes(reference)
    two = tmp_path / "two"
    prepare("ct_rate", root, two, workers=2)
    assert tree_bytes(two) == expected
    killed = tmp_path / "killed"
    rng = random.Random(0)
    done = []
    for _ in range(5):
        process = start(root, killed)
        time.sleep(rng.uniform(3.0, 6.5))
        done.append(process.poll() is None)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert sum(done) >= 3, "the run was over before it was killed"
    assert start(root, killed).wait() == 0
    assert tree_bytes(killed) == expected


def start(root: Path, store: Path) -> "subprocess.Popen[bytes]":
    code = f"from data_prep.preparation import prepare; prepare('ct_rate', {str(root)!r}, {str(store)!r}, workers=1)"
    script = f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\nif __name__ == '__main__':\n    {code}"
    file = store.with_suffix(".py")
    file.write_text(script, encoding="utf-8")
    return subprocess.Popen([sys.executable, str(file)], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
