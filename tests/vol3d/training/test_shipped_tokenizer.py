"""The weights that ship, on phantoms that they never saw: better than as many bits spent on linear samples, by a margin."""

from collections.abc import Callable
from importlib.resources import files

import pytest
import torch

from tokenizers3d import Tokenizer, metrics
from vol3d.evaluation.codec_baselines import linear_samples
from vol3d.volume.intensity import fit_recipe, normalize, recipe_for
from vol3d.volume.phantom import phantom_ct, phantom_mr


@pytest.fixture(scope="module")
def shipped() -> Tokenizer:
    return Tokenizer.load(files("vol3d") / "assets" / "tokenizer_small_8x8x8.safetensors")


# PSNR in dB at 3 mm, noise and all; it was 21.2, 21.6 (CT) and 16.0, 17.0 (MR), and 1.9, 2.2, 0.5, 0.7 over linear samples.
@pytest.mark.parametrize(
    ("make", "seed", "floor", "over_linear"),
    [(phantom_ct, 7, 20.5, 1.3), (phantom_ct, 8, 20.5, 1.3), (phantom_mr, 7, 15.3, 0.25), (phantom_mr, 8, 15.3, 0.25)],
)
def test_it_beats_linear_samples_of_the_same_bits(make: Callable, seed: int, floor: float, over_linear: float, shipped: Tokenizer) -> None:
    volume = make(seed, shape_zyx=(33, 96, 96), spacing_mm=(3.0, 3.0, 3.0)).volume
    array = volume.numpy()
    scaled = normalize(array, fit_recipe(recipe_for(volume), array))
    truth = torch.from_numpy(scaled)[None, None]
    grid = shipped.encode(truth)
    made = shipped.decode(grid).clamp(-1, 1)
    assert grid.num_tokens * 18 / truth.numel() == pytest.approx(18 / 512, rel=0.25)
    linear = torch.from_numpy(linear_samples(scaled, grid.num_tokens * 18)[0])[None, None]
    assert metrics.psnr(made, truth) > max(floor, metrics.psnr(linear, truth) + over_linear)
    assert metrics.ssim_by_plane(made, truth)["axial"] > metrics.ssim_by_plane(linear, truth)["axial"]
    usage = metrics.code_usage(grid.codes, 18)
    assert usage.num_used > 150
    assert usage.bit_entropy > 10
