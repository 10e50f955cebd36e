"""Parity with the published code, live where `VOL3D_BTB3D` names a checkout of its `encoder-decoder`, else by stored numbers.

The numbers were made by `python -m tests.tokenizers3d.test_btb3d` from such a checkout: seeded weights at width 32, no trained ones.
"""

import contextlib
import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tokenizers3d.btb3d import load_btb3d, published_name
from tokenizers3d.config import TokenizerConfig
from tokenizers3d.errors import CheckpointError
from tokenizers3d.haar import haar
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.windows import encode_windows

FIXTURES = Path(__file__).parent / "fixtures"
LAYOUTS = {"8x8x8": ((1, 2, 4), (True, True)), "16x16x8": ((1, 2, 2, 4), (False, True, True))}


def seeded_state(layout: str, *, filters: int = 32, num_res_blocks: int = 1) -> dict[str, torch.Tensor]:
    """Weights under published names, from numpy's generator, scaled as fresh layers are."""
    multipliers, depth = LAYOUTS[layout]
    sizes = {"filters": filters, "num_res_blocks": num_res_blocks, "quantizer_args": {"num_bits": 18}}
    with torch.device("meta"):
        own = Tokenizer(TokenizerConfig(name="x", channel_multipliers=multipliers, depth_downsample=depth, **sizes)).state_dict()
    rng, state = np.random.default_rng(7), {}
    for name in sorted(own):
        shape = tuple(own[name].shape)
        values = rng.standard_normal(shape).astype(np.float32)
        is_norm = ".norm" in name
        scaled = 1 + 0.1 * values if is_norm and name.endswith("weight") else values / max(np.prod(shape[1:]), 100) ** 0.5
        state[published_name(name)] = torch.from_numpy(scaled.astype(np.float32))
    return state | {"quantize.mask": 2 ** torch.arange(17, -1, -1)}


def seeded_volume() -> torch.Tensor:
    rng = np.random.default_rng(11)
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 4, 4, 4)).astype(np.float32))
    fine = torch.from_numpy(rng.standard_normal((1, 1, 25, 32, 48)).astype(np.float32))
    return (torch.nn.functional.interpolate(coarse, (25, 32, 48), mode="trilinear") * 0.5 + fine * 0.1).clamp(-1, 1)


