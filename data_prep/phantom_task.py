"""The demo's training task: conversations about phantoms for a small language model with projectors and adapters."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from data_prep.phantom_conversations import PhantomConversations
from tokenizers3d import Tokenizer
from vol3d.training.loop import Finished, MapDataset
from vol3d.training.recipe import TrainingTask
from vol3d.training.state import restore_trained
from vol3d.vlm.config import LoraSpec, ProjectorSpec, VisionLanguageConfig
from vol3d.vlm.dataset import ConversationGroups
from vol3d.vlm.model import VisionLanguageModel
from vol3d.vlm.packing import Group, PackedBatch, pack
from vol3d.vlm.saving import save


class PhantomVlm(TrainingTask):
    """Train projectors and adapters on phantoms.

    Args:
        tokenizer: weights of the visual tokenizer.
        projectors: kind of visual -> class_path and init_args of its projector.
        lora: the adapters.
        corpus: folder of conversations and tokens; what is missing is made.
        num_scans, first_seed: which phantoms. Held-out phantoms have seeds below 10,000.
        draws: how often a scan is composed in one epoch.
        num_turns: questions that share a prefix.
        wrong_share: of the draws that show evidence, in how many some of it is wrong and "doubtful" is the reply.
        row_length: tokens of a packed row.
        dtype: of the frozen base weights.
    """

    def __init__(
        self,
        tokenizer: str,
        projectors: dict[str, dict[str, Any]],
        lora: LoraSpec,
        corpus: str,
        num_scans: int,
        first_seed: int = 10_000,
        draws: int = 8,
        num_turns: int = 8,
        wrong_share: float = 0.0,
        row_length: int = 1024,
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        self.tokenizer, self.row_length = Path(tokenizer), row_length
        self.projectors = {kind: ProjectorSpec(**spec) for kind, spec in projectors.items()}
        self.lora, self.dtype = lora, dtype
        self.corpus = PhantomConversations(corpus, num_scans, first_seed, self.tokenizer)
        self.draws, self.num_turns, self.wrong_share = draws, num_turns, wrong_share

    @cached_property
    def _model(self) -> VisionLanguageModel:
        tokenizer_id = Tokenizer.load(self.tokenizer).tokenizer_id
        config = VisionLanguageConfig(projectors=self.projectors, lora=self.lora, visual_tokenizer_id=tokenizer_id)
        return VisionLanguageModel.from_config(config, dtype={"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype])

    def model(self) -> nn.Module:
        """The model with fresh adapters and projectors."""
        return self._model

    def dataset(self) -> MapDataset:
        """Packed groups; see ConversationGroups."""
        return ConversationGroups(self.corpus, self._model.group, draws=self.draws, num_turns=self.num_turns, wrong_share=self.wrong_share)

    def collate(self, samples: list[Group]) -> PackedBatch:
        """Groups in rows."""
        return pack(samples, row_length=max(self.row_length, max(map(len, samples))))

    def step(self, model: nn.Module, batch: PackedBatch) -> Mapping[str, Tensor]:
        """Cross-entropy of the replies, and the share of their tokens that greedy decoding would get right."""
        loss = model(batch)
        return {"loss": loss.loss, "token_accuracy": loss.is_right.float().mean(), "tokens": torch.tensor(float(batch.num_tokens))}

    def finish(self, model: nn.Module, finished: Finished, out: Path, provenance: dict[str, Any]) -> None:
        """Write `vlm.safetensors`, averaged weights where they were kept, beside its tokenizer."""
        if finished.average is not None:
            restore_trained(model, dict(finished.average))
        scans = f"{len(self.corpus)} phantoms from seed {self.corpus.seeds.start}"
        save(self._model, out / "vlm.safetensors", dtype=torch.bfloat16, provenance={**provenance, "data": scans})
