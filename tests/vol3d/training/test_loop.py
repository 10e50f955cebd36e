"""A stopped and resumed run is, bit for bit, the run that was not stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.vol3d.training.tiny_task import Net, TinyTask
from vol3d.errors import CheckpointError, ConfigError, TrainingError
from vol3d.training.loop import Finished, Loop, LoopConfig
from vol3d.training.recipe import read_recipe
from vol3d.training.run import train

CONFIG = LoopConfig(steps=9, batch_size=4, accumulate=2, learning_rate=0.05, warmup_steps=2, save_every=4, ema_decay=0.9, weight_decay=0.01, seed=7)


class StopError(Exception):
    """Thrown in the middle of a run."""


def _loop(out: Path, config: LoopConfig = CONFIG, task: TinyTask | None = None, stop_after: int | None = None) -> Loop:
    task = task or TinyTask()

    def on_step(record: object) -> None:
        if record.step == stop_after:
            raise StopError

    torch.manual_seed(0)
    return Loop(Net(), task.step, task.dataset(), config, out=out, collate=task.collate, on_step=on_step)


def _assert_same(one: Loop, two: Loop, ends: tuple[Finished, Finished]) -> None:
    for name, tensor in one.bare.state_dict().items():
        assert torch.equal(tensor, two.bare.state_dict()[name]), name
    for name, tensor in ends[0].average.items():
        assert torch.equal(tensor, ends[1].average[name]), name
    assert ends[0].last.terms == ends[1].last.terms


@pytest.mark.parametrize("stop_after", [5, 8, 9])
def test_resume_is_bit_identical(tmp_path: Path, stop_after: int) -> None:
    whole = _loop(tmp_path / "whole")
    wanted = whole.run()
    with pytest.raises(StopError):
        _loop(tmp_path / "cut", stop_after=stop_after).run()
    torch.randn(17)  # another state of the global generator than the run had
    resumed = _loop(tmp_path / "cut")
    _assert_same(whole, resumed, (wanted, resumed.run(resume=True)))
    logs = [[json.loads(line) for line in (tmp_path / n / "log.jsonl").read_text().splitlines()] for n in ("whole", "cut")]
    assert [line["step"] for line in logs[1]] == list(range(1, 10))
    assert [line["terms"] for line in logs[0]] == [line["terms"] for line in logs[1]]


def test_dropout_and_average_matter() -> None:
    """The test above can fail: without the generator's state, dropout draws otherwise."""
    net, batch = Net().train(), torch.randn(4, 4)
    assert not torch.equal(net(batch), net(batch))


def test_training_lowers_the_loss_and_leaves_frozen_weights(tmp_path: Path) -> None:
    loop = _loop(tmp_path, replace(CONFIG, steps=60, save_every=60))
    frozen = loop.bare.frozen.weight.clone()
    loop.run()
    lines = [json.loads(line)["terms"]["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum(lines[-10:]) < 0.7 * sum(lines[:10])
    assert torch.equal(frozen, loop.bare.frozen.weight)


def test_accumulation_equals_one_large_batch(tmp_path: Path) -> None:
    """Without dropout and batch statistics, two batches of 4 make the step of one batch of 8."""

    def run(out: Path, batch_size: int, accumulate: int) -> torch.Tensor:
        torch.manual_seed(0)
        net, task = torch.nn.Linear(4, 1), TinyTask(length=16)
        config = replace(CONFIG, steps=5, batch_size=batch_size, accumulate=accumulate)
        Loop(net, task.step, task.dataset(), config, out=out, collate=task.collate).run()
        return net.weight.detach()

    torch.testing.assert_close(run(tmp_path / "a", 8, 1), run(tmp_path / "b", 4, 2), rtol=1e-5, atol=1e-6)


def test_bf16_runs_under_autocast_with_float32_weights(tmp_path: Path) -> None:
    loop = _loop(tmp_path, replace(CONFIG, steps=2, precision="bf16"))
    loop.run()
    assert {p.dtype for p in loop.parameters} == {torch.float32}


def test_a_bad_sample_stops_before_the_step_and_is_named(tmp_path: Path) -> None:
    task = TinyTask(poison=5)
    loop = _loop(tmp_path, task=task)
    weights = {}

    def remember(record: object) -> None:
        weights[record.step] = loop.bare.layers[2].weight.clone()

    loop.on_step = remember
    with pytest.raises(TrainingError, match="the loss is not finite"):
        loop.run()
    facts = json.loads((tmp_path / "stopped.json").read_text())
    assert 5 in facts["samples"]
    assert facts["step"] == loop.step + 1
    last = weights[loop.step] if loop.step else None
    assert last is None or torch.equal(loop.bare.layers[2].weight, last)


def test_an_infinite_gradient_stops_too(tmp_path: Path) -> None:
    loop = _loop(tmp_path)

    def step(model: torch.nn.Module, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        # The root of zero has a finite value and an infinite slope.
        return {"loss": (model(batch) * 0).pow(2).sum().sqrt()}

    loop.step_function = step
    with pytest.raises(TrainingError, match="the gradient is not finite"):
        loop.run()


def test_another_data_order_is_refused(tmp_path: Path) -> None:
    _loop(tmp_path, replace(CONFIG, steps=4)).run()
    with pytest.raises(TrainingError, match="another order"):
        _loop(tmp_path, replace(CONFIG, seed=8)).run(resume=True)
    with pytest.raises(TrainingError, match="accumulation"):
        _loop(tmp_path, replace(CONFIG, accumulate=1)).run(resume=True)


def test_resume_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        _loop(tmp_path).run(resume=True)


def test_nothing_to_train_is_refused(tmp_path: Path) -> None:
    task = TinyTask()
    with pytest.raises(ConfigError, match="nothing to train"):
        Loop(Net().requires_grad_(False), task.step, task.dataset(), CONFIG, out=tmp_path, collate=task.collate)


RECIPE = """
task:
  class_path: tests.vol3d.training.tiny_task.TinyTask
  init_args: {{pause_s: {pause}}}
loop: {{steps: 40, batch_size: 4, learning_rate: 0.05, save_every: 1, ema_decay: 0.9, seed: 3}}
"""
SCRIPT = """
import sys
from vol3d.training.recipe import read_recipe
from vol3d.training.run import train
train(read_recipe(sys.argv[1]), out=sys.argv[2])
"""


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """Killed in the middle, with a checkpoint at every step; the state at the end is that of the run that lived."""
    slow, fast = tmp_path / "slow.yaml", tmp_path / "fast.yaml"
    slow.write_text(RECIPE.format(pause=0.05))
    fast.write_text(RECIPE.format(pause=0.0))
    checkpoints, root = tmp_path / "killed" / "checkpoints", Path(__file__).resolve().parents[3]
    victim = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(slow), str(tmp_path / "killed")], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    deadline = time.monotonic() + 120
    while not (checkpoints / "step-00000007").exists() and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (checkpoints / "step-00000040").exists()
    train(read_recipe(str(fast)), out=tmp_path / "killed", resume=True)
    train(read_recipe(str(fast)), out=tmp_path / "whole")
    ends = [tmp_path / out / "checkpoints" / "step-00000040" / "state.safetensors" for out in ("whole", "killed")]
    assert ends[0].read_bytes() == ends[1].read_bytes()
