"""How alike a reconstruction is, and how well a codebook is used. Volumes are in [-1, 1] unless a function says HU."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from tokenizers3d.errors import ShapeError

PLANES = {"axial": 2, "coronal": 3, "sagittal": 4}
# Tissue bands in HU, by the true voxel: air, lung, fat, soft tissue and blood, bone.
BANDS_HU: dict[str, tuple[float, float]] = {
    "air": (-1100, -950),
    "lung": (-950, -400),
    "fat": (-150, -30),
    "soft_tissue": (-30, 150),
    "bone": (150, 3000),
}
_CAP_DB = 60.0
_WINDOW, _SIGMA = 11, 1.5


@dataclass(frozen=True)
class CodeUsage:
    """Distinct codes, perplexity of their distribution, entropy in bits of single bits summed (at most `num_bits`)."""

    num_used: int
    perplexity: float
    bit_entropy: float


def psnr(x: Float[Tensor, "b c z y x"], truth: Float[Tensor, "b c z y x"], *, data_range: float = 2.0) -> float:
    """Peak signal to noise ratio over all voxels, in dB; at most 60.

    >>> round(psnr(torch.zeros(1, 1, 1, 2, 2), torch.full((1, 1, 1, 2, 2), 0.2)), 1)
    20.0
    """
    return _decibel((x - truth).double().square().mean(), data_range).item()


def psnr_by_plane(x: Float[Tensor, "b c z y x"], truth: Float[Tensor, "b c z y x"], *, data_range: float = 2.0) -> dict[str, float]:
    """Mean over slices of each slice's PSNR, for the three planes; a slice counts at most 60 dB."""
    squared = (x - truth).double().square()
    return {plane: _decibel(squared.mean([a for a in range(1, 5) if a != axis]), data_range).mean().item() for plane, axis in PLANES.items()}


def _decibel(mse: Tensor, data_range: float) -> Tensor:
    return (10 * torch.log10(data_range**2 / mse.clamp_min(1e-12))).clamp_max(_CAP_DB)


def ssim_by_plane(x: Float[Tensor, "b c z y x"], truth: Float[Tensor, "b c z y x"], *, data_range: float = 2.0) -> dict[str, float]:
    """Structural similarity (Wang et al. 2004: Gaussian window of 11, sigma 1.5) of slices, averaged for each plane.

    Only windows that lie inside a slice count; a plane whose slices are smaller than the window is left out.
    """
    scores = {}
    for plane, axis in PLANES.items():
        pair = [v.movedim(axis, 1).flatten(0, 2).unsqueeze(1) for v in (x.float(), truth.float())]
        if min(pair[0].shape[-2:]) >= _WINDOW:
            values = [_ssim(a, b, data_range) for a, b in zip(pair[0].split(32), pair[1].split(32), strict=True)]
            scores[plane] = torch.cat(values).mean().item()
    return scores


def _ssim(a: Float[Tensor, "n 1 h w"], b: Float[Tensor, "n 1 h w"], data_range: float) -> Float[Tensor, " n"]:
    offsets = torch.arange(_WINDOW, device=a.device) - _WINDOW // 2
    kernel = torch.softmax(-(offsets**2) / (2 * _SIGMA**2), 0)

    def blur(v: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(v, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return likeness.mean((1, 2, 3))


def mae_by_band(
    x_hu: Float[Tensor, "b c z y x"], truth_hu: Float[Tensor, "b c z y x"], bands: Mapping[str, tuple[float, float]] = BANDS_HU
) -> dict[str, float]:
    """Mean absolute error in HU over the voxels whose true value lies in a band; bands without voxels are left out."""
    error = (x_hu - truth_hu).abs()
    inside = {name: (truth_hu >= low) & (truth_hu < high) for name, (low, high) in bands.items()}
    return {name: error[mask].double().mean().item() for name, mask in inside.items() if mask.any()}


def edge_gradient_error(x: Float[Tensor, "b c z y x"], truth: Float[Tensor, "b c z y x"], *, share: float = 0.1) -> float:
    """Relative error of the gradient length at the strongest edges: 0 is exact, 1 is an edge that is gone.

    Args:
        x, truth: reconstruction and original.
        share: of the voxels, those with the longest true gradient.
    """
    lengths = [_gradient_length(v.float()).flatten() for v in (x, truth)]
    count = max(1, int(share * lengths[1].numel()))
    strongest = lengths[1].topk(count).indices
    true = lengths[1][strongest]
    return ((lengths[0][strongest] - true).abs().sum() / true.sum().clamp_min(1e-12)).item()


def _gradient_length(v: Tensor) -> Tensor:
    parts = [v.diff(dim=axis, append=v.narrow(axis, v.shape[axis] - 1, 1)).square() for axis in (2, 3, 4)]
    return torch.stack(parts).sum(0).sqrt()


def code_usage(codes: Integer[Tensor, "..."], num_bits: int) -> CodeUsage:
    """How much of a codebook a set of codes uses.

    >>> code_usage(torch.tensor([0, 1, 2, 3]), 2)
    CodeUsage(num_used=4, perplexity=4.0, bit_entropy=2.0)
    """
    if codes.numel() == 0:
        raise ShapeError("no codes to count")
    flat = codes.flatten().long()
    _, counts = flat.unique(return_counts=True)
    p = counts.double() / counts.sum()
    ones = torch.stack([((flat >> bit) & 1).double().mean() for bit in range(num_bits)])
    bits = -(torch.xlogy(ones, ones) + torch.xlogy(1 - ones, 1 - ones)).sum() / torch.log(torch.tensor(2.0, dtype=torch.float64))
    return CodeUsage(len(counts), round(torch.exp(-torch.xlogy(p, p).sum()).item(), 6), round(bits.item(), 6))
