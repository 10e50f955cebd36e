"""Where a token lies in the patient, in millimetres from the middle of the scan: the same lesion is the same size at any spacing."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Wavelengths from the size of a small lesion to twice the length of a torso.
_SHORTEST_MM, _LONGEST_MM, _NUM_WAVES = 16.0, 1024.0, 7


def relative_mm(geometry: Float[Tensor, "b 4 4"], index: Float[Tensor, "n 3"], grid: tuple[int, int, int]) -> Float[Tensor, "b n 3"]:
    """Positions of (fractional) grid indices z y x, in RAS mm relative to the middle of the grid.

    >>> affine = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]))[None]
    >>> relative_mm(affine, torch.tensor([[0.0, 0.0, 0.0]]), (3, 1, 1)).tolist()
    [[[-2.0, 0.0, 0.0]]]
    """
    middle = (torch.tensor(grid, dtype=index.dtype, device=index.device) - 1) / 2
    return torch.einsum("bij,nj->bni", geometry[:, :3, :3].to(index), index - middle)


def grid_of(vectors: Float[Tensor, "b c z y x"]) -> tuple[int, int, int]:
    """Tokens along z, y, x."""
    _, _, z, y, x = vectors.shape
    return z, y, x


def grid_index(grid: tuple[int, int, int], device: torch.device) -> Float[Tensor, "n 3"]:
    """All indices z y x of a grid, x fastest."""
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in grid]
    return torch.cartesian_prod(*axes).reshape(-1, 3)


class MillimetrePosition(nn.Module):
    """Learned embedding of relative mm positions: sines of seven wavelengths along each world axis, then one linear layer."""

    frequency: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        wavelengths = torch.logspace(math.log10(_SHORTEST_MM), math.log10(_LONGEST_MM), _NUM_WAVES)
        self.register_buffer("frequency", 2 * math.pi / wavelengths, persistent=False)
        self.linear = nn.Linear(6 * _NUM_WAVES, width)

    def forward(self, position_mm: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n d"]:
        """One vector for each position."""
        phase = (position_mm.float()[..., None] * self.frequency.float()).flatten(-2)
        return self.linear(torch.cat([phase.sin(), phase.cos()], dim=-1).to(self.linear.weight.dtype))
