"""Make a CT phantom: draw a patient, paint anatomy and lesions, image it, and say what is in it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vol3d.errors import ConfigError
from vol3d.volume.geometry import make_affine
from vol3d.volume.phantom.anatomy import paint_body
from vol3d.volume.phantom.build import Build, draw_build, draw_warp
from vol3d.volume.phantom.canvas import Canvas
from vol3d.volume.phantom.labels import ct_label_map, report_labels, with_volumes
from vol3d.volume.phantom.lesion_paint import paint_lesions
from vol3d.volume.phantom.phantom import Lesion, Phantom
from vol3d.volume.phantom.physics import blur, correlated_noise, lattice_texture
from vol3d.volume.phantom.placement import draw_lesions, place_lesions
from vol3d.volume.phantom.report import ct_report
from vol3d.volume.phantom.structures import CT_IDS
from vol3d.volume.volume import Volume

# Anatomical z (mm) of the middle of the field of view.
REGIONS = {"chest": 120.0, "abdomen": -100.0, "chest_abdomen": 75.0}
_GRAIN = {"subcutaneous_fat": 9.0, "torso_fat": 13.0, "skeletal_muscle": 11.0, "liver_parenchyma": 6.0, "spleen": 5.0, "colon": 25.0, "stomach": 8.0}


def phantom_ct(
    seed: int,
    *,
    shape_zyx: tuple[int, int, int] = (128, 160, 160),
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0),
    region: str = "chest_abdomen",
    lesions: Sequence[Lesion] | None = None,
    noise_hu: float | None = None,
) -> Phantom:
    """A CT of chest, abdomen or both; deterministic from the seed, the same patient and lesions on every grid.

    Args:
        seed: which patient, and which lesions when none are given.
        shape_zyx, spacing_mm: the grid; it is centred on the region, so its extent is the field of view.
        region: `chest`, `abdomen` or `chest_abdomen`.
        lesions: exactly these (fields that are None are drawn), or None to draw.
        noise_hu: sd of the noise; drawn from 6 to 22 HU when None.

    Raises:
        ConfigError: an unknown region or kind of lesion.

    >>> phantom = phantom_ct(3, shape_zyx=(32, 48, 48), spacing_mm=(10.0, 10.0, 10.0), lesions=(Lesion.sphere("liver_cyst", 40.0),))
    >>> phantom.volume.shape, phantom.labels.status("liver_cyst").value, phantom.lesions[0].place
    ((32, 48, 48), 'found', 'right lobe of the liver')
    """
    if region not in REGIONS:
        raise ConfigError("unknown region of a CT phantom", expected=" | ".join(REGIONS), found=region)
    build = draw_build(seed)
    warp = draw_warp(build)
    rng = build.rng("field of view")
    middle = REGIONS[region] * build.scale[2] + float(rng.uniform(-12, 12))
    origin = tuple(float(-s * (n - 1) / 2) for s, n in zip(spacing_mm[::-1], shape_zyx[::-1], strict=True))
    canvas = Canvas(shape_zyx, spacing_mm, (origin[0], origin[1], origin[2] + middle), warp)
    texture = paint_body(canvas, build)
    placed = place_lesions(draw_lesions(build, region) if lesions is None else lesions, build, warp, region)
    placed = paint_lesions(canvas, placed, build, texture)
    noise = float(rng.uniform(6, 22)) if noise_hu is None else noise_hu
    values = image(canvas, build, noise_hu=noise)
    affine = make_affine(spacing_mm, canvas.origin_mm)
    name = f"phantom-ct-{seed}"
    counts = np.bincount(canvas.labels.ravel(), minlength=256)
    placed = with_volumes(placed, counts, canvas.voxel_ml)
    labels = ct_label_map(canvas.labels, affine, counts, placed, build, name)
    findings, impression = ct_report(placed, labels, build, region)
    parameters: dict[str, Any] = asdict(build) | {"region": region, "noise_hu": noise, "shape_zyx": shape_zyx, "spacing_mm": spacing_mm}
    return Phantom(
        Volume(values, affine, "CT", "HU", name), labels, placed, findings, impression, report_labels(placed, build, labels), seed, parameters
    )


def image(canvas: Canvas, build: Build, *, noise_hu: float) -> np.ndarray:
    """Painted tissue as a scanner would show it: table, grain, blur, noise; int16 HU."""
    if build.table:
        _paint_table(canvas)
    amplitude = np.full(256, 2.5, np.float32)
    amplitude[0] = 0.0
    for structure, sd in _GRAIN.items():
        amplitude[CT_IDS[structure]] = sd
    grain = lattice_texture(canvas.axes, build.rng("grain"), pitch_mm=8.0)
    grain *= amplitude[canvas.labels]
    canvas.values += grain
    blur(canvas.values, canvas.spacing_mm, psf_mm=float(build.rng("psf").uniform(0.5, 0.9)))
    if noise_hu > 0:
        canvas.values += correlated_noise(canvas.shape, build.rng("noise"), sd=noise_hu)
    return np.clip(np.rint(canvas.values), -1024, 3071).astype(np.int16)


def _paint_table(canvas: Canvas) -> None:
    x, y, _ = canvas.axes
    surface = -152.0 + 0.0006 * np.square(x)[None, :]
    depth = surface - y[:, None]
    shell = ((depth >= 0) & (depth < 4.0)) | ((depth >= 26.0) & (depth < 30.0))
    foam = (depth >= 4.0) & (depth < 26.0)
    plane = np.where(shell, -250.0, np.where(foam, -930.0, -1000.0)).astype(np.float32)
    plane[:, np.abs(x) > 215.0] = -1000.0
    empty = (canvas.labels == 0) & (canvas.values < -900.0)
    np.copyto(canvas.values, np.broadcast_to(plane, canvas.shape), where=empty)
