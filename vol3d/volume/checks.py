"""Grids and voxels that would corrupt a result silently: each is noted, repaired with a note, or refused."""

import numpy as np
from jaxtyping import Float

from vol3d.errors import GeometryError, IntensityError, VolumeError
from vol3d.volume.judge import Judge

_SINGULAR = 1e-3
_EXACT_RADIANS, _REPAIRABLE_RADIANS = 1e-5, 2e-3
_SPACING_MM = (0.05, 20.0)
_EXTENT_MM = (20.0, 3000.0)
_ANISOTROPIC = 10.0
_OBLIQUE_DEGREES = 1.0


def check_affine(affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int], judge: Judge) -> Float[np.ndarray, "4 4"]:
    """The grid's transform, with right angles; notes what is unusual.

    Raises:
        GeometryError: not numbers, singular, sheared, or of a size that no patient has.

    >>> from vol3d.volume.geometry import make_affine
    >>> bool((check_affine(make_affine((2, 1, 1)), (20, 40, 40), Judge("a.nii")) == make_affine((2, 1, 1))).all())
    True
    """
    if not np.isfinite(affine).all():
        judge.refuse(GeometryError, "the transform holds values that are not numbers", expected="finite numbers", hint="Fix the header.")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() == 0 or abs(np.linalg.det(affine[:3, :3] / np.where(spacing > 0, spacing, 1))) < _SINGULAR:
        judge.refuse(
            GeometryError,
            "the transform cannot be inverted: two axes coincide, or one has no length",
            expected="three independent axes",
            found=np.round(affine[:3, :3], 4).tolist(),
            hint="Fix the header.",
        )
    affine = _square(affine, spacing, shape, judge)
    _check_sizes(spacing, shape, judge)
    _note_shape(affine, spacing, shape, judge)
    return affine


def _square(affine: np.ndarray, spacing: np.ndarray, shape: tuple[int, ...], judge: Judge) -> np.ndarray:
    """Right angles: rounding errors are mended about the centre of the volume, real shear is refused."""
    axes = affine[:3, :3] / spacing
    cosines = np.abs(axes.T @ axes - np.eye(3))
    off = float(np.arcsin(min(1.0, cosines[~np.eye(3, dtype=bool)].max())))
    if off <= _EXACT_RADIANS:
        return affine
    if off > _REPAIRABLE_RADIANS:
        judge.refuse(
            GeometryError,
            "the axes are sheared (a tilted gantry?)",
            expected="90 degrees between axes",
            found=f"{90 - np.degrees(off):.2f} degrees",
            hint="Resample the scan onto a rectangular grid first.",
        )
    left, _, right = np.linalg.svd(axes)
    mended = affine.copy()
    mended[:3, :3] = (left @ right) * spacing
    centre = np.array([(size - 1) / 2 for size in shape])
    mended[:3, 3] += (affine[:3, :3] - mended[:3, :3]) @ centre
    judge.note("reorthonormalised", f"axes were {np.degrees(off):.4f} degrees off a right angle: squared")
    return mended


def _check_sizes(spacing: np.ndarray, shape: tuple[int, ...], judge: Judge) -> None:
    text = " x ".join(f"{s:.4g}" for s in spacing)
    several = np.array(shape) > 1
    bad = ((spacing < _SPACING_MM[0]) | (spacing > _SPACING_MM[1])) & several
    if bad.any():
        judge.refuse_unless_accepted(
            GeometryError,
            "implausible_spacing",
            "the voxel spacing is implausible",
            expected=f"{_SPACING_MM[0]} to {_SPACING_MM[1]} mm",
            found=f"{text} mm (z y x)",
            hint="Check the unit in the header.",
        )
    extent = spacing * np.array(shape)
    if extent.max() < _EXTENT_MM[0] or extent.max() > _EXTENT_MM[1]:
        judge.refuse_unless_accepted(
            GeometryError,
            "implausible_extent",
            "the field of view is implausible",
            expected=f"{_EXTENT_MM[0]:g} to {_EXTENT_MM[1]:g} mm",
            found=f"{' x '.join(f'{e:.4g}' for e in extent)} mm (z y x)",
            hint="Check the spacing and the unit in the header.",
        )


