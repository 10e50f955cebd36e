import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tokenizers3d.tokenizer import Tokenizer
from vol3d.contracts import Row
from vol3d.errors import ConfigError
from vol3d.training.crops import CropDataset, MixedCrops, PhantomCrops, ScanCrops, find_scans, random_crop
from vol3d.training.dead_leaves import dead_leaves
from vol3d.training.recipe import read_recipe
from vol3d.training.run import train
from vol3d.volume.geometry import make_affine
from vol3d.volume.manifest import write_manifest
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

RECIPE = """
task:
  class_path: vol3d.training.tokenizer_task.TokenizerTask
  init_args:
    model: {model}
    stage:
      mode: stream
      weights: {{l1: 1.0, entropy: 0.01, soft_steps: 2, entropy_steps: 3}}
      adversaries: {{axes: [2, 3], filters: 4, penalty_every: 2}}
    source:
      class_path: vol3d.training.crops.PhantomCrops
      init_args: {{num_phantoms: 0, leaves: 1.0}}
    shapes: [[1, 9, 16, 16], [2, 1, 24, 24]]
    num_items: 8
loop: {{steps: 4, learning_rate: 0.001, schedule: constant, ema_decay: 0.9, save_every: 2}}
"""
MODEL = "model: {name: tiny, filters: 8, num_res_blocks: 1, num_groups: 4, quantizer_args: {num_bits: 6}}"


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    (tmp_path / "model.yaml").write_text(MODEL)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=tmp_path / "model.yaml"))
    return tmp_path / "recipe.yaml"


# The three stages as published, small: short windows, long ones begun from them with less kept in memory, the decoder alone.
STAGES = {
    "short": {"mode": "windowed"},
    "long": {"mode": "windowed", "recompute": True, "start_from": "first"},
    "decoder": {"mode": "windowed", "recompute": True, "frozen_encoder": True, "start_from": "first"},
    "one pass": {"mode": "stream"},
    "from slices": {"mode": "stream", "initial_weights": "first"},
}


def stage_recipe(recipe_path: Path, name: str, tmp_path: Path) -> dict:
    """A stage's recipe; bfloat16, LeCam, penalty, perceptual features and average are all in it."""
    recipe = yaml.safe_load(recipe_path.read_text())
    arguments = recipe["task"]["init_args"]
    Tokenizer.from_config(tmp_path / "model.yaml").save(tmp_path / "first.safetensors")
    begin = {key: str(tmp_path / "first.safetensors") if value == "first" else value for key, value in STAGES[name].items()}
    arguments["stage"] |= begin
    arguments["stage"]["weights"]["perceptual"] = 0.5
    arguments["features"] = {"class_path": "torch.nn.Conv2d", "init_args": {"in_channels": 3, "out_channels": 4, "kernel_size": 3}}
    arguments["shapes"] = [[1, 9 if name == "short" else 17, 16, 16], [2, 1, 24, 24]]
    recipe["loop"]["precision"] = "bf16"
    return recipe


