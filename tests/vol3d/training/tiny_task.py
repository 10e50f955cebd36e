"""A task that trains in milliseconds and still has everything that resuming can lose: dropout, a buffer, Adam, an average."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokenizers3d.weights import write_tensors
from vol3d.training.loop import Finished
from vol3d.training.recipe import TrainingTask


class Points:
    """Noisy points of one plane; `poison` names a sample that is not finite."""

    def __init__(self, length: int, poison: int | None) -> None:
        self.length, self.poison = length, poison

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        point = torch.randn(4, generator=torch.Generator().manual_seed(index))
        return point * float("nan") if index == self.poison else point


class Net(nn.Module):
    """Frozen layer, dropout, batch norm (a buffer that changes), trained layer."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(4, 8).requires_grad_(False)
        self.layers = nn.Sequential(nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.frozen(x))


class TinyTask(TrainingTask):
    """`pause_s` slows a step down so that a test can kill it in time."""

    def __init__(self, length: int = 12, poison: int | None = None, pause_s: float = 0.0) -> None:
        self.length, self.poison, self.pause_s = length, poison, pause_s

    def model(self) -> nn.Module:
        return Net()

    def dataset(self) -> Points:
        return Points(self.length, self.poison)

    def collate(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples)

    def step(self, model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
        time.sleep(self.pause_s)
        error = (model(batch)[:, 0] - batch.sum(dim=1)).pow(2).mean()
        return {"loss": error, "size": batch.abs().mean()}

    def finish(self, model: nn.Module, finished: Finished, out: Path, provenance: dict[str, Any]) -> None:
        write_tensors(out / "weights.safetensors", model.state_dict(), {"provenance": provenance})
