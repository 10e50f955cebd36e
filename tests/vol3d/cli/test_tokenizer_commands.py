"""encode, decode and evaluate tokenizer, with the weights that ship."""

import json
from pathlib import Path

import numpy as np
import pytest

from vol3d.cli.main import main
from vol3d.evaluation.codec_baselines import jpeg2000, linear_samples
from vol3d.volume.geometry import make_affine
from vol3d.volume.read import read_volume
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(np.arange(20), np.arange(44), np.arange(52), indexing="ij")
    inside = ((y - 22) / 18) ** 2 + ((x - 26) / 22) ** 2 < 1
    array = np.where(inside, 40 + 5 * z, -1000) + rng.normal(0, 8, inside.shape)
    write_volume(Volume(array.astype(np.int16), make_affine((3.0, 1.5, 1.5), (-40.0, -30.0, 10.0)), "CT", "HU"), tmp_path / "ct.nii.gz")
    return tmp_path / "ct.nii.gz"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_there_and_back(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "encode", scan, tmp_path / "ct.tokens", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["grid_zyx"] == [4, 6, 7]
    assert document["bytes"] == (tmp_path / "ct.tokens").stat().st_size < 4 * 6 * 7 * 18 // 8 + 1500
    assert document["provenance"]["intensity"] == {"name": "ct_wide", "low": -1000.0, "high": 1000.0}
    code, out, _ = run(capsys, "decode", tmp_path / "ct.tokens", tmp_path / "back.nii.gz", "--json")
    assert code == 0
    assert json.loads(out)["shape_zyx"] == [20, 44, 52]
    before, after = read_volume(scan), read_volume(tmp_path / "back.nii.gz", modality="CT")
    assert np.allclose(before.affine, after.affine)
    assert after.array.dtype == np.int16
    assert np.abs(before.numpy().astype(float) - after.numpy()).mean() < 150


def test_what_cannot_be_decoded_is_one_line_and_two(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "encode", scan, tmp_path / "ct.tokens")
    content = (tmp_path / "ct.tokens").read_bytes()
    (tmp_path / "cut.tokens").write_bytes(content[:-3])
    for tokens in (tmp_path / "cut.tokens", scan, tmp_path / "none"):
        code, out, err = run(capsys, "decode", tokens, tmp_path / "x.nii.gz")
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert not (tmp_path / "x.nii.gz").exists()
    run(capsys, "encode", scan, tmp_path / "w.tokens", "--mode", "windowed")
    code, _, err = run(capsys, "decode", tmp_path / "w.tokens", tmp_path / "x.nii.gz")
    assert code == 2
    assert "expected stream, found windowed" in err
    assert run(capsys, "decode", tmp_path / "w.tokens", tmp_path / "x.nii.gz", "--any-mode")[0] == 0


def test_scores_stand_beside_the_same_bits_spent_otherwise(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "evaluate", "tokenizer", scan, "--pictures", tmp_path / "pictures", "--json")
    document = json.loads(out)
    assert code == 0
    rows = {row["metric"]: row["value"] for row in document["rows"]}
    assert {"psnr", "ssim_axial", "edge_gradient_error", "mae_hu_soft_tissue", "code_perplexity", "bits_per_voxel"} <= set(rows)
    assert {f"{name}_{plane}" for name in ("psnr", "ssim") for plane in ("axial", "coronal", "sagittal")} <= set(rows)
    assert rows["bits_per_volume"] == 4 * 6 * 7 * 18 == pytest.approx(20 * rows["bits_per_axial_slice"])
    assert rows["bits_per_voxel"] == pytest.approx(rows["bits_per_volume"] / (20 * 44 * 52), abs=1e-4)
    assert min(rows[f"ssim_{plane}"] for plane in ("axial", "coronal", "sagittal")) <= rows["ssim"] <= 1
    assert rows["linear/bits_per_voxel"] <= rows["bits_per_voxel"]
    assert [p.name for p in (tmp_path / "pictures").iterdir()] == ["ct.png"]
    assert document["provenance"]["model"].startswith("small_8x8x8:")


def test_baselines_stay_within_their_bits() -> None:
    volume = np.tanh(np.cumsum(np.random.default_rng(0).normal(0, 0.2, (16, 40, 40)), 2)).astype(np.float32)
    for make in (linear_samples, jpeg2000):
        few, many = make(volume, 4_000), make(volume, 64_000)
        assert few is not None
        assert many is not None
        assert few[1] <= 4_000
        assert 4_000 < many[1] <= 64_000
        errors = [np.square(made - volume).mean() for made in (few[0], many[0])]
        assert errors[1] < errors[0] < volume.var()


def test_baseline_of_a_constant() -> None:
    made, bits = linear_samples(np.full((8, 8, 8), 0.5, np.float32), 64)
    assert bits == 64
    assert np.abs(made - 0.5).max() < 0.005
