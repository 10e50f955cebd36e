"""One training loop for every model of the toolkit, on accelerate: one process, or many under torchrun.

for each step:  batches --step function--> loss terms --backward--> finite? --clip--> optimiser --> log, average, checkpoint

A run that is stopped anywhere and resumed gives, on the same machine, the bits of the run that was not.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader

from vol3d.errors import ConfigError, TrainingError
from vol3d.training.checkpoint import load_checkpoint, save_checkpoint
from vol3d.training.sampler import ResumableSampler
from vol3d.training.sharding import all_whole, local, mean_of_ranks, placed_like, shard, unshard, whole, without_sync
from vol3d.training.state import optimiser_tensors, restore_optimiser, restore_rng, restore_trained, rng_state, trained_tensors
from vol3d.volume.atomic import atomic_path

logger = logging.getLogger(__name__)

StepFunction = Callable[[nn.Module, Any], Mapping[str, Tensor]]


@runtime_checkable
class MapDataset(Protocol):
    """Samples by index; the same index always gives the same sample."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how fast.

    Args:
        steps: optimiser steps.
        batch_size: samples a batch and process; `accumulate` batches make one step.
        learning_rate: peak, reached in a straight line after `warmup_steps`; then `cosine` or `linear` falls to `final_fraction` of it.
        betas, weight_decay: of AdamW.
        clip_norm: gradients are shortened to this length; None leaves them.
        precision: `bf16` runs the step under autocast; weights stay as they are.
        ema_decay: of averaged weights; None keeps none.
        save_every, keep: checkpoints. The last step is always saved.
        num_workers: processes that load samples.
        seed: of the order of samples and of the global generators.
        parallel: what many processes do with the weights: `ddp` keeps all of them in each, `fsdp2` shards them.
    """

    steps: int
    batch_size: int = 1
    accumulate: int = 1
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_fraction: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_decay: float | None = None
    save_every: int = 100
    keep: int = 2
    log_every: int = 1
    num_workers: int = 0
    seed: int = 0
    parallel: Literal["ddp", "fsdp2"] = "ddp"

    def __post_init__(self) -> None:
        if min(self.steps, self.batch_size, self.accumulate, self.save_every, self.log_every) < 1 or self.learning_rate <= 0:
            raise ConfigError("a training length, size or rate that is not positive", found=asdict(self))

    def learning_rate_at(self, step: int) -> float:
        """Rate of a step, counted from 0.

        >>> config = LoopConfig(steps=10, learning_rate=1.0, warmup_steps=2, schedule="linear", final_fraction=0.0)
        >>> [round(config.learning_rate_at(s), 3) for s in (0, 1, 2, 6)]
        [0.5, 1.0, 1.0, 0.5]
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        shape = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}[self.schedule]
        return self.learning_rate * (self.final_fraction + (1 - self.final_fraction) * shape)


