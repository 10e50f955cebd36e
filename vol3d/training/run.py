"""A recipe, run: seed, model, loop, and the weights that it was for."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vol3d import __version__
from vol3d.provenance import git_commit
from vol3d.training.loop import Finished, Loop, StepRecord
from vol3d.training.recipe import Recipe

logger = logging.getLogger(__name__)


def train(recipe: Recipe, *, out: str | Path, resume: bool = False, on_step: Callable[[StepRecord], None] | None = None) -> Finished:
    """Train what a recipe describes; with `resume`, from the last whole checkpoint in `out`.

    Raises TrainingError, CheckpointError, ConfigError.
    """
    from accelerate.utils import set_seed

    set_seed(recipe.loop.seed)
    model = recipe.task.model()
    loop = Loop(model, recipe.task.step, recipe.task.dataset(), recipe.loop, out=out, collate=recipe.task.collate, on_step=on_step)
    finished = loop.run(resume=resume)
    if loop.accelerator.is_main_process:
        recipe.task.finish(model, finished, Path(out), provenance(recipe, finished))
    loop.accelerator.wait_for_everyone()
    return finished


def provenance(recipe: Recipe, finished: Finished) -> dict[str, Any]:
    """What the weights came from."""
    return {
        "recipe": recipe.path.name,
        "recipe_sha256": hashlib.sha256(recipe.path.read_bytes()).hexdigest(),
        "steps": finished.step,
        "version": __version__,
        "commit": git_commit(),
    }
