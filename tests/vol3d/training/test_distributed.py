"""Two processes: the same weights at every run, and after a resume."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """
task: {class_path: tests.vol3d.training.tiny_task.TinyTask, init_args: {length: 10}}
loop: {steps: 6, batch_size: 2, accumulate: 2, learning_rate: 0.05, save_every: 2, ema_decay: 0.9, seed: 3}
"""
SCRIPT = """
import sys
from vol3d.training.recipe import read_recipe
from vol3d.training.run import train
train(read_recipe(sys.argv[1]), out=sys.argv[2], resume=sys.argv[3] == "resume")
"""


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "run.py").write_text(SCRIPT)

    def run(out: str, mode: str) -> bytes:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "run.py")]
        subprocess.run([*command, str(tmp_path / "recipe.yaml"), str(tmp_path / out), mode], check=True, env={**os.environ, "PYTHONPATH": str(root)})
        return (tmp_path / out / "checkpoints" / "step-00000006" / "state.safetensors").read_bytes()

    whole = run("a", "fresh")
    assert run("b", "fresh") == whole
    shutil.rmtree(tmp_path / "b" / "checkpoints" / "step-00000006")
    assert run("b", "resume") == whole
