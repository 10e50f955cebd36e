import pytest
import torch

from tokenizers3d.config import TokenizerConfig
from tokenizers3d.tokenizer import Tokenizer


def make_tokenizer(*, seed: int = 0, **settings: object) -> Tokenizer:
    """Random weights; norms and biases too, so that nothing is tested at zero or one."""
    sizes = {"filters": 8, "num_res_blocks": 1, "num_groups": 4, "quantizer_args": {"num_bits": 18}}
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer = Tokenizer(TokenizerConfig.from_dict({"name": "tiny", **sizes, **settings}))
    with torch.no_grad():
        for parameter in tokenizer.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else parameter + 0.1 * noise)
    return tokenizer


def random_volume(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Smooth content with noise, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(shape[0], 1, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, shape[1:], mode="trilinear")
    return (smooth * 0.5 + 0.1 * torch.randn(shape[0], 1, *shape[1:], generator=generator)).clamp(-1, 1).to(dtype)


@pytest.fixture(params=["8x8x8", "16x16x8"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each published layout, at a small width."""
    if request.param == "8x8x8":
        return make_tokenizer()
    return make_tokenizer(channel_multipliers=[1, 2, 2, 4], depth_downsample=[False, True, True])