@dataclass(frozen=True)
class StepRecord:
    """One line of `log.jsonl`: `terms` are the step function's, averaged over the batches of the step."""

    step: int
    terms: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The end of a run; `average` holds the averaged weights by name, where they were kept."""

    step: int
    last: StepRecord | None
    average: Mapping[str, Tensor] | None


class Loop:
    """A model, its data and its optimiser between two steps; `run` goes to the end.

    Args:
        model: parameters with `requires_grad` are trained.
        step: model and batch to loss terms; the term `loss` is minimised, the others are logged.
        dataset: samples by index.
        config: see LoopConfig.
        out: folder for `log.jsonl` and `checkpoints/`.
        collate: list of samples to batch.
        on_step: called after each logged step.
        make_optimiser: parameters to optimiser; AdamW from the config where None.
    """

    def __init__(
        self,
        model: nn.Module,
        step: StepFunction,
        dataset: MapDataset,
        config: LoopConfig,
        *,
        out: str | Path,
        collate: Callable[[list[Any]], Any] = list,
        on_step: Callable[[StepRecord], None] | None = None,
        make_optimiser: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    ) -> None:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs, set_seed

        # A blind batch leaves the projectors without a gradient, which DDP must be told.
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(), kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)]
        )
        self.config, self.step_function, self.collate, self.dataset = config, step, collate, dataset
        self.on_step = on_step
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        if self.accelerator.distributed_type.value == "FSDP":
            raise ConfigError("sharding asked of the launcher", expected="loop.parallel: fsdp2 in the recipe", found="accelerate's FSDP")
        self.bare = model
        self.is_sharded = config.parallel == "fsdp2" and self.accelerator.num_processes > 1
        prepared = shard(model, self.accelerator.device) if self.is_sharded else None
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ConfigError("nothing to train", expected="a parameter that requires a gradient")
        optimiser = make_optimiser(self.parameters) if make_optimiser else self._adamw()
        self.model = prepared or self.accelerator.prepare(model)
        self.optimiser = self.accelerator.prepare(optimiser)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        self.sampler = ResumableSampler(length=len(dataset), batch_size=config.batch_size, seed=config.seed, rank=rank, world=world)
        self.average = {k: v.detach().clone() for k, v in trained_tensors(model).items()} if config.ema_decay is not None else None
        self.step = 0
        set_seed(config.seed + rank)

    def _adamw(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters, lr=self.config.learning_rate, betas=self.config.betas, weight_decay=self.config.weight_decay)

    def run(self, *, resume: bool = False) -> Finished:
        """Train to the last step.

        Raises TrainingError before a step on a loss or gradient that is not finite (the sample indices are in `stopped.json`),
        CheckpointError where there is nothing whole to resume from.
        """
        if resume:
            self._resume()
        self._trim_log()
        self.model.train()
        record: StepRecord | None = None
        batches = self._batches()
        while self.step < self.config.steps:
            record = self._one_step(batches)
            self.step += 1
            if self.step % self.config.log_every == 0 or self.step == self.config.steps:
                record = self._of_all_ranks(record)
                self._report(record)
            if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                self._save()
        if self.is_sharded:
            unshard(self.bare)
        return Finished(self.step, record, None if self.average is None else all_whole(self.average, keep=True))

    def _batches(self) -> Iterator[tuple[list[int], Any]]:
        first, last = self.step * self.config.accumulate, self.config.steps * self.config.accumulate
        order = [self.sampler.batch(i) for i in range(first, last)]
        # A generator of its own: a loader that draws from the global one would shift it at every resume.
        loader: DataLoader = DataLoader(
            self.dataset,  # type: ignore[arg-type]
            batch_sampler=order,
            collate_fn=self.collate,
            num_workers=self.config.num_workers,
            generator=torch.Generator().manual_seed(self.config.seed),
        )
        yield from zip(order, loader, strict=True)

    def _one_step(self, batches: Iterator[tuple[list[int], Any]]) -> StepRecord:
        start, rate = time.perf_counter(), self.config.learning_rate_at(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        used: list[int] = []
        for part in range(self.config.accumulate):
            indices, batch = next(batches)
            used += indices
            is_last = part + 1 == self.config.accumulate
            with nullcontext() if is_last else self._without_sync():
                for name, value in self._backward(batch, used).items():
                    sums[name] = sums.get(name, 0.0) + value / self.config.accumulate
        limit = math.inf if self.config.clip_norm is None else self.config.clip_norm
        norm = float(whole(self.accelerator.clip_grad_norm_(self.parameters, limit)))
        self._require_finite(norm, "gradient", used, sums)
        self.optimiser.step()
        self._update_average()
        return StepRecord(self.step + 1, sums, rate, norm, time.perf_counter() - start)

    def _without_sync(self) -> AbstractContextManager[None]:
        return without_sync(self.model) if isinstance(self.model, FSDPModule) else self.accelerator.no_sync(self.model)

    def _backward(self, batch: Any, used: Sequence[int]) -> dict[str, float]:
        with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            terms = self.step_function(self.model, batch)
        values = {name: float(value.detach()) for name, value in terms.items()}
        self._require_finite(values["loss"], "loss", used, values)
        self.accelerator.backward(terms["loss"] / self.config.accumulate)
        return values

    def _require_finite(self, value: float, what: str, used: Sequence[int], terms: Mapping[str, float]) -> None:
        if math.isfinite(value):
            return
        path = self.out / "stopped.json"
        facts = {"step": self.step + 1, "what": what, "value": repr(value), "samples": list(used), "terms": {k: repr(v) for k, v in terms.items()}}
        path.write_text(json.dumps(facts), encoding="utf-8")
        hint = f"The weights are those before the step; its samples are in {path}. Lower the learning rate or look at the samples."
        raise TrainingError(f"the {what} is not finite", expected="a finite number", found=f"{value} at step {self.step + 1}", hint=hint)

    def _update_average(self) -> None:
        if self.average is None or self.config.ema_decay is None:
            return
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in trained_tensors(self.bare).items():
            average, new = local(self.average[name]), local(tensor.detach())
            if tensor.is_floating_point():
                average.lerp_(new, 1 - decay)
            else:
                average.copy_(new)

    def _of_all_ranks(self, record: StepRecord) -> StepRecord:
        """The terms as one process with the whole batch would log them."""
        from accelerate.utils import gather_object

        if self.accelerator.num_processes == 1:
            return record
        return replace(record, terms=mean_of_ranks(gather_object([dict(record.terms)])))

    def _report(self, record: StepRecord) -> None:
        if not self.accelerator.is_main_process:
            return
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(record)) + "\n")
        if self.on_step is not None:
            self.on_step(record)

    def _trim_log(self) -> None:
        """Drop lines of steps that will be run again, so that the log has each step once."""
        path = self.out / "log.jsonl"
        if not self.accelerator.is_main_process or not path.exists():
            return
        # A kill can leave half a line at the end.
        whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        kept = [line for line in whole if json.loads(line)["step"] <= self.step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def _save(self) -> None:
        from accelerate.utils import gather_object

        generators = gather_object([rng_state()])
        is_main = self.accelerator.is_main_process
        kinds = {"model": trained_tensors(self.bare), "optimiser": optimiser_tensors(self.optimiser), "average": self.average or {}}
        tensors = all_whole({f"{kind}.{k}": v for kind, part in kinds.items() for k, v in part.items()}, keep=is_main)
        if is_main:
            sampler = self.sampler.describe(self.step * self.config.accumulate)
            facts = {"rng": generators, "sampler": sampler, "accumulate": self.config.accumulate}
            save_checkpoint(self.out / "checkpoints", self.step, tensors, facts, keep=self.config.keep)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        saved = load_checkpoint(self.out / "checkpoints")
        if saved.facts["accumulate"] != self.config.accumulate:
            raise TrainingError("resumed with another accumulation", expected=saved.facts["accumulate"], found=self.config.accumulate)
        self.sampler.require_same(saved.facts["sampler"], saved.step * self.config.accumulate)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "average": {}}
        for name, tensor in saved.tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = tensor
        restore_trained(self.bare, parts["model"])
        restore_optimiser(self.optimiser, parts["optimiser"])
        if self.average is not None:
            self.average = {k: placed_like(parts["average"][k], v) for k, v in self.average.items()}
        restore_rng(saved.facts["rng"][self.accelerator.process_index])
        self.step = saved.step
        logger.info("going on from step %d", self.step)
