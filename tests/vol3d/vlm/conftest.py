"""Language models for the tests: a tiny one that is always there, and the real one where it can be had without a download."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.vol3d.vlm.tiny import tiny_config, write_tiny_language
from vol3d.cache import cache_folder
from vol3d.vlm.base_weights import SMOLLM2
from vol3d.vlm.language import load_language_model
from vol3d.vlm.model import VisionLanguageModel


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny language model."""
    return write_tiny_language(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_model(tiny_folder: Path) -> VisionLanguageModel:
    """A fresh tiny vision-language model whose adapters do something."""
    torch.manual_seed(1)
    model = VisionLanguageModel.from_config(tiny_config(tiny_folder))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return model.eval()


@pytest.fixture(scope="session")
def smollm2() -> tuple[Any, Any]:
    """The real base model and its tokenizer; skips where it would have to be downloaded."""
    if not (cache_folder() / "models" / SMOLLM2).exists() and not os.environ.get("VOL3D_BASE_WHEEL"):
        pytest.skip("the base model is not in the cache: run make demo once, or set VOL3D_BASE_WHEEL")
    return load_language_model()
