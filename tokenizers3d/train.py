"""Training of a tokenizer: one step, its state, and a plain loop that can stop anywhere and go on bit for bit."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from tokenizers3d.errors import CheckpointError, ConfigError
from tokenizers3d.losses import LossWeights, tokenizer_loss
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.weights import read_tensors, write_tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a tokenizer is trained.

    Args:
        num_steps: length.
        learning_rate: reached after `warmup_steps`, kept, and brought to zero in a straight line over the last `decay_steps`.
        sync_every: with several processes, 1 averages the gradients of every step; more lets each go its way for so many steps and
            averages the weights then (local SGD, arXiv 1805.09767), for machines whose processes run unevenly.
        betas: of Adam; BTB3D uses (0, 0.99).
        ema_decay: of the averaged weights, which are what is kept; ramps up from the start.
        max_grad_norm: gradients are clipped to this length.
        precision: `float32`, or `bfloat16` for autocast with float32 weights.
        weights: of the loss terms.
    """

    num_steps: int
    learning_rate: float = 1e-4
    warmup_steps: int = 500
    decay_steps: int = 1000
    sync_every: int = 1
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = 0.999
    max_grad_norm: float = 0.5
    precision: str = "float32"
    weights: LossWeights = field(default_factory=LossWeights)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """From plain values; unknown names are refused."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__)) + sorted(set(values.get("weights", {})) - set(LossWeights.__dataclass_fields__))
        if unknown:
            raise ConfigError("unknown training settings", expected=", ".join(cls.__dataclass_fields__), found=", ".join(unknown))
        betas = tuple(values.get("betas", (0.9, 0.99)))
        return cls(**{**values, "betas": betas, "weights": LossWeights(**values.get("weights", {}))})

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        warm = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        return self.learning_rate * warm * min(1.0, (self.num_steps - step) / max(self.decay_steps, 1))


class TokenizerTraining:
    """A tokenizer, its averaged copy, its optimizer and the step they have reached."""

    def __init__(self, tokenizer: Tokenizer, config: TrainConfig) -> None:
        self.tokenizer, self.config, self.step = tokenizer.train(), config, 0
        self.optimizer = torch.optim.Adam(
            [p for p in tokenizer.parameters() if p.requires_grad], lr=config.learning_rate, betas=config.betas, fused=True
        )
        self.average = {name: tensor.detach().clone() for name, tensor in tokenizer.state_dict().items()}

    def train_step(self, x: Float[Tensor, "b 1 z y x"]) -> dict[str, float]:
        """One update; refuses to take one on a loss or gradient that is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        x = x.to(self.tokenizer.device)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            loss, parts = tokenizer_loss(self.tokenizer, x, self.config.weights, step=self.step, across_ranks=self.config.sync_every == 1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.sync_every == 1:
            average_over_ranks([p.grad for p in self.tokenizer.parameters() if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(self.tokenizer.parameters(), self.config.max_grad_norm)
        if not (loss.isfinite() and norm.isfinite()):
            raise CheckpointError(
                "loss or gradient is not finite",
                found=f"loss {loss.item()}, norm {norm.item()} at step {self.step}",
                hint="Go on from the last checkpoint with a smaller learning rate.",
            )
        self.optimizer.step()
        self.step += 1
        if self.config.sync_every > 1 and self.step % self.config.sync_every == 0:
            average_over_ranks([p.data for p in self.tokenizer.parameters()])
        self._average()
        del parts["reconstruction"]
        return {"loss": loss.item(), "norm": norm.item()} | {name: part.item() for name, part in parts.items()}

    def _average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.tokenizer.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)

    def averaged(self) -> Tokenizer:
        """A tokenizer with the averaged weights."""
        copy = Tokenizer(self.tokenizer.config)
        copy.load_state_dict(self.average)
        return copy

    def save(self, path: Path) -> None:
        """Everything that the next step depends on."""
        tensors = {f"model.{k}": v for k, v in self.tokenizer.state_dict().items()} | {f"average.{k}": v for k, v in self.average.items()}
        for index, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": v for k, v in entry.items()}
        write_tensors(path, tensors, {"step": self.step, "config": self.tokenizer.config.to_dict()})

    def load(self, path: Path) -> None:
        """Go on from a saved state of the same config."""
        tensors, metadata = read_tensors(path)
        if metadata.get("config") != _plain(self.tokenizer.config.to_dict()):
            raise CheckpointError("a training state of another config", path=path, expected=self.tokenizer.config.name, found=metadata.get("config"))
        self.step = int(metadata["step"])
        self.tokenizer.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        self.average = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def average_over_ranks(tensors: list[Tensor]) -> None:
    """Put the mean over all ranks into each tensor, in one message; nothing without torch.distributed."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, mean in zip(tensors, (flat / dist.get_world_size()).split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def fit(
    training: TokenizerTraining,
    batches: Iterable[Float[Tensor, "b 1 z y x"]],
    *,
    state_path: Path | None = None,
    save_every_s: float = 120.0,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    """Run the remaining steps; `batches` starts with that of the current step. The state is saved every so often and at the end."""
    last = time.monotonic()
    for x in batches:
        if training.step >= training.config.num_steps:
            break
        parts = training.train_step(x)
        if report is not None:
            report(training.step, parts)
        if state_path is not None and time.monotonic() - last > save_every_s:
            training.save(state_path)
            last = time.monotonic()
    if state_path is not None:
        training.save(state_path)
    logger.info("tokenizer trained to step %d", training.step)
