"""A language model of two layers that spells: real code paths, no download, milliseconds."""

import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from vol3d.vlm.config import LoraSpec, ProjectorSpec, VisionLanguageConfig
from vol3d.vlm.fuse import Visual

CHANNELS = 6
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LETTERS = string.ascii_letters + string.digits + " .,:?!()-/\n"


def write_tiny_language(folder: Path, *, seed: int = 0, extra: str = "") -> Path:
    """A Llama of 2 layers with grouped heads and a character tokenizer, as a folder that transformers reads."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *LETTERS, *extra])}
    spell = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[0]))
    spell.pre_tokenizer = pre_tokenizers.Split("", behavior="isolated")
    spell.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=spell, eos_token=SPECIAL[2], pad_token=SPECIAL[0], additional_special_tokens=SPECIAL[:2])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, max_position_embeddings=2048, initializer_range=0.3, eos_token_id=2, bos_token_id=None, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def tiny_config(language: Path, **changes: Any) -> VisionLanguageConfig:
    """Pool for volumes, MLP for slices, LoRA of rank 2."""
    projectors = {
        "volume": ProjectorSpec(
            class_path="vol3d.vlm.projectors.PoolProjector", init_args={"in_channels": CHANNELS, "stride": (2, 2, 2), "hidden": 16}
        ),
        "slice": ProjectorSpec(class_path="vol3d.vlm.projectors.MLPProjector", init_args={"in_channels": CHANNELS, "hidden": 16}),
    }
    values = {"language": str(language), "projectors": projectors, "lora": LoraSpec(rank=2, alpha=4)}
    return VisionLanguageConfig(**{**values, **changes})


def visual(kind: str = "volume", *, seed: int = 0, grid: tuple[int, int, int] = (2, 4, 4)) -> Visual:
    """Random signs on a grid of 8 mm tokens."""
    signs = torch.randint(0, 2, (CHANNELS, *grid), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0
    return Visual(kind, signs, torch.diag(torch.tensor([8.0, 8.0, 8.0, 1.0])))
