import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.tokenizers3d.conftest import make_tokenizer, random_volume
from tokenizers3d.config import TokenizerConfig, read_config, read_recipe
from tokenizers3d.errors import CheckpointError, ConfigError, ShapeError
from tokenizers3d.slabs import require_volume
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.types import TokenGrid


@given(z=st.integers(1, 26), y=st.integers(1, 20), x=st.integers(1, 20), mode=st.sampled_from(["stream", "windowed"]))
@settings(max_examples=20, deadline=None)
def test_what_is_padded_is_cropped_back(z: int, y: int, x: int, mode: str) -> None:
    tokenizer, volume = make_tokenizer(), random_volume(1, z, y, x)
    grid = tokenizer.encode(volume, mode)
    assert grid.shape == (1 + -(-(z - 1) // 8), -(-y // 8), -(-x // 8))
    assert tokenizer.decode(grid).shape == volume.shape
    padded = torch.nn.functional.pad(volume, (0, -x % 8, 0, -y % 8, 0, -(z - 1) % 8), mode="replicate")
    assert torch.equal(tokenizer.encode(padded, mode).codes, grid.codes)
    whole = tokenizer.decode(tokenizer.encode(padded, mode))
    assert torch.equal(whole[:, :, :z, :y, :x], tokenizer.decode(grid))


def test_a_single_slice_is_a_volume() -> None:
    tokenizer, slices = make_tokenizer(), random_volume(2, 1, 24, 32)
    grid = tokenizer.encode(slices)
    assert grid.shape == (1, 3, 4)
    assert tokenizer.decode(grid).shape == slices.shape
    assert torch.equal(grid.codes, tokenizer.encode(slices, "windowed").codes)


def test_the_batch_is_encoded_as_its_members() -> None:
    tokenizer, volumes = make_tokenizer(), random_volume(3, 9, 16, 16)
    together = tokenizer.encode(volumes).codes
    assert torch.equal(together, torch.cat([tokenizer.encode(v[None]).codes for v in volumes]))


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (torch.zeros(1, 1, 0, 8, 8), "at least one slice"),
        (torch.zeros(1, 1, 1, 0, 8), "at least one slice"),
        (torch.zeros(1, 2, 1, 8, 8), "b 1 z y x"),
        (torch.zeros(1, 1, 8, 8), "b 1 z y x"),
        (torch.zeros(1, 1, 1, 8, 8, dtype=torch.int16), "normalised floats"),
        (torch.full((1, 1, 1, 8, 8), -1000.0), "intensity recipe"),
        (torch.full((1, 1, 1, 8, 8), torch.inf), "not finite"),
    ],
)
def test_what_is_no_normalised_volume_is_refused(volume: torch.Tensor, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        require_volume(volume)
    if volume.dim() == 5 and volume.shape[1] == 1 and volume.is_floating_point():
        with pytest.raises(ShapeError, match=words):
            make_tokenizer().encode(volume)


@pytest.mark.parametrize("mode", ["stream", "windowed"])
def test_one_nan_is_refused_and_located(mode: str) -> None:
    volume = random_volume(1, 9, 16, 16)
    volume[0, 0, 4, 5, 6] = torch.nan
    with pytest.raises(ShapeError, match=r"1, the first at b c z y x \[0, 0, 4, 5, 6\]"):
        make_tokenizer().encode(volume, mode)


def test_a_stream_is_checked_slab_by_slab() -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(ShapeError, match="not finite"):
        tokenizer.encode_stream(iter([torch.zeros(1, 1, 9, 8, 8), torch.full((1, 1, 1, 8, 8), torch.nan)]))
    with pytest.raises(ShapeError, match="differ in batch or slice size"):
        tokenizer.encode_stream(iter([torch.zeros(1, 1, 9, 8, 8), torch.zeros(1, 1, 1, 16, 8)]))
    with pytest.raises(ShapeError, match="without a single slice"):
        tokenizer.encode_stream(iter([]))
    with pytest.raises(ShapeError, match=">= 8 slices"):
        tokenizer.encode(torch.zeros(1, 1, 9, 8, 8), chunk_slices=4)


def test_codes_of_another_tokenizer_are_refused() -> None:
    grid = make_tokenizer(seed=1).encode(random_volume(1, 9, 16, 16))
    with pytest.raises(CheckpointError, match="another tokenizer"):
        make_tokenizer(seed=2).decode(grid)
    with pytest.raises(CheckpointError, match="another tokenizer"):
        make_tokenizer(channel_multipliers=[1, 2], depth_downsample=[True]).decode(TokenGrid(grid.codes, None, 18, (8, 8, 8), grid.shape_vox))


def test_a_mode_that_the_weights_do_not_know_is_refused() -> None:
    tokenizer, volume = make_tokenizer(modes=["windowed"]), random_volume(1, 17, 16, 16)
    assert tokenizer.encode(volume).mode == "windowed"
    streamed = tokenizer.encode(volume, "stream")
    with pytest.raises(CheckpointError, match=r"expected windowed, found stream"):
        tokenizer.decode(streamed)
    assert tokenizer.decode(streamed, any_mode=True).shape == volume.shape


def test_a_refined_decoder_reads_the_same_codes() -> None:
    tokenizer = make_tokenizer()
    grid = tokenizer.encode(random_volume(1, 9, 16, 16))
    with torch.no_grad():
        tokenizer.decoder.head.weight.mul_(1.5)
    assert tokenizer.decode(grid).shape == (1, 1, 9, 16, 16)
    with torch.no_grad():
        tokenizer.encoder.head.weight.mul_(1.5)
    with pytest.raises(CheckpointError):
        tokenizer.decode(grid)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    tokenizer, volume = make_tokenizer(), random_volume(1, 9, 16, 16)
    tokenizer.save(tmp_path / "t.safetensors", provenance={"trained_on": "nothing"})
    loaded = Tokenizer.load(tmp_path / "t.safetensors")
    assert loaded.provenance == {"trained_on": "nothing"}
    assert loaded.config == tokenizer.config
    assert loaded.tokenizer_id == tokenizer.tokenizer_id
    grid = loaded.encode(volume)
    assert torch.equal(grid.codes, tokenizer.encode(volume).codes)
    assert torch.equal(loaded.decode(grid), tokenizer.decode(grid))
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]


