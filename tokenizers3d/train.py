"""A tokenizer in training: the network, its adversaries, and one number to minimise.

Three stages, after BTB3D (arXiv 2510.20639), are three configs of the same model:
1. short volumes (9 slices), from fresh weights or from slices (`inflate_from_slices`);
2. long volumes (201 slices), encoded by overlapping windows (`mode: windowed`) or in one pass (`mode: stream`), decoded whole;
3. the encoder and the codes frozen, the decoder refined on long context (241 slices).
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from tokenizers3d.adversarial import GanLoss, LeCam, discriminator_loss, generator_loss, gradient_penalty
from tokenizers3d.config import TokenizerConfig
from tokenizers3d.discriminator import Discriminator
from tokenizers3d.errors import ConfigError
from tokenizers3d.inflate import inflate_from_slices, load_slices
from tokenizers3d.losses import Features, LossWeights, quantizer_terms, reconstruction_terms
from tokenizers3d.quantizers import LFQ
from tokenizers3d.ranks import num_ranks
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.types import Mode


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """Discriminators; the defaults are BTB3D's.

    Args:
        axes: which: 2 judges slices, 3 judges volumes (left out of a batch of single slices).
        filters: width of their first layer.
        loss: non-saturating or hinge.
        generator: weight of their judgement in the tokenizer's loss.
        lecam: weight of the LeCam regularisation.
        penalty, penalty_every: weight of the R1 gradient penalty, and on which steps it is taken.
        start_step: the tokenizer hears them from this step on; they train from the first.
    """

    axes: tuple[int, ...] = (2, 3)
    filters: int = 8
    loss: GanLoss = "non_saturating"
    generator: float = 0.1
    lecam: float = 0.001
    penalty: float = 10.0
    penalty_every: int = 20
    start_step: int = 0


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What one stage trains, and for what.

    Args:
        mode: how volumes are encoded; goes into the tokenizer's `modes`, so that nothing else is decoded with it by mistake.
        frozen_encoder: train the decoder alone.
        recompute: gradient checkpointing of the residual blocks.
        start_from: weights to begin with; None begins fresh.
        initial_weights: weights of a network of single slices to begin with (2D, inflated): see `load_slices`.
        fresh: parameters, by the beginnings of their names, that `initial_weights` does not have.
        inflate: begin as a network of single slices: see `inflate_from_slices`.
        weights: of the losses.
        adversaries: None trains without.
    """

    mode: Mode = "stream"
    frozen_encoder: bool = False
    recompute: bool = False
    start_from: str | None = None
    initial_weights: str | None = None
    fresh: tuple[str, ...] = ()
    inflate: bool = False
    weights: LossWeights = field(default_factory=LossWeights)
    adversaries: AdversaryConfig | None = None


