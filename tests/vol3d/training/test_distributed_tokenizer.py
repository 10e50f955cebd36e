"""The tokenizer's training on two processes is that on one with the same batch: DDP and FSDP2, judges, codes' statistics, average, resume."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tokenizers3d.tokenizer import Tokenizer

MODEL = "model: {name: tiny, filters: 8, num_res_blocks: 1, num_groups: 4, quantizer_args: {num_bits: 6}}"
# LeCam and the codes' entropies are no sums over samples: a rank that took its own means would show in the third digit.
RECIPE = """
task:
  class_path: vol3d.training.tokenizer_task.TokenizerTask
  init_args:
    model: {model}
    stage:
      mode: stream
      recompute: true
      weights: {{l1: 1.0, entropy: 0.1, entropy_steps: 3, inverse_temperature: 1.0, soft_steps: 3}}
      adversaries: {{axes: [2, 3], filters: 4, generator: 0.5, lecam: 5.0, penalty: 1.0, penalty_every: 2}}
    source:
      class_path: vol3d.training.crops.PhantomCrops
      init_args: {{num_phantoms: 0, leaves: 1.0}}
    shapes: {shapes}
    num_items: 20
loop: {{steps: 4, batch_size: {batch_size}, accumulate: 2, learning_rate: 0.001, schedule: constant, ema_decay: 0.9, save_every: 2, parallel: {parallel}}}
"""
SCRIPT = """
import json, sys
from vol3d.training.recipe import read_recipe
from vol3d.training.run import train
for recipe, out, mode in json.loads(sys.argv[1]):
    train(read_recipe(recipe), out=out, resume=mode == "resume")
"""
ONE_SHAPE, TWO_SHAPES = "[[1, 9, 16, 16]]", "[[1, 9, 16, 16], [2, 1, 24, 24]]"


def _recipe(folder: Path, name: str, *, parallel: str, batch_size: int, shapes: str = ONE_SHAPE) -> str:
    (folder / "model.yaml").write_text(MODEL)
    path = folder / f"{name}.yaml"
    path.write_text(RECIPE.format(model=folder / "model.yaml", parallel=parallel, batch_size=batch_size, shapes=shapes))
    return str(path)


def _run(folder: Path, num_processes: int, jobs: list[tuple[str, str, str]]) -> None:
    """Recipes one after the other in one set of processes: importing torch is most of the time."""
    (folder / "run.py").write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_processes)] if num_processes > 1 else []
    command = [sys.executable, *launcher, str(folder / "run.py"), json.dumps([(recipe, str(folder / out), mode) for recipe, out, mode in jobs])]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3]), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, timeout=400)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one`, `ddp`, `fsdp2`, the last two also stopped after two of four steps and resumed, and with a batch shape of its own for each rank."""
    folder = tmp_path_factory.mktemp("runs")
    _run(folder, 1, [(_recipe(folder, "one", parallel="ddp", batch_size=2), "one", "fresh")])
    recipes = {kind: _recipe(folder, kind, parallel=kind, batch_size=1) for kind in ("ddp", "fsdp2")}
    mixed = {kind: _recipe(folder, f"mixed_{kind}", parallel=kind, batch_size=1, shapes=TWO_SHAPES) for kind in recipes}
    jobs = [(path, kind, "fresh") for kind, path in recipes.items()] + [(path, f"mixed_{kind}", "fresh") for kind, path in mixed.items()]
    _run(folder, 2, jobs)
    for kind in recipes:
        shutil.copytree(folder / kind, folder / f"{kind}_again")
        shutil.rmtree(folder / f"{kind}_again" / "checkpoints" / "step-00000004")
    _run(folder, 2, [(path, f"{kind}_again", "resume") for kind, path in recipes.items()])
    return folder


def _log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line)["terms"] for line in (folder / "log.jsonl").read_text().splitlines()]


def _state(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "step-00000004" / "state.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_two_processes_train_as_one(runs: Path, kind: str) -> None:
    one, two = _log(runs / "one"), _log(runs / kind)
    assert {"batch_entropy", "discriminator2d", "discriminator3d", "penalty3d", "l1"} <= set(one[0])
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-5, abs=1e-6)
    expected, found = _state(runs / "one"), _state(runs / kind)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        # Adam makes a step of full length of a gradient that is rounding alone, so single weights may part by steps of 0.001.
        error, size = (found[name].double() - tensor.double()).abs().mean(), tensor.double().abs().mean()
        # The running means of LeCam are small, and those of one rank alone are near those of both.
        assert error <= (1e-4 * size if "lecam" in name else 2e-6 + 1e-4 * size), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_a_checkpoint_of_two_processes_goes_on_bit_for_bit(runs: Path, kind: str) -> None:
    whole, again = _state(runs / kind), _state(runs / f"{kind}_again")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    made = [Tokenizer.load(runs / name / "tokenizer.safetensors") for name in (kind, f"{kind}_again")]
    assert all(torch.equal(tensor, made[1].state_dict()[name]) for name, tensor in made[0].state_dict().items())
    average = {k.removeprefix("average.tokenizer."): v for k, v in whole.items() if k.startswith("average.tokenizer.")}
    assert average
    assert all(torch.equal(tensor, made[0].state_dict()[name]) for name, tensor in average.items())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2"])
def test_slices_on_one_rank_and_volumes_on_the_other(runs: Path, kind: str) -> None:
    """The judge of volumes has nothing to judge on one of them: neither waits for the other for ever, and the result is the same both ways."""
    assert len(_log(runs / f"mixed_{kind}")) == 4
    ddp, other = _state(runs / "mixed_ddp"), _state(runs / f"mixed_{kind}")
    for name, tensor in ddp.items():
        error = (other[name].double() - tensor.double()).abs()
        assert error.mean() < 2e-5 + 1e-3 * tensor.double().abs().mean(), name