def published_run(
    layout: str, state: dict[str, torch.Tensor], x: torch.Tensor, *, filters: int, num_res_blocks: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes `b z y x` and reconstruction of the published code."""
    root = os.environ.get("VOL3D_BTB3D")
    if not root:
        pytest.skip("no checkout of the published code: set VOL3D_BTB3D to its encoder-decoder folder")
    sys.path.insert(0, root)
    try:
        from modeling.magvit_model import VisionTokenizerModule
    except ImportError as error:
        pytest.skip(f"the published code cannot be imported: {error}")
    finally:
        sys.path.remove(root)
    multipliers, depth = LAYOUTS[layout]
    side = SimpleNamespace(filters=filters, num_res_blocks=num_res_blocks, temporal_downsample=list(depth), channel_multipliers=list(multipliers))
    config = SimpleNamespace(model=SimpleNamespace(quantize_model=SimpleNamespace(token_size=18, use_l2_norm=False), encoder=side, decoder=side))
    module = VisionTokenizerModule(config, "video", "lfq", 2**18, 0.25, 1.0).eval()
    module.load_state_dict(state, strict=True)
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        vectors, output, _ = module.encode(x)
        return output.indices.reshape(vectors.shape[:1] + vectors.shape[2:]), module.decode(vectors)


def assert_same_where_decided(tokenizer: Tokenizer, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """All codes equal but those with a latent within 1e-5 of zero, which rounding may turn; those must be few."""
    with torch.no_grad():
        latents = encode_windows(tokenizer.encoder, haar(seeded_volume()), num_frames=4)
    decided = (latents.abs() > 1e-5).all(1)
    assert decided.float().mean() > 0.99
    assert torch.equal(ours[decided].int(), theirs[decided].int())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stored_numbers_of_the_published_code(layout: str) -> None:
    golden = np.load(FIXTURES / f"btb3d_{layout}.npz")
    tokenizer = load_btb3d(seeded_state(layout))
    grid = tokenizer.encode(seeded_volume(), "windowed")
    published = grid.with_codes(torch.from_numpy(golden["codes"]))
    assert_same_where_decided(tokenizer, grid.codes, published.codes)
    assert np.abs(tokenizer.decode(published).numpy() - golden["reconstruction"]).max() < 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("filters", "num_res_blocks"), [(32, 2), pytest.param(96, 4, marks=pytest.mark.slow)])
def test_the_published_code_itself(layout: str, filters: int, num_res_blocks: int) -> None:
    state = seeded_state(layout, filters=filters, num_res_blocks=num_res_blocks)
    x = seeded_volume()
    codes, reconstruction = published_run(layout, state, x, filters=filters, num_res_blocks=num_res_blocks)
    tokenizer = load_btb3d(state)
    grid = tokenizer.encode(x)
    assert grid.mode == "windowed"
    assert_same_where_decided(tokenizer, grid.codes, codes)
    assert (tokenizer.decode(grid.with_codes(codes.int())) - reconstruction).abs().max() < 1e-4


def test_windows_differ_from_one_pass_after_the_first() -> None:
    tokenizer, x = load_btb3d(seeded_state("8x8x8")), seeded_volume()
    windowed, streamed = tokenizer.encode(x, "windowed").codes, tokenizer.encode(x, "stream").codes
    assert torch.equal(windowed[:, :2], streamed[:, :2])
    assert not torch.equal(windowed[:, 2:], streamed[:, 2:])


def test_batches_of_windows_change_nothing() -> None:
    tokenizer, frames = load_btb3d(seeded_state("8x8x8")).double(), haar(seeded_volume().double())
    with torch.no_grad():
        one, three = (encode_windows(tokenizer.encoder, frames, num_frames=4, windows_per_batch=n) for n in (1, 3))
        single = torch.cat([tokenizer.encoder(frames[:, :, s : s + 5])[:, :, (0 if s == 0 else 1) :] for s in (0, 4, 8)], 2)
    assert (one - single).abs().max() < 1e-12
    assert (three - single).abs().max() < 1e-12


@pytest.mark.parametrize("prefix", ["", "module.", "tokenizer.", "module.tokenizer."])
def test_prefixes_of_training_checkpoints(prefix: str, tmp_path: Path) -> None:
    state = {prefix + key: value for key, value in seeded_state("8x8x8").items()}
    if prefix.endswith("tokenizer."):
        state[prefix.removesuffix("tokenizer.") + "discriminator.conv_in.weight"] = torch.zeros(1)
    torch.save({"state_dict": state}, tmp_path / "iter_1.ckpt")
    save_file(state, tmp_path / "model.safetensors")
    ids = {load_btb3d(source).tokenizer_id for source in (state, tmp_path / "iter_1.ckpt", tmp_path / "model.safetensors")}
    assert len(ids) == 1


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = seeded_state("8x8x8")
    name = "decoder.cond_norm_layers.cond_norm_1.gamma.weight"
    for changed, words in (
        ({k: v for k, v in state.items() if k != name}, "missing keys"),
        ({**state, "encoder.extra.weight": torch.zeros(2)}, "unknown keys"),
        ({**state, name: torch.zeros(3, 3)}, "misshapen"),
        ({k: v for k, v in state.items() if not k.startswith("encoder")}, "missing keys"),
        ({k: v for k, v in state.items() if not k.startswith("decoder.conv_up")}, "missing keys"),
        ({**state, "quantize.mask": 2 ** torch.arange(18)}, "another order of bits"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load_btb3d(changed)


def test_damaged_files_and_pickles_with_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "iter_1.ckpt"
    torch.save(seeded_state("8x8x8"), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not readable"):
        load_btb3d(path)
    torch.save({"state_dict": Path("x")}, path)
    with pytest.raises(CheckpointError, match="not readable"):
        load_btb3d(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="something else"):
        load_btb3d(path)
    with pytest.raises(CheckpointError, match="no such weights"):
        load_btb3d(tmp_path / "none.ckpt")


def _write_fixtures() -> None:
    for layout in LAYOUTS:
        codes, reconstruction = published_run(layout, seeded_state(layout), seeded_volume(), filters=32, num_res_blocks=1)
        FIXTURES.mkdir(exist_ok=True)
        np.savez_compressed(FIXTURES / f"btb3d_{layout}.npz", codes=codes.numpy().astype(np.int32), reconstruction=reconstruction.numpy())


if __name__ == "__main__":
    _write_fixtures()