def _note_shape(affine: np.ndarray, spacing: np.ndarray, shape: tuple[int, ...], judge: Judge) -> None:
    if min(shape) == 1:
        judge.note("single_slice", "one slice only: no volume can be measured along that axis")
    elif spacing.max() / spacing.min() >= _ANISOTROPIC:
        judge.note("anisotropic", f"voxels are {spacing.max() / spacing.min():.0f} times longer than wide: sizes across slices are rough")
    tilt = np.degrees(np.arccos(np.clip(np.abs(affine[:3, :3] / spacing).max(axis=0).min(), -1, 1)))
    if tilt > _OBLIQUE_DEGREES:
        judge.note("oblique", f"axes are turned by up to {tilt:.1f} degrees against the patient's")
    if np.array_equal(np.abs(affine[:3, :3]), np.eye(3)[:, ::-1]) and not affine[:3, 3].any():
        judge.note("identity_affine", "1 mm voxels at the origin: the header may have lost the true geometry")


def check_finite(array: np.ndarray, nan_policy: str, judge: Judge) -> np.ndarray:
    """No NaN and no infinity: refused, or replaced by the smallest finite value where `nan_policy` is `fill`.

    Raises:
        IntensityError: values that are not numbers, with their count and the first place.
    """
    if array.dtype.kind != "f":
        return array
    # The sum of finite values is finite unless it overflows, and it costs no second array.
    if np.isfinite(array.sum(dtype=np.float64)):
        return array
    bad = ~np.isfinite(array)
    count = int(bad.sum())
    if count == 0:
        return array
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    if nan_policy != "fill" or count == bad.size:
        hint = "No voxel is usable." if count == bad.size else "Fix them, or replace them by the darkest value with --nan-policy fill."
        judge.refuse(
            IntensityError, f"{count} of {bad.size} voxels are NaN or infinite", expected="numbers", found=f"the first at zyx {first}", hint=hint
        )
    smallest = array[~bad].min()
    array = np.where(bad, smallest, array)
    judge.note("filled_nan", f"{count} voxels were NaN or infinite: replaced by {smallest:g}")
    return array


def compact(array: np.ndarray, judge: Judge) -> np.ndarray:
    """The smallest common type that holds the values exactly: int16 or int32, else float32.

    Raises:
        VolumeError: integers beyond 32 bits.
    """
    if array.dtype.kind == "f":
        sample = array.reshape(-1)[:4096]
        integral = bool((sample == np.rint(sample)).all()) and bool((array == np.rint(array)).all())
        limits = (float(array.min()), float(array.max()))
        if not (integral and limits[0] >= -(2**31) and limits[1] < 2**31):
            if max(map(abs, limits)) > np.finfo(np.float32).max:
                judge.refuse(VolumeError, "voxel values are too large", expected="32-bit floats", found=limits, hint="This is no CT or MR scan.")
            return array.astype(np.float32, copy=False)
    low, high = int(array.min()), int(array.max())
    if low < -(2**31) or high >= 2**31:
        judge.refuse(
            VolumeError,
            "voxel values are beyond 32 bits",
            expected=f"-{2**31} to {2**31 - 1}",
            found=f"{low} to {high}",
            hint="This is no CT or MR scan.",
        )
    return array.astype(np.int16 if low >= -(2**15) and high < 2**15 else np.int32, copy=False)


def check_labels(array: np.ndarray, judge: Judge) -> np.ndarray:
    """Label ids in the smallest unsigned type; nothing but whole numbers from 0 on.

    Raises:
        IntensityError: fractions (a mask that was interpolated), negative ids, NaN.
    """
    if array.dtype.kind == "f" and not (np.isfinite(array.sum(dtype=np.float64)) and (array == np.rint(array)).all()):
        hint = "It was interpolated: resample masks with nearest neighbour."
        judge.refuse(IntensityError, "a mask must hold whole numbers", found="fractions or NaN", hint=hint)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= 2**31:
        judge.refuse(
            IntensityError,
            "label ids are out of range",
            expected="0 to 2147483647",
            found=f"{low} to {high}",
            hint="Is this the scan rather than its mask?",
        )
    return array.astype(np.uint8 if high < 2**8 else np.uint16 if high < 2**16 else np.int32, copy=False)
