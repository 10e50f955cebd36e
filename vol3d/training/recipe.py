"""Recipes: a YAML file that names what is trained by the import path of its class, and how long.

    task:
      class_path: some.module.SomeTask        # a TrainingTask
      init_args: {learning: 3}
    loop: {steps: 100, batch_size: 2}

Recipes that ship lie in the package `configs` and are found by name: `demo/vlm`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vol3d.errors import ConfigError
from vol3d.training.loop import Finished, LoopConfig, MapDataset


class TrainingTask(ABC):
    """What a recipe names: the model, the data, and the loss. Its constructor's arguments are the recipe's `init_args`."""

    @abstractmethod
    def model(self) -> nn.Module:
        """The model to train; torch's global generator is seeded when this is called."""

    @abstractmethod
    def dataset(self) -> MapDataset:
        """Training samples by index."""

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:
        """A list of samples as one batch."""

    @abstractmethod
    def step(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """Loss terms; `loss` is minimised."""

    @abstractmethod
    def finish(self, model: nn.Module, finished: Finished, out: Path, provenance: dict[str, Any]) -> None:
        """Write what the run was for (weights that can be loaded) into `out`."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A parsed recipe."""

    task: TrainingTask
    loop: LoopConfig
    path: Path


def find_recipe(name_or_path: str) -> Path:
    """A recipe file: an existing path, or a name inside the installed `configs`.

    Raises ConfigError where there is none, with the names that there are.
    """
    given = Path(name_or_path)
    if given.suffix in (".yaml", ".yml"):
        if not given.is_file():
            raise ConfigError("no such recipe", path=given, hint="Give an existing file, or a name without .yaml.")
        return given
    root = Path(str(files("configs"))).resolve()
    path = (root / f"{name_or_path}.yaml").resolve()
    if not re.fullmatch(r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*", name_or_path) or not path.is_relative_to(root) or not path.is_file():
        names = sorted(str(p.relative_to(root).with_suffix("")) for p in root.rglob("*.yaml"))
        raise ConfigError("no such recipe", expected=", ".join(names) or "a recipe file", found=name_or_path)
    return path


def read_recipe(name_or_path: str, *, steps: int | None = None) -> Recipe:
    """Parse a recipe and make its task; `steps` replaces the recipe's own.

    Raises ConfigError with the field that is wrong.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    path = find_recipe(name_or_path)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(TrainingTask, "task", required=True)
    parser.add_class_arguments(LoopConfig, "loop")
    try:
        parsed = parser.parse_path(str(path))
        if steps is not None:
            parsed["loop"]["steps"] = steps
        # What a constructor draws (a network without weights of its own) must be the same when the run is resumed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(parsed["loop"]["seed"])
            made = parser.instantiate_classes(parsed)
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("the recipe cannot be read", path=path, found=_reason(str(error))) from error
    loop = made["loop"]
    return Recipe(task=made["task"], loop=loop if isinstance(loop, LoopConfig) else LoopConfig(**loop), path=path)


def _reason(text: str) -> str:
    """What jsonargparse says, without what it says of types that nobody meant."""
    noise = ("Does not validate", "Subtypes:", "Errors:", "Expected a <class 'NoneType'>", "Given value")
    lines = [line.strip(" -") for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(noise))
