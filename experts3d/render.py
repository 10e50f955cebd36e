"""Masks drawn on slices: square pixels, radiological view, fill and contour, lesions over organs, one colour per name.

Radiological view: the patient's right is at the left edge of axial and coronal pictures; sagittal pictures face left.
"""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Num, UInt8

from experts3d.anatomy import in_words, is_lesion
from experts3d.keyslices import PLANES, KeySlice
from experts3d.palette import colour_of
from vol3d.contracts import LabelMap, Picture
from vol3d.volume.geometry import require_same_grid, to_canonical
from vol3d.volume.intensity import fit_recipe, to_uint8
from vol3d.volume.volume import Volume

FILL_OPACITY = 0.30
_MOST = 8
_LUNG_WORDS = ("lung", "airway", "trachea", "emphysema", "consolidation", "pleural")
_BONE_WORDS = ("bone", "vertebra", "rib_", "skull", "sternum", "sacrum", "hip_", "femur", "calcification")


def overlay(
    volume: Volume,
    labels: LabelMap,
    key: KeySlice,
    structures: Sequence[str] | None = None,
    *,
    longest_px: int = 512,
    recipe: str | None = None,
) -> Picture:
    """One slice with the structures drawn on it.

    Args:
        volume: the scan.
        labels: label map on the scan's grid.
        key: plane and canonical slice index.
        structures: what to draw; None: what the key slice was chosen for. At most eight are drawn, lesions first.
        longest_px: longer side of the picture.
        recipe: intensity recipe; None: lung, bone or soft tissue by what is drawn, percentiles on MR.

    >>> from vol3d.volume.geometry import make_affine
    >>> scan = Volume(np.zeros((3, 4, 6), np.int16), make_affine((3, 1, 1)), "CT", "HU")
    >>> mask = np.zeros((3, 4, 6), np.uint8); mask[1, 1:3, 1:3] = 1
    >>> picture = overlay(scan, LabelMap(mask, scan.affine, {1: "liver"}, "demo", "hand", "1"), KeySlice("coronal", 1, ("liver",)), longest_px=90)
    >>> picture.rgb.shape, picture.structures
    ((90, 60, 3), ('liver',))
    """
    require_same_grid(volume.shape, volume.affine, labels.array.shape, labels.affine, path=labels.source or None)
    scan = volume.canonical()
    array, _ = to_canonical(labels.array, labels.affine)
    drawn = _to_draw(labels, key.structures if structures is None else structures)
    recipe = recipe or recipe_of(volume, drawn)
    fitted = fit_recipe(recipe, volume.numpy()) if recipe == "mri_percentile" else recipe
    axis = PLANES.index(key.plane)
    grey, spacing = _plane(np.take(scan.array, key.index, axis=axis), axis, scan.spacing_mm)
    ids, _ = _plane(np.take(array, key.index, axis=axis), axis, scan.spacing_mm)
    shape = _square_shape(grey.shape, spacing, longest_px)
    rgb = np.repeat(to_uint8(_linear(np.asarray(grey, np.float32), shape), fitted)[..., None], 3, axis=2)
    big = _nearest(ids, shape)
    for name in drawn:
        _draw(rgb, np.isin(big, labels.ids(name)), colour_of(name), outline_only=_holds_others(labels, name, drawn))
    caption = f"{key.plane} slice {key.index}: {', '.join(in_words(name) for name in drawn) or 'no structure'}"
    colours = {name: colour_of(name) for name in drawn}
    return Picture(rgb, key.plane, key.index, tuple(drawn), recipe, caption, colours)


def recipe_of(volume: Volume, structures: Sequence[str]) -> str:
    """The intensity window that shows these structures best."""
    if volume.modality != "CT":
        return "mri_percentile"
    if structures and all(name.startswith(_LUNG_WORDS) or name.startswith("lung") for name in structures):
        return "ct_lung"
    if structures and all(any(word in name for word in _BONE_WORDS) for name in structures):
        return "ct_bone"
    return "ct_soft"