def test_half_precision_files_and_copies_keep_the_id(tmp_path: Path) -> None:
    make_tokenizer().save(tmp_path / "t.safetensors", dtype=torch.float16)
    loaded = Tokenizer.load(tmp_path / "t.safetensors")
    assert loaded.dtype == torch.float32
    before = loaded.tokenizer_id
    grid = loaded.encode(random_volume(1, 9, 16, 16))
    assert loaded.bfloat16().tokenizer_id == before
    assert loaded.decode(grid).dtype == torch.float32


def _saved(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor], dict[str, str]]:
    path = tmp_path / "t.safetensors"
    make_tokenizer().save(path)
    tensors = load_file(path)
    config = json.dumps(make_tokenizer().config.to_dict())
    return path, tensors, {"format": "1", "config": config}


def test_missing_extra_and_misshapen_keys_are_refused(tmp_path: Path) -> None:
    path, tensors, metadata = _saved(tmp_path)
    name = "encoder.stem.weight"
    changes = {
        "missing keys in the weights": {k: v for k, v in tensors.items() if k != name},
        "unknown keys in the weights": {**tensors, "encoder.more": torch.zeros(1)},
        "misshapen tensors in the weights": {**tensors, name: torch.zeros(1, 2)},
    }
    for words, changed in changes.items():
        save_file(changed, path, metadata)
        with pytest.raises(CheckpointError, match=words):
            Tokenizer.load(path)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path, tensors, _ = _saved(tmp_path)
    content = path.read_bytes()
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="not readable as safetensors"):
            Tokenizer.load(path)
    flipped = bytearray(content)
    flipped[-5] ^= 4
    path.write_bytes(flipped)
    with pytest.raises(CheckpointError, match="not those that were saved"):
        Tokenizer.load(path)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="without a tokenizer's config"):
        Tokenizer.load(path)
    with pytest.raises(CheckpointError, match="no such weights"):
        Tokenizer.load(tmp_path / "none.safetensors")


def test_published_sizes() -> None:
    for name, stride, encoder, decoder in (("btb3d_8x8x8", (8, 8, 8), 72.5, 115.1), ("btb3d_16x16x8", (8, 16, 16), 81.5, 127.0)):
        with torch.device("meta"):
            tokenizer = Tokenizer.from_config(name)
        assert tokenizer.stride_vox == stride
        assert sum(p.numel() for p in tokenizer.encoder.parameters()) / 1e6 == pytest.approx(encoder, abs=0.05)
        assert sum(p.numel() for p in tokenizer.decoder.parameters()) / 1e6 == pytest.approx(decoder, abs=0.05)


def test_the_small_config_is_small() -> None:
    assert sum(p.numel() for p in Tokenizer.from_config("small_8x8x8").parameters()) < 5e6


def test_configs_that_cannot_work_are_refused(tmp_path: Path) -> None:
    for values, words in (
        ({"depth_downsample": [True]}, "one halving between two stages"),
        ({"num_groups": 7}, "must divide every width"),
        ({"quantizer": "vq"}, "unknown quantizer"),
        ({"filter": 8}, "unknown tokenizer settings"),
        ({"modes": ["tiles"]}, "mode"),
    ):
        with pytest.raises(ConfigError, match=words):
            TokenizerConfig.from_dict({"name": "x", **values})
    with pytest.raises(ConfigError, match="no such tokenizer recipe"):
        read_config("nowhere")
    (tmp_path / "a.yaml").write_text("training: {}")
    with pytest.raises(ConfigError, match="section `model`"):
        read_recipe(tmp_path / "a.yaml")


def test_affine_rides_along() -> None:
    affine = np.diag([3.0, 1.0, 1.0, 1.0])
    grid = make_tokenizer().encode(random_volume(1, 9, 16, 16), affine=affine)
    assert grid.centres_mm()[1, 0, 1].tolist() == [13.5, 3.5, 11.5]
