"""2D tokens from the 3D tokenizer: a slice is a volume of depth one, whichever plane it is cut in.

Axial, coronal and sagittal slices differ only in which axes of the scan their rows and columns follow; the affine says so, and
with it the projector knows where each 2D token lies in the patient.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenizers3d import TokenGrid, Tokenizer
from vol3d.errors import ShapeError
from vol3d.vlm.fuse import Visual

# The axis of `z y x` that a plane cuts; rows and columns are the other two, in order.
PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}


def cut_slice(
    image: Float[np.ndarray, "z y x"], affine: Float[np.ndarray, "4 4"], *, plane: str, index: int
) -> tuple[Float[np.ndarray, "1 h w"], Float[np.ndarray, "4 4"]]:
    """One slice as a volume of depth one, and its affine `(0, row, column, 1)` -> RAS mm.

    >>> picture, placed = cut_slice(np.zeros((3, 4, 5), np.float32), np.eye(4), plane="coronal", index=2)
    >>> picture.shape, (placed @ [0, 1, 4, 1]).tolist()
    ((1, 3, 5), [1.0, 2.0, 4.0, 1.0])
    """
    if plane not in PLANES:
        raise ShapeError("unknown plane", expected=", ".join(PLANES), found=plane)
    axis = PLANES[plane]
    if not 0 <= index < image.shape[axis]:
        raise ShapeError(f"no {plane} slice {index}", expected=f"0 to {image.shape[axis] - 1}", found=index)
    rows, columns = (a for a in range(3) if a != axis)
    placed = affine[:, [axis, rows, columns, 3]].astype(np.float64)
    placed[:, 3] += affine[:, axis] * index
    return np.ascontiguousarray(image.take([index], axis=axis).transpose(axis, rows, columns)), placed


def encode_slices(
    tokenizer: Tokenizer,
    slices: Sequence[tuple[Float[np.ndarray, "1 _ _"], Float[np.ndarray, "4 4"]]],
    *,
    kind: str = "slice",
) -> tuple[Visual, ...]:
    """Token vectors of slices (values in [-1, 1]) as visuals of a kind (`slice` or `overlay`).

    >>> from tokenizers3d.config import TokenizerConfig
    >>> tokenizer = Tokenizer(TokenizerConfig(name="tiny", filters=8, num_res_blocks=1, num_groups=4))
    >>> (shown,) = encode_slices(tokenizer, [(np.zeros((1, 16, 24), np.float32), np.eye(4))])
    >>> shown.kind, shown.grid
    ('slice', (1, 2, 3))
    """
    visuals = []
    for image, affine in slices:
        with torch.no_grad():
            grid = tokenizer.encode(torch.from_numpy(image)[None, None].to(tokenizer.device, tokenizer.dtype), affine=affine)
        visuals.append(visual_of(grid, kind=kind))
    return tuple(visuals)


def visual_of(grid: TokenGrid, *, kind: str, item: int = 0) -> Visual:
    """One volume of a token grid as a visual. Raises ShapeError where the grid has no affine."""
    return Visual(kind, grid.vectors()[item], token_affine(grid))


def token_affine(grid: TokenGrid) -> Float[Tensor, "4 4"]:
    """The affine of token indices: the middle of each token in RAS mm.

    Tokens stand `stride` apart except the first along depth, which covers one slice; its middle is given as if it ended a full
    token, (stride - 1) / 2 voxels off. A volume of depth one is exact.
    """
    if grid.affine is None:
        raise ShapeError("these tokens carry no affine", hint="Encode with affine=volume.affine.")
    z, y, x = grid.centres_vox()
    step = np.diag([*(float(s) for s in grid.stride_vox), 1.0])
    step[:3, 3] = [z[0] if len(z) == 1 else z[1] - grid.stride_vox[0], y[0], x[0]]
    return torch.from_numpy(grid.affine @ step).float()
