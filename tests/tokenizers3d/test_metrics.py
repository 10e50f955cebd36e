import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from tests.tokenizers3d.conftest import random_volume
from tokenizers3d import metrics
from tokenizers3d.errors import ShapeError


def test_psnr_of_a_known_error() -> None:
    truth = random_volume(1, 5, 16, 16)
    assert metrics.psnr(truth + 0.02, truth) == pytest.approx(40.0, abs=1e-3)
    assert metrics.psnr(truth, truth) == 60.0


def test_planes_are_told_apart() -> None:
    truth = torch.zeros(1, 1, 4, 16, 16)
    broken = truth.clone()
    broken[:, :, 1] = 0.2
    by_plane = metrics.psnr_by_plane(broken, truth)
    assert by_plane["axial"] == pytest.approx((20 + 3 * 60) / 4)
    assert by_plane["coronal"] == pytest.approx(10 * math.log10(4 / (0.04 / 4)))


def test_ssim_is_that_of_scikit_image() -> None:
    x, y = random_volume(1, 3, 40, 32, seed=1), random_volume(1, 3, 40, 32, seed=2)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 2.0, "full": True}
    expected = []
    for a, b in zip(x[0, 0].numpy(), y[0, 0].numpy(), strict=True):
        _, image = structural_similarity(a.astype(np.float64), b.astype(np.float64), **options)
        expected.append(image[5:-5, 5:-5].mean())
    found = metrics.ssim_by_plane(x, y)
    assert found["axial"] == pytest.approx(float(np.mean(expected)), abs=1e-4)
    assert set(found) == {"axial"}
    assert metrics.ssim_by_plane(x, x)["axial"] == pytest.approx(1.0)


def test_error_by_tissue() -> None:
    truth = torch.tensor([-1000.0, -800.0, -100.0, 40.0, 700.0]).view(1, 1, 1, 1, 5)
    by_band = metrics.mae_by_band(truth + torch.tensor([1.0, 2, 3, 4, 5]).view(1, 1, 1, 1, 5), truth)
    assert by_band == {"air": 1.0, "lung": 2.0, "fat": 3.0, "soft_tissue": 4.0, "bone": 5.0}
    assert "bone" not in metrics.mae_by_band(truth[..., :4], truth[..., :4])


def test_edges() -> None:
    truth = torch.zeros(1, 1, 3, 16, 16)
    truth[..., 8:] = 1
    assert metrics.edge_gradient_error(truth, truth, share=0.05) == 0
    assert metrics.edge_gradient_error(torch.zeros_like(truth), truth, share=0.05) == pytest.approx(1.0)
    assert metrics.edge_gradient_error(truth / 2, truth, share=0.05) == pytest.approx(0.5)


def test_code_usage() -> None:
    usage = metrics.code_usage(torch.tensor([7, 7, 7, 7]), 3)
    assert (usage.num_used, usage.perplexity, usage.bit_entropy) == (1, 1.0, 0.0)
    with pytest.raises(ShapeError):
        metrics.code_usage(torch.zeros(0, dtype=torch.int32), 3)