@pytest.mark.parametrize("name", STAGES)
def test_a_resumed_run_is_the_uninterrupted_one(name: str, recipe_path: Path, tmp_path: Path) -> None:
    recipe = stage_recipe(recipe_path, name, tmp_path)
    recipe_path.write_text(yaml.safe_dump(recipe))
    train(read_recipe(str(recipe_path)), out=tmp_path / "whole")
    train(read_recipe(str(recipe_path), steps=2), out=tmp_path / "parts")
    train(read_recipe(str(recipe_path)), out=tmp_path / "parts", resume=True)
    states = [load_file(tmp_path / part / "checkpoints" / "step-00000004" / "state.safetensors") for part in ("whole", "parts")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
    whole, parts = (Tokenizer.load(tmp_path / part / "tokenizer.safetensors") for part in ("whole", "parts"))
    assert all(torch.equal(tensor, parts.state_dict()[key]) for key, tensor in whole.state_dict().items())
    assert whole.config.modes == (STAGES[name]["mode"],)
    assert whole.provenance["steps"] == 4
    assert not any("features" in key for key in states[0])
    first = Tokenizer.load(tmp_path / "first.safetensors")
    is_same = [torch.equal(tensor, first.state_dict()[key]) for key, tensor in whole.state_dict().items() if key.startswith("encoder")]
    assert all(is_same) if name == "decoder" else not all(is_same)


SCANS = {"class_path": "vol3d.training.crops.ScanCrops"}
PHANTOMS = {"class_path": "vol3d.training.crops.PhantomCrops", "init_args": {"num_phantoms": 1, "leaves": 0.2}}


@pytest.fixture
def data(tmp_path: Path) -> dict[str, dict]:
    """Sources by name: a folder of NIfTI with CT and MR, a Zarr store, a prepared corpus with a mask in it, phantoms, all of them mixed."""
    ct, mr = scan(), replace(scan(), array=np.abs(scan().array), modality="MR", unit="a.u.")
    for folder in ("nifti", "zarr", "corpus/volumes", "corpus/masks"):
        (tmp_path / folder).mkdir(parents=True)
    write_volume(ct, tmp_path / "nifti" / "ct.nii.gz")
    write_volume(mr, tmp_path / "nifti" / "mr.nii.gz")
    for path in ("zarr/ct.zarr", "corpus/volumes/a.zarr", "corpus/volumes/b.zarr", "corpus/masks/a.zarr"):
        write_volume(ct, tmp_path / path)
    common = {"study": "s", "patient": "p", "modality": "CT", "spacing_mm": ct.spacing_mm, "shape": ct.shape}
    rows = [Row(series=name, path=f"volumes/{name}.zarr", split=split, **common) for name, split in (("a", "train"), ("b", "test"))]
    write_manifest(rows, tmp_path / "corpus" / "manifest.parquet")
    scans = {name: SCANS | {"init_args": {"root": str(tmp_path / name)}} for name in ("nifti", "zarr", "corpus")}
    mixed = {"class_path": "vol3d.training.crops.MixedCrops", "init_args": {"sources": [PHANTOMS, *scans.values()], "shares": [1, 1, 1, 1]}}
    return scans | {"phantoms": PHANTOMS, "mixed": mixed}


@pytest.mark.parametrize("name", ["nifti", "zarr", "corpus", "phantoms", "mixed"])
def test_it_trains_from_every_source_slices_and_volumes_in_one_run(name: str, data: dict[str, dict], recipe_path: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load(recipe_path.read_text())
    recipe["task"]["init_args"] |= {"source": data[name], "shapes": [[1, 9, 16, 16], [2, 1, 16, 24]]}
    recipe["loop"] |= {"steps": 5}
    recipe_path.write_text(yaml.safe_dump(recipe))
    task = read_recipe(str(recipe_path))
    drawn = [task.task.dataset()[i] for i in range(8)]
    assert {tuple(batch.shape) for batch in drawn} == {(1, 1, 9, 16, 16), (2, 1, 1, 16, 24)}
    assert all(batch.abs().max() <= 1 for batch in drawn)
    assert sum(batch.std() > 0.01 for batch in drawn) >= 4
    finished = train(task, out=tmp_path / name)
    assert finished.step == 5
    terms = [json.loads(line)["terms"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
    assert {"generator3d" in line for line in terms} == {True, False}
    assert Tokenizer.load(tmp_path / name / "tokenizer.safetensors").provenance["steps"] == 5


def test_a_corpus_gives_its_training_scans_and_no_masks(data: dict[str, dict], tmp_path: Path) -> None:
    assert [str(p.relative_to(tmp_path)) for p in ScanCrops(str(tmp_path / "corpus")).paths] == ["corpus/volumes/a.zarr"]
    assert len(ScanCrops(str(tmp_path / "corpus"), split=None).paths) == 2
    with pytest.raises(ConfigError, match="no scan"):
        ScanCrops(str(tmp_path / "corpus"), split="validation")


def test_a_mixture_keeps_to_its_shares() -> None:
    one, two = PhantomCrops(num_phantoms=0, leaves=1.0), PhantomCrops(num_phantoms=0, leaves=1.0)
    crops = MixedCrops([one, two], shares=[0, 3])
    crops.sources = [lambda rng, shape: np.zeros(shape), lambda rng, shape: np.ones(shape)]
    assert all(crops(np.random.default_rng(seed), (1, 2, 2)).all() for seed in range(20))
    for sources, shares in (([], None), ([one], [1.0, 2.0]), ([one], [0.0]), ([one, two], [2.0, -1.0])):
        with pytest.raises(ConfigError, match="cannot be mixed"):
            MixedCrops(sources, shares=shares)


@pytest.mark.parametrize("name", ["train_small", "train_btb3d_8x8x8_stage1"])
def test_recipes_that_ship_can_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "scans").mkdir(parents=True)
    write_volume(scan(), tmp_path / "data" / "scans" / "a.nii.gz")
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(f"tokenizer/{name}")
    assert recipe.loop.steps > 1000
    assert recipe.task.config.quantizer_args == {"num_bits": 18}


def scan() -> Volume:
    array = np.random.default_rng(0).integers(-1000, 1000, (12, 20, 24)).astype(np.int16)
    return Volume(array, make_affine((2.0, 1.0, 1.0), (0.0, 0.0, 0.0)), "CT", "HU")


def test_crops_come_from_scans_of_any_format(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.zarr"):
        write_volume(scan(), tmp_path / name)
    assert [p.name for p in find_scans(tmp_path)] == ["a.nii.gz", "b.zarr"]
    crops = ScanCrops(str(tmp_path))
    crop = crops(np.random.default_rng(0), (9, 16, 32))
    assert crop.shape == (9, 16, 32)
    assert np.abs(crop).max() <= 1
    assert (crop[..., 24:] == crop[..., 23:24]).all()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no scan"):
        ScanCrops(str(tmp_path / "empty"))


def test_an_item_depends_on_its_index_alone() -> None:
    data = CropDataset(PhantomCrops(num_phantoms=0, leaves=1.0), [(2, 1, 16, 16), (1, 9, 16, 16)], 10, seed=3, remap=0.5)
    again = CropDataset(PhantomCrops(num_phantoms=0, leaves=1.0), [(2, 1, 16, 16), (1, 9, 16, 16)], 10, seed=3, remap=0.5)
    assert {data[i].shape for i in range(10)} == {(2, 1, 1, 16, 16), (1, 1, 9, 16, 16)}
    assert all(torch.equal(data[i], again[i]) for i in (9, 0, 4))
    assert not torch.equal(data[0].flatten()[:64], data[1].flatten()[:64])
    with pytest.raises(ConfigError):
        CropDataset(PhantomCrops(), [(1, 0, 8, 8)], 10, seed=0)
    with pytest.raises(ConfigError):
        PhantomCrops(num_phantoms=0, leaves=0.5)


def test_phantoms_are_kept(tmp_path: Path) -> None:
    source = PhantomCrops(num_phantoms=1, leaves=0.0, cache=str(tmp_path))
    crop = source(np.random.default_rng(0), (9, 32, 32))
    assert crop.dtype == np.float32
    assert [p.name for p in tmp_path.iterdir()] == ["500000.npy"]
    again = PhantomCrops(num_phantoms=1, leaves=0.0, cache=str(tmp_path))
    assert np.array_equal(again(np.random.default_rng(0), (9, 32, 32)), crop)


def test_dead_leaves_have_tissues_and_edges() -> None:
    volumes = [dead_leaves(np.random.default_rng(seed), (9, 32, 32), anisotropy=2.0) for seed in range(8)]
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in volumes)
    assert sum(v.std() > 50 for v in volumes) >= 6
    assert np.array_equal(volumes[3], dead_leaves(np.random.default_rng(3), (9, 32, 32), anisotropy=2.0))


def test_a_crop_larger_than_the_scan_repeats_the_border() -> None:
    crop = random_crop(np.random.default_rng(0), np.arange(8, dtype=np.float32).reshape(2, 2, 2), (3, 2, 2))
    assert crop[2].tolist() == crop[1].tolist()
