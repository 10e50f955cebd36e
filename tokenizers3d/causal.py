"""Layers that never look ahead in depth, each with an explicit memory, so that a volume can pass through slab by slab.

Depth is mixed by `CausalConv3d` alone; every other layer treats each slice for itself. A convolution with kernel depth `k` and
stride `s` therefore needs its last `k - s` input slices and nothing else of what came before: `StreamState` keeps them. Without
history the missing slices count as zeros, and the taps that would meet them are left out instead of multiplied, which gives the
same sums with a third less work in a window of five slices.
Tensors are kept in `channels_last_3d`: per-slice normalisation is then a view, and the first layer runs twice as fast on CPU.
"""

import itertools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from tokenizers3d.errors import ShapeError

LAYOUT = torch.channels_last_3d


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int, int], padding: tuple[int, int, int]) -> Tensor:
    """`conv3d` that stays with oneDNN where PyTorch would not.

    On CPU, PyTorch sends a single small float32 input (under 20,480 of channels x slices x rows, whatever the columns) to an im2col loop
    that takes two to three times as long. The slabs of a stream and a volume's first slices are of that size.
    """
    is_plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if is_plain and not torch.is_grad_enabled() and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, stride, padding)


class StreamState:
    """What the layers of one network remember between two slabs of one volume; make a new one for each volume."""

    def __init__(self) -> None:
        self._kept: dict[nn.Module, Tensor | None] = {}

    def seen(self, layer: nn.Module) -> bool:
        """Whether the layer has had an earlier slab of this volume."""
        return layer in self._kept

    def recall(self, layer: nn.Module) -> Tensor | None:
        """The slices that the layer kept of the slab before, or None."""
        return self._kept.get(layer)

    def keep(self, layer: nn.Module, slices: Tensor | None) -> None:
        """Remember slices for the next slab; copied, so that the slab itself can be freed."""
        self._kept[layer] = None if slices is None else slices.detach().clone(memory_format=torch.preserve_format)

    @property
    def num_bytes(self) -> int:
        """Size of all that is remembered: it depends on the slice size, not on how many slices have passed."""
        return sum(kept.numel() * kept.element_size() for kept in self._kept.values() if kept is not None)


class CausalConv3d(nn.Module):
    """Convolution over `z y x` whose output slice `j` rests on input slices up to `j * stride`, never on later ones.

    Args:
        in_channels, out_channels: as in `torch.nn.Conv3d`.
        kernel_size: odd and equal along all axes; in-plane borders are padded with zeros.
        stride: along z y x; depth stride 1 or 2.
        bias: whether there is one.

    >>> CausalConv3d(1, 1)(torch.zeros(1, 1, 1, 4, 4)).shape
    torch.Size([1, 1, 1, 4, 4])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: tuple[int, int, int] = (1, 1, 1), bias: bool = True
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0 or kernel_size < stride[0]:
            raise ShapeError("the kernel must be odd and no smaller than the depth stride", found=(kernel_size, stride))
        self.stride = stride
        reference = nn.Conv3d(in_channels, out_channels, kernel_size, stride=stride, bias=bias)
        self.weight, self.bias = nn.Parameter(reference.weight.detach().to(memory_format=LAYOUT)), reference.bias

    def forward(
        self, x: Float[Tensor, "b c z y x"], state: StreamState | None = None, *, before: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "b d z2 y2 x2"]:
        """Convolve a whole volume (no state) or the next slab of one.

        `before` acts on the slab first (it must treat each slice for itself); its result is then held no longer than it takes to join it
        to the history.
        """
        if state is None or not state.seen(self):
            x = x if before is None else before(x)
            return self._convolve_start(x, state)
        kept = state.recall(self)
        slab = x if before is None else before(x)
        joined = slab if kept is None else torch.cat([kept, slab], 2)
        del slab, kept
        consumed = self._num_outputs(joined.shape[2]) * self.stride[0]
        self._keep(state, joined, consumed)
        if not consumed:
            raise self._too_thin(joined)
        return self._convolve(joined, 0)

    def _convolve_start(self, x: Tensor, state: StreamState | None) -> Tensor:
        """The first slices of a volume, or all of them."""
        depth = self.weight.shape[2]
        if state is None and torch.is_grad_enabled():
            # One convolution has one backward pass: in training the zero taps cost less than three of them.
            return self._convolve(F.pad(x, (0, 0, 0, 0, depth - 1, 0)), 0)
        num_outputs = self._num_outputs(x.shape[2] + depth - 1)
        if state is not None:
            self._keep(state, x, num_outputs * self.stride[0] - (depth - 1))
        if not num_outputs:
            raise self._too_thin(x)
        parts = self._without_history(x)
        first = next(parts)
        if first.shape[2] == num_outputs:
            return first
        output, filled = torch.empty_like(first[:, :, :1].expand(-1, -1, num_outputs, -1, -1), memory_format=LAYOUT), 0
        for part in itertools.chain([first], parts):
            output[:, :, filled : filled + part.shape[2]] = part
            filled += part.shape[2]
        return output

    def _keep(self, state: StreamState, x: Tensor, consumed: int) -> None:
        """Leave to the next slab what comes after the consumed slices; fewer than none were consumed where zeros still count."""
        kept = F.pad(x, (0, 0, 0, 0, -consumed, 0)) if consumed < 0 else x[:, :, consumed:]
        state.keep(self, kept if kept.shape[2] else None)

    def _too_thin(self, x: Tensor) -> ShapeError:
        return ShapeError("too few slices in a slab for one output slice", expected=f"at least {self.weight.shape[2]}", found=x.shape[2])

    def _num_outputs(self, num_padded: int) -> int:
        return max((num_padded - self.weight.shape[2]) // self.stride[0] + 1, 0)

    def _without_history(self, x: Tensor) -> Iterator[Tensor]:
        """Outputs of a volume's first slices: those that would reach before slice 0 use the taps that do not."""
        depth, step = self.weight.shape[2], self.stride[0]
        start = 1 - depth
        while start < 0 and start + depth <= x.shape[2]:
            yield self._convolve(x[:, :, : start + depth], -start)
            start += step
        if start >= 0 and start + depth <= x.shape[2]:
            yield self._convolve(x[:, :, start:], 0)

    def _convolve(self, x: Tensor, num_skipped: int) -> Tensor:
        weight = self.weight[:, :, num_skipped:].to(memory_format=LAYOUT)
        margin = self.weight.shape[3] // 2
        return convolve(x, weight, self.bias, self.stride, (0, margin, margin))


