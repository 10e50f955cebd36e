"""What the model is shown of a scan: the whole volume on one small grid, three key slices, and overlays of masks.

The grid is fixed in voxels, not in mm: the body's bounding box is scaled (isotropically) to fit, so that a child's chest and a
tall adult's abdomen both fill it. A key slice is a volume of depth one, so 2D and 3D tokens come from the same encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from tokenizers3d import Tokenizer
from vol3d.errors import IntensityError
from vol3d.vlm.fuse import Visual
from vol3d.vlm.vision2d import PLANES, cut_slice, encode_slices, visual_of
from vol3d.volume.geometry import make_affine
from vol3d.volume.intensity import normalize, recipe_for
from vol3d.volume.resample import resample
from vol3d.volume.volume import Volume

# Depth 8k+1 and sides 8k, so that no token is spent on padding at stride 8x8x8: 8x10x10 tokens before the projector pools them.
VIEW_SHAPE = (57, 80, 80)
_AIR_CT, _AIR_MR = -0.5, -0.85  # normalised; -0.5 is -500 HU at ct_wide


@dataclass(frozen=True)
class View:
    """A scan as the model sees it: `image` in [-1, 1] on the view grid, and the affine of that grid."""

    image: Float[np.ndarray, "z y x"]
    affine: Float[np.ndarray, "4 4"]
    modality: str


@dataclass(frozen=True)
class Visuals:
    """Tokens of one view: the volume, its key slices, and the same slices with a mask burnt in.

    `wrong` is the same view through a mask that is wrong on purpose, where one was made (see conversation.WrongEvidence).
    """

    volume: Visual
    slices: tuple[Visual, ...]
    overlays: tuple[Visual, ...] = ()
    wrong: "Visuals | None" = None

    @property
    def in_order(self) -> tuple[Visual, ...]:
        """As their placeholders stand in the prompt."""
        return (self.volume, *self.slices, *self.overlays)


def view_of(volume: Volume, *, shape_zyx: tuple[int, int, int] = VIEW_SHAPE) -> View:
    """Crop to the body, scale to fit, pad with air; canonical orientation.

    Raises IntensityError where nothing but air is left.
    """
    scan = volume.canonical()
    scan = scan.with_array(scan.numpy())
    recipe = recipe_for(scan)
    scan = _crop_to_body(scan, normalize(scan.array, recipe))
    extent_mm = [n * s for n, s in zip(scan.shape, scan.spacing_mm, strict=True)]
    spacing = max(e / n for e, n in zip(extent_mm, shape_zyx, strict=True))
    small = resample(scan, spacing_mm=(spacing,) * 3)
    image = normalize(small.numpy(), recipe)
    keep = tuple(min(a, b) for a, b in zip(image.shape, shape_zyx, strict=True))
    before = [(n - k) // 2 for n, k in zip(shape_zyx, keep, strict=True)]
    out = np.full(shape_zyx, -1.0, np.float32)
    out[tuple(slice(b, b + k) for b, k in zip(before, keep, strict=True))] = image[: keep[0], : keep[1], : keep[2]]
    affine = small.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.array(before)
    return View(out, affine, volume.modality)


def central_slices(view: View) -> tuple[int, int, int]:
    """Axial, coronal and sagittal index through the middle of the body: the key slices when no mask says better."""
    return tuple(round(float(c)) for c in np.argwhere(view.image > _AIR_CT).mean(axis=0))  # type: ignore[return-value]


def burn_in(image: Float[np.ndarray, "z y x"], mask: Bool[np.ndarray, "z y x"]) -> Float[np.ndarray, "z y x"]:
    """A mask made visible to a tokenizer with one channel: the anatomy dimmed to [-1, 0], the mask at +1."""
    return np.where(mask, 1.0, (image - 1.0) / 2).astype(np.float32)


def mask_on_view(mask: Bool[np.ndarray, "z y x"], affine: np.ndarray, view: View) -> Bool[np.ndarray, "vz vy vx"]:
    """A mask of the scan on the view's grid: every masked voxel marks the view voxel that holds its centre, so none is lost."""
    to_view = np.linalg.inv(view.affine) @ affine
    points = np.argwhere(mask) @ to_view[:3, :3].T + to_view[:3, 3]
    index = np.rint(points).astype(int)
    index = index[((index >= 0) & (index < view.image.shape)).all(axis=1)]
    out = np.zeros(view.image.shape, bool)
    out[tuple(index.T)] = True
    return out


@torch.no_grad()
def encode_view(
    tokenizer: Tokenizer,
    view: View,
    *,
    mask: Bool[np.ndarray, "z y x"] | None = None,
) -> Visuals:
    """Tokens of the volume, of its key slices, and of the overlays of a mask (already on the view's grid).

    With a mask the key slices go through its centre; without one, through the middle of the body.
    """
    grid = tokenizer.encode(torch.from_numpy(view.image)[None, None], mode="stream", affine=view.affine)
    volume = visual_of(grid, kind="volume")
    if mask is not None and mask.any():
        return through_mask(tokenizer, view, Visuals(volume, ()), mask)
    return Visuals(volume, encode_slices(tokenizer, _planes(view.image, view.affine, central_slices(view)), kind="slice"))


@torch.no_grad()
def through_mask(tokenizer: Tokenizer, view: View, visuals: Visuals, mask: Bool[np.ndarray, "z y x"]) -> Visuals:
    """The same view with key slices through another mask, and that mask's overlays; the volume's tokens are taken over."""
    centre = _mask_centre(mask)
    return Visuals(
        visuals.volume,
        slices=encode_slices(tokenizer, _planes(view.image, view.affine, centre), kind="slice"),
        overlays=encode_slices(tokenizer, _planes(burn_in(view.image, mask), view.affine, centre), kind="overlay"),
    )


def _planes(image: np.ndarray, affine: np.ndarray, centre: tuple[int, int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [cut_slice(image, affine, plane=plane, index=centre[axis]) for plane, axis in PLANES.items()]


def _mask_centre(mask: np.ndarray) -> tuple[int, int, int]:
    """Per axis, the slice on which the mask is largest."""
    sums = [mask.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    return tuple(int(np.argmax(s)) for s in sums)  # type: ignore[return-value]


def _crop_to_body(scan: Volume, normalised: np.ndarray) -> Volume:
    inside = normalised > (_AIR_CT if scan.unit == "HU" else _AIR_MR)
    if not inside.any():
        raise IntensityError("nothing but air in the scan", path=scan.source or None, hint="Check the modality and the rescale.")
    start, stop = [], []
    for axis in range(3):
        # A line must be body in half a percent of its plane, so that a table or a lead does not widen the box.
        share = inside.mean(axis=tuple(a for a in range(3) if a != axis))
        hit = np.flatnonzero(share > min(0.005, share.max() / 2))
        start.append(int(hit[0]))
        stop.append(int(hit[-1]) + 1)
    return scan.crop(tuple(start), tuple(stop))  # type: ignore[arg-type]


def view_spacing_mm(view: View) -> float:
    """Edge of a view voxel in mm."""
    return float(np.linalg.norm(view.affine[:3, 0]))


def empty_view(modality: str = "unknown", shape_zyx: Sequence[int] = VIEW_SHAPE) -> View:
    """A blank image, for the probes that ask what the model says when it sees nothing."""
    return View(np.full(tuple(shape_zyx), -1.0, np.float32), make_affine((1, 1, 1)), modality)
