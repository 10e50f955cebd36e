"""What a recipe names to train a tokenizer: `vol3d train --config tokenizer/train_small`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokenizers3d.config import read_config
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.train import StageConfig, TokenizerTrainer
from vol3d.errors import ConfigError
from vol3d.training.crops import CropDataset, MixedCrops, PhantomCrops, ScanCrops
from vol3d.training.loop import Finished, MapDataset
from vol3d.training.recipe import TrainingTask


class TokenizerTask(TrainingTask):
    """A tokenizer, one stage of its training, and what its crops are drawn from.

    Args:
        model: a model of `configs/tokenizer` by name, or a YAML file.
        stage: mode, losses, adversaries, frozen parts.
        source: `PhantomCrops`, `ScanCrops`, or `MixedCrops` of them.
        shapes: `(batch, z, y, x)` of the batches; with more than one of them `loop.batch_size` is 1.
        num_items: batches of an epoch.
        seed: of the crops.
        remap: share of crops with bent intensities.
        features: network of the perceptual loss, from `n 3 h w` to one feature tensor or several, with its weights; by import path.
    """

    def __init__(
        self,
        model: str,
        stage: StageConfig,
        source: PhantomCrops | ScanCrops | MixedCrops,
        shapes: list[list[int]],
        *,
        num_items: int = 10_000,
        seed: int = 1,
        remap: float = 0.2,
        features: nn.Module | None = None,
    ) -> None:
        self.config, self.stage, self.source = read_config(model), stage, source
        self.shapes, self.num_items, self.seed, self.remap, self.features = shapes, num_items, seed, remap, features

    def model(self) -> nn.Module:
        """The trainer, with fresh weights or those that the stage begins with."""
        return TokenizerTrainer(self.config, self.stage, features=self.features)

    def dataset(self) -> MapDataset:
        """Batches of crops by index."""
        return CropDataset(self.source, self.shapes, self.num_items, seed=self.seed, remap=self.remap)

    def collate(self, samples: list[Tensor]) -> Tensor:
        """Samples, which are batches already, as one; they must be of one shape."""
        if len({sample.shape for sample in samples}) > 1:
            raise ConfigError(
                "crops come in batches of one shape", expected="loop.batch_size: 1", found=len(samples), hint="Give the batch in shapes."
            )
        return torch.cat(samples)

    def step(self, model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
        """Terms of one batch."""
        return model(batch.to(next(model.parameters()).device))

    def finish(self, model: nn.Module, finished: Finished, out: Path, provenance: dict[str, Any]) -> None:
        """Write `tokenizer.safetensors`: the averaged weights where there are some."""
        assert isinstance(model, TokenizerTrainer)
        tokenizer = Tokenizer(model.tokenizer.config)
        tensors = model.tokenizer.state_dict()
        prefix = "tokenizer."
        average = {k.removeprefix(prefix): v for k, v in (finished.average or {}).items() if k.startswith(prefix)}
        tokenizer.load_state_dict({**tensors, **average})
        tokenizer.save(out / "tokenizer.safetensors", provenance={**provenance, "shapes": _plain(self.shapes)})


def _plain(shapes: Sequence[Sequence[int]]) -> list[list[int]]:
    return [list(shape) for shape in shapes]
