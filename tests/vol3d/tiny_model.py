"""A whole vision-language model of a few thousand weights, untrained: it says nonsense, and everything around it is real."""

from pathlib import Path

import torch

LETTERS = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;?!()<>|_-+/'\"=%&*#[]{}@~^`$\\\n ", "<|im_start|>", "<|im_end|>"]


def save_tiny_model(folder: Path) -> Path:
    """Write language model, projectors and visual tokenizer to `folder`, as `load_model(folder)` wants them."""
    from tokenizers3d import Tokenizer
    from tokenizers3d.config import TokenizerConfig
    from vol3d.vlm import saving
    from vol3d.vlm.config import LoraSpec, ProjectorSpec, VisionLanguageConfig
    from vol3d.vlm.model import VisionLanguageModel

    _save_language_model(folder / "language")
    torch.manual_seed(0)
    visual = Tokenizer(TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4))
    visual.save(folder / "tokenizer.safetensors")
    visual = Tokenizer.load(folder / "tokenizer.safetensors")
    spec = ProjectorSpec(class_path="vol3d.vlm.projectors.PoolProjector", init_args={"in_channels": visual.quantizer.num_channels})
    config = VisionLanguageConfig(
        projectors=dict.fromkeys(("volume", "slice", "overlay"), spec),
        language=str(folder / "language"),
        lora=LoraSpec(rank=2),
        visual_tokenizer_id=visual.tokenizer_id,
    )
    saving.save(VisionLanguageModel.from_config(config), folder / "vlm.safetensors")
    return folder


def _save_language_model(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(LETTERS)}, unk_token="."))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(LETTERS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=8192, eos_token_id=LETTERS.index("<|im_end|>"), tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
