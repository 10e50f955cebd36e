"""The vision-language model: a frozen base language model, low-rank adapters on it, and trained projectors for visual tokens.

Text is tokenised in pieces (prefix, question, answer) that are never merged, so that training and inference see the same ids.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tokenizers3d import Tokenizer
from vol3d.contracts import ExpertCard
from vol3d.errors import CheckpointError, ShapeError
from vol3d.vlm import decoding
from vol3d.vlm.attention import backend_of, plan
from vol3d.vlm.config import VisionLanguageConfig, build_projector
from vol3d.vlm.decoding import Guide, Prefix, Reply
from vol3d.vlm.fuse import Visual, add_placeholders, expand, place
from vol3d.vlm.language import load_language_model
from vol3d.vlm.packing import IGNORE, Group, PackedBatch, Span, context, target
from vol3d.vlm.view import Visuals

logger = logging.getLogger(__name__)

DEMO = "demo"
SHIPPED_TOKENIZER = "tokenizer_small_8x8x8.safetensors"


@dataclass(frozen=True)
class Loss:
    """Losses of one batch: the weighted mean, and the cross-entropy in nats of each trained token in row-major order."""

    loss: Float[Tensor, ""]
    token_losses: Float[Tensor, " m"]
    targets: Int[Tensor, " m"]
    is_right: Tensor


class VisionLanguageModel(nn.Module):
    """See `from_config`, `vol3d.vlm.saving.load` and `load_model`.

    Args:
        config: what it is made of.
        language: a causal language model from `load_language_model`, adapters and all.
        text_tokenizer: its tokenizer; the placeholders are added to it.
        projectors: one for each kind of visual.
    """

    def __init__(self, config: VisionLanguageConfig, language: Any, text_tokenizer: Any, projectors: nn.ModuleDict) -> None:
        super().__init__()
        self.config, self.language, self.projectors = config, language, projectors
        self.text_tokenizer = text_tokenizer
        self.placeholders = add_placeholders(text_tokenizer)
        # Projected tokens start as loud as words, or the first steps are spent on turning them down.
        loudness = language.get_input_embeddings().weight.float().pow(2).mean().sqrt()
        self.loudness = nn.ParameterDict({kind: nn.Parameter(loudness.clone()) for kind in projectors})
        self.tokenizer3d: Tokenizer | None = None
        self.tokenizer3d_path: Path | None = None
        self.provenance: dict[str, Any] = {}

    @classmethod
    def from_config(
        cls,
        config: VisionLanguageConfig,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        attention: str = "auto",
        trusted: tuple[str, ...] = ("vol3d",),
    ) -> "VisionLanguageModel":
        """A model with fresh adapters and projectors (torch's global generator draws them); only these are trainable.

        `dtype` is that of the base weights; what is trained is float32. Raises ConfigError, ResourceError, CheckpointError.
        """
        language, text_tokenizer = load_language_model(config.language, dtype=dtype, attention=attention, device=device)
        language.requires_grad_(False)
        if config.lora.rank:
            _add_lora(language, config)
        width = language.config.hidden_size
        projectors = nn.ModuleDict({kind: build_projector(spec, width=width, trusted=trusted) for kind, spec in config.projectors.items()})
        return cls(config, language, text_tokenizer, projectors).to(device)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.language.get_input_embeddings().weight.device

    @cached_property
    def end_id(self) -> int:
        """The token that ends a reply."""
        return int(self.text_tokenizer.eos_token_id)

    def ids(self, text: str) -> Int[Tensor, " n"]:
        """Token ids of a piece of text; nothing is added."""
        return torch.tensor(self.text_tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.long)

    def projector(self, kind: str) -> Any:
        """The projector of a kind of visual. Raises ShapeError where the model has none."""
        if kind not in self.projectors:
            raise ShapeError("no projector for this visual", expected=", ".join(self.projectors), found=kind)
        return self.projectors[kind]

    def prefix_ids(self, text: str, visuals: Sequence[Visual]) -> Int[Tensor, " n"]:
        """Ids of a text in which each placeholder is as long as its visual. Raises ShapeError where they do not match."""
        lengths = [self.projector(v.kind).num_tokens(v.grid) for v in visuals]
        return expand(self.ids(text), [v.kind for v in visuals], lengths, self.placeholders)

    def group(self, prefix: str, visuals: Sequence[Visual], branches: Sequence[tuple[str, str]], *, weights: Sequence[float] | None = None) -> Group:
        """A training group: one prefix and (question, answer) branches; the answers are trained, scaled by `weights`."""
        scales = [1.0] * len(branches) if weights is None else weights
        spans: list[Span] = []
        for (question, answer), weight in zip(branches, scales, strict=True):
            spans.append(context(self.ids(question)) + target(self.ids(answer), weight=weight))
        return Group(context(self.prefix_ids(prefix, visuals)), tuple(spans), tuple(visuals))

    def project(self, visuals: Sequence[Visual]) -> Float[Tensor, "m d"] | None:
        """Tokens of all visuals in order; visuals of one kind and size are projected together. None for no visuals."""
        groups: dict[tuple, list[int]] = {}
        for i, visual in enumerate(visuals):
            groups.setdefault((visual.kind, visual.vectors.shape), []).append(i)
        tokens: list[Tensor] = [torch.empty(0)] * len(visuals)
        for (kind, _), members in groups.items():
            vectors = torch.stack([visuals[i].vectors for i in members]).to(self.device)
            geometry = torch.stack([visuals[i].geometry for i in members]).to(self.device)
            for i, made in zip(members, self.projector(kind)(vectors, geometry), strict=True):
                tokens[i] = made * self.loudness[kind]
        return torch.cat(tokens) if tokens else None

    def embed(self, ids: Int[Tensor, "*rows n"], visuals: Sequence[Visual]) -> Float[Tensor, "*rows n d"]:
        """Word embeddings with the visual tokens in their places."""
        where = torch.isin(ids, torch.tensor(list(self.placeholders.values()), device=ids.device))
        # A placeholder may lie beyond the embedding table; its row is never used.
        words = self.language.get_input_embeddings()(ids.masked_fill(where, 0))
        return place(ids, words, self.project(visuals), self.placeholders)

    def forward(self, batch: PackedBatch) -> Loss:
        """The loss of a packed batch; the vocabulary is only scored where a token is trained.

        Raises ShapeError where nothing is trained.
        """
        batch = batch.to(self.device)
        trained = (batch.labels != IGNORE) & (batch.predictors >= 0)
        rows, places = trained.nonzero(as_tuple=True)
        if not len(rows):
            raise ShapeError("no token of the batch is trained", hint="Give at least one answer.")
        packed = plan(batch.segment_ids, batch.parent_ids, backend=backend_of(self.language))
        hidden = self.language.get_decoder()(
            inputs_embeds=self.embed(batch.ids, batch.visuals),
            position_ids=batch.positions,
            attention_mask=packed.mask,
            packed_plan=packed,
            use_cache=False,
        )[0]
        logits = self.language.get_output_embeddings()(hidden[rows, batch.predictors[rows, places]])
        targets, weights = batch.labels[rows, places], batch.weights[rows, places]
        losses = cross_entropy(logits.float(), targets, reduction="none")
        mean = (losses * weights).sum() / weights.sum().clamp_min(1e-8)
        return Loss(mean, losses.detach(), targets, logits.argmax(-1) == targets)

    def encode_prefix(self, text: str, visuals: Sequence[Visual] = ()) -> Prefix:
        """Read a prefix once; many questions can be answered after it."""
        return decoding.encode_prefix(self, text, visuals)

    def answer_many(
        self,
        prefix: Prefix,
        questions: Sequence[str],
        *,
        max_new_tokens: int = 48,
        choices: Sequence[Sequence[str]] | None = None,
        guide: Guide | None = None,
    ) -> list[Reply]:
        """Greedy replies to questions that share a prefix; with `choices` (one list a question) the likeliest choice of each."""
        return decoding.answer_many(self, prefix, questions, max_new_tokens=max_new_tokens, choices=choices, guide=guide)

    def generate(
        self, text: str, visuals: Sequence[Visual], question: str, *, max_new_tokens: int = 48, choices: Sequence[str] | None = None
    ) -> Reply:
        """One greedy reply, or the likeliest of `choices`, to one question after one prefix."""
        prefix = self.encode_prefix(text, visuals)
        return self.answer_many(prefix, [question], max_new_tokens=max_new_tokens, choices=None if choices is None else [choices])[0]

    def say(
        self, prefix: str, visuals: Visuals | None, question: str, *, cards: Sequence[ExpertCard] | None = None, max_new_tokens: int = 96
    ) -> tuple[str, float | None]:
        """Text of a reply and its probability; the call that `vol3d.inference` makes.

        Where the `cards` in the prefix are given, no call can be written that they do not allow, and none at all where there are none.
        """
        # Imported here: the grammar of calls stands beside their parser, in a package that builds on this one.
        from vol3d.inference.call_guide import guide_for

        guide = None if cards is None else guide_for(self, cards)
        read = self.encode_prefix(prefix, visuals.in_order if visuals else ())
        reply = self.answer_many(read, [question], max_new_tokens=max_new_tokens, guide=guide)[0]
        return reply.text, reply.confidence

    def reply_many(self, prefix: str, visuals: Visuals | None, questions: Sequence[str]) -> list[str]:
        """Texts of the replies to many questions; the call that `vol3d.evaluation` makes."""
        read = self.encode_prefix(prefix, visuals.in_order if visuals else ())
        return [reply.text for reply in self.answer_many(read, questions)]

    def attach_tokenizer(self, tokenizer: Tokenizer, path: str | Path | None = None) -> None:
        """Give the model its visual tokenizer. Raises CheckpointError for another one than it was trained with."""
        expected, found = self.config.visual_tokenizer_id, tokenizer.tokenizer_id
        if expected and expected != found:
            hint = "Use the tokenizer that lies beside the model."
            raise CheckpointError("the model was trained on another tokenizer's tokens", path=path, expected=expected, found=found, hint=hint)
        # Kept out of the module tree: it is no part of what is trained or saved here.
        object.__setattr__(self, "tokenizer3d", tokenizer)
        self.tokenizer3d_path = Path(path) if path else None


def _add_lora(language: Any, config: VisionLanguageConfig) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    spec = config.lora
    lora = LoraConfig(r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout, target_modules=list(spec.targets))
    inject_adapter_in_model(lora, language)


def load_model(
    name_or_path: str | Path = DEMO,
    *,
    tokenizer: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: str = "auto",
) -> VisionLanguageModel:
    """A trained model ready to answer: adapters merged, visual tokenizer attached.

    Args:
        name_or_path: `demo` (ships with the package) or a file that `vol3d.vlm.saving.save` wrote.
        tokenizer: the visual tokenizer's file; where None `tokenizer.safetensors` beside the model, else the one that ships.
        device, dtype, attention: of the language model.

    Raises CheckpointError (missing, damaged, or trained on other base weights or another tokenizer), ResourceError.
    """
    from vol3d.vlm.saving import load

    assets = Path(str(files("vol3d"))) / "assets"
    path = assets / "demo_vlm.safetensors" if name_or_path == DEMO else Path(name_or_path)
    if path.is_dir():
        path = path / "vlm.safetensors"
    model = load(path, device=device, dtype=dtype, attention=attention)
    beside = path.parent / "tokenizer.safetensors"
    # Whichever is taken, attaching refuses it if the model was trained on another one's tokens.
    visual = Path(tokenizer) if tokenizer is not None else beside if beside.exists() else assets / SHIPPED_TOKENIZER
    model.attach_tokenizer(Tokenizer.load(visual).to(device), visual)
    decoding.merge_adapters(model)
    return model.eval()
