"""Inflated kernels against the 2D network that they came from: written out with plain 2D convolutions, and BTB3D's own where it is at hand."""

import os
import re
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from tests.tokenizers3d.conftest import make_tokenizer, random_volume
from tokenizers3d.config import TokenizerConfig
from tokenizers3d.errors import CheckpointError, ConfigError
from tokenizers3d.haar import haar, unhaar
from tokenizers3d.inflate import inflate_from_slices, load_slices, slice_name
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.train import StageConfig, TokenizerTrainer

SIZES = {"filters": 8, "num_res_blocks": 2, "num_groups": 4, "channel_multipliers": [1, 2, 4], "depth_downsample": [False, True]}


def slice_weights(*, bands: int = 4, seed: int = 3) -> dict[str, Tensor]:
    """Weights of a 2D network under this package's names: kernels of two axes, `bands` wavelet bands in and out."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, own in make_tokenizer(**SIZES).state_dict().items():
        shape = list(own.shape[:2] + own.shape[3:] if own.dim() == 5 else own.shape)
        if name == "encoder.stem.weight":
            shape[1] = bands
        elif name.startswith("decoder.head."):
            shape[0] = bands
        elif name.startswith("decoder.ups.0"):
            shape[0] //= 2  # the first of the two doublings also doubles depth
        noise = torch.randn(shape, generator=generator)
        is_norm = own.dim() == 1 and name.endswith("weight")
        weights[name] = 1 + 0.1 * noise if is_norm else noise / max(noise[0].numel(), 4) ** 0.5
    return weights


def block(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    inner = x
    for i in (1, 2):
        inner = F.silu(F.group_norm(inner, 4, w[f"{name}.norm{i}.weight"], w[f"{name}.norm{i}.bias"]))
        inner = F.conv2d(inner, w[f"{name}.conv{i}.weight"], padding=1)
    return inner + (F.conv2d(x, w[f"{name}.shortcut.weight"]) if f"{name}.shortcut.weight" in w else x)


def encode_slice(w: dict[str, Tensor], bands: Tensor) -> Tensor:
    x = F.conv2d(bands, w["encoder.stem.weight"], w["encoder.stem.bias"], padding=1)
    for i in range(3):
        for j in range(2):
            x = block(w, f"encoder.stages.{i}.{j}", x)
        if i < 2:
            x = F.conv2d(F.pad(x, (1, 1, 1, 1)), w[f"encoder.downs.{i}.weight"], w[f"encoder.downs.{i}.bias"], stride=2)
    for j in range(2):
        x = block(w, f"encoder.final.{j}", x)
    x = F.silu(F.group_norm(x, 4, w["encoder.norm.weight"], w["encoder.norm.bias"]))
    return F.conv2d(x, w["encoder.head.weight"], w["encoder.head.bias"])


def decode_slice(w: dict[str, Tensor], tokens: Tensor) -> Tensor:
    x = F.conv2d(tokens, w["decoder.stem.weight"], w["decoder.stem.bias"], padding=1)
    for j in range(2):
        x = block(w, f"decoder.first.{j}", x)
    for i in range(3):
        spread = F.interpolate(tokens, x.shape[2:]).movedim(1, -1)
        gamma, beta = (F.linear(spread, w[f"decoder.modulations.{i}.{k}.weight"], w[f"decoder.modulations.{i}.{k}.bias"]) for k in ("gamma", "beta"))
        x = F.group_norm(x, 4) * (1 + gamma.movedim(-1, 1)) + beta.movedim(-1, 1)
        for j in range(2):
            x = block(w, f"decoder.stages.{i}.{j}", x)
        if i < 2:
            x = F.conv2d(x, w[f"decoder.ups.{i}.conv.weight"], w[f"decoder.ups.{i}.conv.bias"], padding=1)
            n, c, rows, columns = x.shape
            x = x.view(n, 2, 2, c // 4, rows, columns).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * rows, 2 * columns)
    x = F.silu(F.group_norm(x, 4, w["decoder.norm.weight"], w["decoder.norm.bias"]))
    return F.conv2d(x, w["decoder.head.weight"], w["decoder.head.bias"], padding=1)


def haar_slice(image: Tensor) -> Tensor:
    """Signed means of 2x2 pixels: sum, difference along columns, along rows, along both."""
    a, b, c, d = (image[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    return torch.cat([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], 1) / 4


@torch.no_grad()
def test_the_first_slice_is_what_the_2d_network_makes_of_it() -> None:
    weights, tokenizer = slice_weights(), make_tokenizer(**SIZES)
    load_slices(tokenizer, weights)
    volume = random_volume(2, 9, 32, 16)
    expected = encode_slice(weights, haar_slice(volume[:, :, 0]))
    latents = tokenizer.encoder(haar(volume))
    assert (latents[:, :, 0] - expected).abs().max() < 1e-5
    tokens = torch.sign(latents)
    bands = decode_slice(weights, tokens[:, :, 0])
    made = unhaar(tokenizer.decoder(tokens))[:, :, 0]
    assert (haar_slice(made) - bands).abs().max() < 1e-5
    assert bands.std() > 0.01


@torch.no_grad()
def test_every_frame_stands_for_itself() -> None:
    tokenizer = make_tokenizer(**SIZES)
    load_slices(tokenizer, slice_weights())
    slice_ = random_volume(1, 1, 16, 16)
    codes = tokenizer.encode(slice_.expand(1, 1, 17, 16, 16)).codes
    assert all(torch.equal(codes[:, 0], codes[:, k]) for k in range(1, codes.shape[1]))
    assert torch.equal(codes[:, :1], tokenizer.encode(slice_).codes)


def test_a_tokenizer_of_slices_keeps_the_tap_that_saw_them(tmp_path: Path) -> None:
    trained = make_tokenizer(seed=5)
    trained.save(tmp_path / "slices.safetensors")
    config = TokenizerConfig.from_dict({**trained.config.to_dict(), "name": "volumes"})
    begun = TokenizerTrainer(config, StageConfig(initial_weights=str(tmp_path / "slices.safetensors"))).tokenizer
    inflate_from_slices(trained)
    assert all(torch.equal(tensor, begun.state_dict()[name]) for name, tensor in trained.state_dict().items())
    assert begun.encoder.stem.weight[:, :, -1].abs().max() > 0
    slice_ = random_volume(1, 1, 16, 16)
    assert torch.equal(begun.eval().encode(slice_).codes, make_tokenizer(seed=5).encode(slice_).codes)
    with pytest.raises(ConfigError, match="two weights to begin with"):
        TokenizerTrainer(config, StageConfig(initial_weights="a", start_from="b"))


def test_published_names_and_prefixes(tmp_path: Path) -> None:
    ours, theirs = make_tokenizer(**SIZES), make_tokenizer(**SIZES, seed=9)
    load_slices(ours, slice_weights())
    named = {"module.tokenizer." + slice_name(name): tensor.contiguous() for name, tensor in slice_weights().items()}
    named |= {"module.discriminator.conv_in.weight": torch.zeros(1), "module.tokenizer.quantize.mask": torch.zeros(18)}
    assert not any(re.search(r"conv_0\.conv\.|conv_first\.conv\.", name) for name in named)
    save_file(named, tmp_path / "iter_1.safetensors")
    torch.save({"state_dict": named}, tmp_path / "iter_1.ckpt")
    for path in tmp_path.iterdir():
        load_slices(theirs, path)
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_other_channels_are_left_fresh_only_when_asked() -> None:
    weights, tokenizer = slice_weights(bands=1), make_tokenizer(**SIZES)
    stem = tokenizer.encoder.stem.weight[:, :, -1].clone()
    with pytest.raises(CheckpointError, match=r"misshapen .*decoder\.head\.bias \(1,\) for \(8,\)"):
        load_slices(tokenizer, weights)
    load_slices(tokenizer, weights, fresh=("encoder.stem", "decoder.head"))
    assert torch.equal(tokenizer.encoder.stem.weight[:, :, -1], stem)
    assert torch.equal(tokenizer.encoder.head.weight[:, :, -1], weights["encoder.head.weight"])
    with pytest.raises(ConfigError, match="no parameter has this name"):
        load_slices(tokenizer, weights, fresh=("encoder.first",))


def test_weights_that_do_not_fit_are_refused_and_change_nothing() -> None:
    weights, tokenizer = slice_weights(), make_tokenizer(**SIZES)
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    name = "encoder.stages.0.1.conv2.weight"
    for changed, words in (
        ({k: v for k, v in weights.items() if k != name}, f"missing keys .*{name}"),
        ({**weights, "encoder.more.weight": torch.zeros(2)}, r"unknown keys .*encoder\.more\.weight"),
        ({**weights, name: torch.zeros(8, 8, 5, 5)}, r"misshapen .*\(8, 8, 5, 5\) for \(8, 8, 3, 3, 3\)"),
        ({**weights, slice_name(name): weights[name]}, "under two names"),
        ({k: v for k, v in weights.items() if not k.startswith("encoder")}, "missing keys"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_slices(tokenizer, changed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tokenizer.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("layout", [((1, 2, 4), (True, True)), ((1, 2, 2, 4), (False, True, True))])
def test_the_published_2d_network(layout: tuple[tuple[int, ...], tuple[bool, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    root = os.environ.get("VOL3D_BTB3D")
    if not root:
        pytest.skip("no checkout of the published code: set VOL3D_BTB3D to its encoder-decoder folder")
    monkeypatch.setattr(sys, "path", [root, *sys.path])
    try:
        from modeling.magvit2_2d import Decoder, Encoder
    except ImportError as error:
        pytest.skip(f"the published code cannot be imported: {error}")
    multipliers, depth = layout
    torch.manual_seed(0)
    encoder = Encoder(filters=32, chan_in=4, chan_out=18, num_res_blocks=1, channel_multipliers=multipliers)
    decoder = Decoder(filters=32, chan_in=18, chan_out=4, num_res_blocks=1, channel_multipliers=multipliers)
    tokenizer = Tokenizer(TokenizerConfig(name="x", filters=32, num_res_blocks=1, channel_multipliers=multipliers, depth_downsample=depth))
    state = {f"{side}.{k}": v for side, net in (("encoder", encoder), ("decoder", decoder)) for k, v in net.state_dict().items()}
    load_slices(tokenizer, state)
    volume = random_volume(1, 9, 64, 64)
    latents, expected = tokenizer.encoder(haar(volume)), encoder(haar_slice(volume[:, :, 0]))
    assert (latents[:, :, 0] - expected).abs().max() < 1e-4
    tokens = torch.sign(latents)
    assert (haar_slice(unhaar(tokenizer.decoder(tokens))[:, :, 0]) - decoder(tokens[:, :, 0])).abs().max() < 1e-4