def png(picture: Picture) -> bytes:
    """The picture as a PNG file in memory (lossless: JPEG would change the colours of small lesions)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture.rgb).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _to_draw(labels: LabelMap, structures: Sequence[str]) -> list[str]:
    """At most eight, in drawing order: wholes before parts, organs before lesions."""
    known = [name for name in dict.fromkeys(structures) if labels.ids(name)]
    # A union whose parts are all drawn too would only hide their colours.
    kept = [name for name in known if not _is_sum_of(labels, name, known)]
    ranked = sorted(kept, key=lambda name: not is_lesion(name))[:_MOST]
    return sorted(ranked, key=lambda name: (is_lesion(name), -len(labels.ids(name))))


def _is_sum_of(labels: LabelMap, name: str, known: Sequence[str]) -> bool:
    ids = set(labels.ids(name))
    parts = [set(labels.ids(other)) for other in known if other != name and set(labels.ids(other)) < ids]
    return bool(parts) and set().union(*parts) == ids


def _holds_others(labels: LabelMap, name: str, drawn: Sequence[str]) -> bool:
    ids = set(labels.ids(name))
    return any(set(labels.ids(other)) < ids for other in drawn if other != name and not is_lesion(other)) or name == "body"


def _plane(plane: Num[np.ndarray, "a b"], axis: int, spacing_zyx: tuple[float, float, float]) -> tuple[np.ndarray, tuple[float, float]]:
    """Rows and columns as a radiologist looks at them, with their spacing."""
    flipped = plane[::-1, ::-1]
    rows, columns = (s for a, s in enumerate(spacing_zyx) if a != axis)
    return flipped, (rows, columns)


def _square_shape(shape: tuple[int, ...], spacing: tuple[float, float], longest_px: int) -> tuple[int, int]:
    height, width = shape[0] * spacing[0], shape[1] * spacing[1]
    scale = longest_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _sample_points(size: int, wanted: int) -> np.ndarray:
    return (np.arange(wanted) + 0.5) * size / wanted - 0.5


def _linear(plane: Num[np.ndarray, "a b"], shape: tuple[int, int]) -> Num[np.ndarray, "h w"]:
    """Bilinear at pixel centres; averages over what a pixel covers where the picture is smaller than the slice."""
    from scipy import ndimage

    shrink = [max(0.0, (old / new - 1) / 2) for old, new in zip(plane.shape, shape, strict=True)]
    smooth = ndimage.gaussian_filter(plane, shrink) if any(shrink) else plane
    rows, columns = _sample_points(plane.shape[0], shape[0]), _sample_points(plane.shape[1], shape[1])
    grid = np.meshgrid(rows, columns, indexing="ij")
    return ndimage.map_coordinates(smooth, grid, order=1, mode="nearest")


def _nearest(plane: Integer[np.ndarray, "a b"], shape: tuple[int, int]) -> Integer[np.ndarray, "h w"]:
    rows = np.clip(np.rint(_sample_points(plane.shape[0], shape[0])).astype(int), 0, plane.shape[0] - 1)
    columns = np.clip(np.rint(_sample_points(plane.shape[1], shape[1])).astype(int), 0, plane.shape[1] - 1)
    return plane[np.ix_(rows, columns)]


def _draw(rgb: UInt8[np.ndarray, "h w 3"], mask: np.ndarray, colour: tuple[int, int, int], *, outline_only: bool) -> None:
    from scipy import ndimage

    if not mask.any():
        return
    paint = np.array(colour, np.float32)
    if not outline_only:
        rgb[mask] = np.rint((1 - FILL_OPACITY) * rgb[mask] + FILL_OPACITY * paint).astype(np.uint8)
    # A structure that is a pixel or two wide has no inside: all of it is contour, so it stays visible.
    contour = mask & ~ndimage.binary_erosion(mask, border_value=1)
    rgb[contour] = colour