class SliceNorm(nn.Module):
    """GroupNorm over the channels, rows and columns of each slice for itself, so that depth is not mixed."""

    def __init__(self, num_groups: int, num_channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine else None

    def forward(self, x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
        """Normalise each slice."""
        slices = x.transpose(1, 2).flatten(0, 1)
        return F.group_norm(slices, self.num_groups, self.weight, self.bias, 1e-5).unflatten(0, (x.shape[0], -1)).transpose(1, 2)


def activate(x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
    """SiLU, in place where no gradient will ask for what was there."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


class ResBlock(nn.Module):
    """Two normalised convolutions around a shortcut; the shortcut is a 1x1x1 convolution where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = SliceNorm(num_groups, in_channels)
        self.conv1 = CausalConv3d(in_channels, out_channels, bias=False)
        self.norm2 = SliceNorm(num_groups, out_channels)
        self.conv2 = CausalConv3d(out_channels, out_channels, bias=False)
        nn.init.zeros_(self.conv2.weight)  # a fresh block passes its input on, so depth does not slow the first steps
        self.shortcut = CausalConv3d(in_channels, out_channels, 1, bias=False) if in_channels != out_channels else None

    def forward(self, x: Float[Tensor, "b c z y x"], state: StreamState | None = None) -> Float[Tensor, "b d z y x"]:
        """Add what the two convolutions see to the input."""
        # One expression, so that no name holds a slab that is no longer needed.
        inner = self.conv2(self.conv1(x, state, before=lambda y: activate(self.norm1(y))), state, before=lambda y: activate(self.norm2(y)))
        return inner.add_(x if self.shortcut is None else self.shortcut(x, state))


class DepthToSpace(nn.Module):
    """Doubles rows and columns (and slices, where asked) by a convolution to more channels that are then laid out in space.

    The very first output slice of a doubled depth would rest on nothing and is dropped, so `k + 1` slices become `2k + 1`.
    """

    def __init__(self, channels: int, depth_factor: int) -> None:
        super().__init__()
        self.depth_factor = depth_factor
        self.conv = CausalConv3d(channels, channels * 4 * depth_factor)

    def forward(self, x: Float[Tensor, "b c z y x"], state: StreamState | None = None) -> Float[Tensor, "b c z2 y2 x2"]:
        """Upsample a whole volume (no state) or the next slab of one."""
        is_start = state is None or not state.seen(self.conv)
        wide = self.conv(x, state).permute(0, 2, 3, 4, 1)
        laid = rearrange(wide, "b z y x (dz dy dx c) -> b (z dz) (y dy) (x dx) c", dz=self.depth_factor, dy=2, dx=2)
        laid = laid.permute(0, 4, 1, 2, 3)
        return laid[:, :, self.depth_factor - 1 :] if is_start else laid
