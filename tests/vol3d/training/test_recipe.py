"""Recipes are found, parsed and run; what is wrong with one is said in one line."""

import json
from pathlib import Path

import pytest

from tests.vol3d.training.tiny_task import TinyTask
from vol3d.cli import main as cli
from vol3d.cli import train as command
from vol3d.errors import ConfigError
from vol3d.training.recipe import find_recipe, read_recipe

GOOD = """
task:
  class_path: tests.vol3d.training.tiny_task.TinyTask
  init_args: {length: 8}
loop: {steps: 5, batch_size: 2, learning_rate: 0.01, schedule: linear, betas: [0.9, 0.95]}
"""


def _write(folder: Path, text: str) -> str:
    path = folder / "tiny.yaml"
    path.write_text(text)
    return str(path)


def test_a_recipe_names_its_task_by_import_path(tmp_path: Path) -> None:
    recipe = read_recipe(_write(tmp_path, GOOD), steps=3)
    assert isinstance(recipe.task, TinyTask)
    assert recipe.task.length == 8
    assert (recipe.loop.steps, recipe.loop.schedule, recipe.loop.betas, recipe.loop.seed) == (3, "linear", (0.9, 0.95), 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps: 5", "stepz: 5", "stepz"),
        ("steps: 5", "steps: many", "steps"),
        ("schedule: linear", "schedule: square", "schedule"),
        ("TinyTask", "NoTask", "NoTask"),
        ("tests.vol3d.training.tiny_task.TinyTask", "pathlib.Path", "task"),
        ("length: 8", "size: 8", "size"),
        ("steps: 5", "steps: 0", "not positive"),
        ("task:", "task: [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe(_write(tmp_path, GOOD.replace(old, new)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../pyproject", "demo/../../secret", "/etc/passwd", "no/such", "a.yaml", ""])
def test_names_stay_inside_the_installed_recipes(name: str) -> None:
    with pytest.raises(ConfigError, match="no such recipe"):
        find_recipe(name)


def test_five_steps_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, out = _write(tmp_path, GOOD), str(tmp_path / "run")
    parser = cli.argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["--config", recipe, "--out", out, "--json"])) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["step"] == 5
    assert printed["terms"]["loss"] > 0
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 5
    with pytest.raises(ConfigError, match="another run"):
        command.run(parser.parse_args(["--config", recipe, "--out", out]))
    assert command.run(parser.parse_args(["--config", recipe, "--out", out, "--resume", "--steps", "7"])) == 0
    assert capsys.readouterr().out.startswith("7 steps: loss ")