class TokenizerTrainer(nn.Module):
    """The model that a training loop moves: `forward(x)` gives the terms, `loss` among them, of one batch.

    The tokenizer and its adversaries are trained by the same optimiser: each sees the other's weights or outputs as constants, so
    their gradients do not mix. The number of batches seen is a buffer, so that schedules go on where a saved run stopped.
    A feature network for the perceptual loss is frozen: it is neither trained nor saved.

    >>> config = TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4)
    >>> terms = TokenizerTrainer(config, StageConfig())(torch.zeros(1, 1, 9, 16, 16))
    >>> "loss" in terms, terms["l1"].ndim
    (True, 0)
    """

    step: Tensor

    def __init__(self, config: TokenizerConfig, stage: StageConfig, *, features: Features | None = None) -> None:
        super().__init__()
        if stage.weights.perceptual and features is None:
            raise ConfigError("a perceptual loss without features", expected="a network, or perceptual: 0", hint="Give features.")
        self.stage, self.features = stage, features
        if isinstance(features, nn.Module):
            features.requires_grad_(requires_grad=False).eval()
        self.tokenizer = _start(config, stage)
        self.tokenizer.encoder.recompute = self.tokenizer.decoder.recompute = stage.recompute
        if stage.frozen_encoder:
            self.tokenizer.encoder.requires_grad_(requires_grad=False)
        adversaries = stage.adversaries.axes if stage.adversaries else ()
        width = stage.adversaries.filters if stage.adversaries else 1
        self.adversaries = nn.ModuleDict({str(axes): Discriminator(axes, filters=width) for axes in adversaries})
        self.lecam = nn.ModuleDict({str(axes): LeCam() for axes in adversaries})
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> "TokenizerTrainer":
        """Training mode for all but the feature network, which stays what it was."""
        super().train(mode)
        if isinstance(self.features, nn.Module):
            self.features.eval()
        return self

    def forward(self, x: Float[Tensor, "b 1 z y x"]) -> dict[str, Tensor]:
        """Terms of a batch; in training the step moves on."""
        step = int(self.step)
        weights = self.stage.weights
        softness = None if self.stage.frozen_encoder else weights.softness_at(step)
        made, latents = self.tokenizer(x, softness=softness, mode=self.stage.mode)
        made = made.float()
        terms = reconstruction_terms(made, x, weights, self.features)
        loss = terms["reconstruction"]
        if isinstance(self.tokenizer.quantizer, LFQ) and not self.stage.frozen_encoder:
            terms |= quantizer_terms(latents, self.tokenizer.quantizer, weights, step=step)
            loss = loss + terms["quantizer"]
        for axes in self.adversaries:
            if axes == "2" or x.shape[2] > 1:
                # Judges run in float32 also under mixed precision: a gradient of a gradient in bfloat16 is noise, and on CPU its
                # convolutions over one or two voxels give weights gradients from memory that was never written (torch 2.13).
                with torch.autocast(x.device.type, enabled=False):
                    part, parts = self._against(axes, made, x.float(), step)
                loss, terms = loss + part, terms | parts
            elif num_ranks() > 1:
                loss = loss + self._absent(axes, x)
        if self.training:
            self.step += 1
        return terms | {"loss": loss}

    def _against(self, axes: str, made: Tensor, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The tokenizer's loss before a fixed judge, plus the judge's own before a fixed reconstruction."""
        config, judge = self.stage.adversaries, self.adversaries[axes]
        assert config is not None
        # Not `state_dict`: that of a sharded model gives shards, and ends the forward pass for them.
        fixed = {name: parameter.detach() for name, parameter in judge.named_parameters()}
        fooled = generator_loss(functional_call(judge, fixed, (made,)), config.loss)
        is_penalised = config.penalty > 0 and step % config.penalty_every == 0 and self.training
        real_input = x.detach().requires_grad_(is_penalised)
        real, fake = judge(real_input), judge(made.detach())
        own = discriminator_loss(real, fake, config.loss)
        terms = {f"generator{axes}d": fooled.detach(), f"discriminator{axes}d": own.detach()}
        own = own + config.lecam * self.lecam[axes](real, fake)
        if is_penalised:
            penalty = gradient_penalty(real, real_input)
            own, terms[f"penalty{axes}d"] = own + config.penalty * penalty, penalty.detach()
        heard = config.generator if step >= config.start_step else 0.0
        return heard * fooled + own, terms

    def _absent(self, axes: str, x: Tensor) -> Tensor:
        """This rank's part where only others have something to judge: their LeCam penalty, and gradients of zero for the judge."""
        assert self.stage.adversaries is not None
        nothing = x.new_zeros(0)
        touched = torch.stack([parameter.sum() for parameter in self.adversaries[axes].parameters()]).sum()
        return self.stage.adversaries.lecam * self.lecam[axes](nothing, nothing) + 0 * touched


def _start(config: TokenizerConfig, stage: StageConfig) -> Tokenizer:
    """Fresh weights, those of single slices, or those of an earlier stage with this stage's mode."""
    modes = (stage.mode,)
    values = {**config.to_dict(), "modes": modes}
    tokenizer = Tokenizer(TokenizerConfig.from_dict(values))
    if stage.start_from is not None and stage.initial_weights is not None:
        raise ConfigError("two weights to begin with", expected="start_from or initial_weights", found="both")
    if stage.initial_weights is not None:
        load_slices(tokenizer, stage.initial_weights, fresh=stage.fresh)
    elif stage.start_from is not None:
        earlier = Tokenizer.load(Path(stage.start_from))
        if {**earlier.config.to_dict(), "modes": modes, "name": ""} != {**values, "name": ""}:
            raise ConfigError("the weights to begin with are of other sizes", expected=str(config), found=str(earlier.config))
        tokenizer.load_state_dict(earlier.state_dict())
    if stage.frozen_encoder and stage.start_from is None:
        raise ConfigError("a frozen encoder must have been trained", hint="Give start_from.")
    if stage.inflate:
        inflate_from_slices(tokenizer)
    return tokenizer.train()
