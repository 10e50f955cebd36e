"""Make a head MR phantom in one of four contrasts."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from vol3d.contracts import LabelMap, Status
from vol3d.errors import ConfigError
from vol3d.volume.geometry import make_affine
from vol3d.volume.phantom.brain import CONTRASTS, FOLD_PITCH_MM, cerebrum_depth, lobe_of, paint_brain_tumour, paint_head, signal
from vol3d.volume.phantom.build import Build, draw_build, draw_warp
from vol3d.volume.phantom.canvas import Canvas, Warp
from vol3d.volume.phantom.labels import ABNORMALITIES, with_volumes
from vol3d.volume.phantom.lesions import draw_diameters
from vol3d.volume.phantom.phantom import Lesion, Phantom
from vol3d.volume.phantom.physics import blur, correlated_noise, lattice_texture
from vol3d.volume.phantom.places import place_words
from vol3d.volume.phantom.report import mr_report
from vol3d.volume.phantom.structures import FIRST_LESION_ID, MR_IDS, MR_UNIONS
from vol3d.volume.volume import Volume


def phantom_mr(
    seed: int,
    *,
    shape_zyx: tuple[int, int, int] = (128, 160, 160),
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5),
    contrast: str | None = None,
    lesions: Sequence[Lesion] | None = None,
    noise: float | None = None,
) -> Phantom:
    """An MR of the head; deterministic from the seed, the same patient on every grid and in every contrast.

    Args:
        seed: which patient.
        shape_zyx, spacing_mm: the grid, centred on the head.
        contrast: `t1`, `t1c` (after contrast medium), `t2` or `flair`; drawn from the seed when None.
        lesions: exactly these (kind `brain_tumour`), or None to draw.
        noise: sd in percent of white matter's signal; drawn when None.

    Raises:
        ConfigError: unknown contrast, or a lesion that a head cannot have.

    >>> phantom = phantom_mr(3, shape_zyx=(24, 32, 32), spacing_mm=(8.0, 8.0, 8.0), contrast="flair", lesions=())
    >>> phantom.volume.modality, phantom.labels.status("brain").value, phantom.labels.status("brain_tumour").value
    ('MR', 'found', 'absent')
    """
    build = replace(draw_build(seed), table=False)
    if contrast is None:
        contrast = CONTRASTS[int(build.rng("contrast").integers(4))]
    if contrast not in CONTRASTS:
        raise ConfigError("unknown contrast of an MR phantom", expected=" | ".join(CONTRASTS), found=contrast)
    head = replace(build, scale=tuple(1 + (s - 1) * 0.5 for s in build.scale))  # type: ignore[arg-type]
    warp = draw_warp(head, amplitude_mm=2.2, wavelength_mm=(90.0, 200.0))
    origin = [float(-s * (n - 1) / 2) for s, n in zip(spacing_mm[::-1], shape_zyx[::-1], strict=True)]
    canvas = Canvas(shape_zyx, spacing_mm, (origin[0], origin[1] + 4.0, origin[2] + 2.0), warp, background=8.0)
    folds = lattice_texture(canvas.axes, build.rng("folds"), pitch_mm=FOLD_PITCH_MM, reach_mm=180.0)
    paint_head(canvas, build, contrast, folds)
    placed = _place(_draw(build) if lesions is None else tuple(lesions), build, warp)
    texture = lattice_texture(canvas.axes, build.rng("tumour texture"), pitch_mm=9.0, reach_mm=180.0)
    for lesion in placed:
        paint_brain_tumour(canvas, lesion, contrast, texture)
    percent = float(build.rng("mr noise").uniform(1.5, 5.0)) if noise is None else noise
    values = _image(canvas, build, contrast, percent)
    affine = make_affine(spacing_mm, canvas.origin_mm)
    counts = np.bincount(canvas.labels.ravel(), minlength=256)
    placed = with_volumes(placed, counts, canvas.voxel_ml)
    labels = _label_map(canvas, affine, counts, placed, f"phantom-mr-{seed}")
    findings, impression = mr_report(placed, labels, build, contrast)
    parameters: dict[str, Any] = asdict(build) | {
        "region": "brain",
        "contrast": contrast,
        "noise_percent": percent,
        "shape_zyx": shape_zyx,
        "spacing_mm": spacing_mm,
    }
    volume = Volume(values, affine, "MR", "a.u.", labels.source)
    return Phantom(volume, labels, placed, findings, impression, dict.fromkeys(ABNORMALITIES, 0), seed, parameters)


def _draw(build: Build) -> tuple[Lesion, ...]:
    return (Lesion("brain_tumour"),) if build.rng("brain lesions").random() < 0.6 else ()


def _place(asked: tuple[Lesion, ...], build: Build, warp: Warp) -> tuple[Lesion, ...]:
    placed: list[Lesion] = []
    for number, lesion in enumerate(asked):
        if lesion.kind != "brain_tumour":
            raise ConfigError("unknown kind of lesion on a head phantom", expected="brain_tumour", found=lesion.kind)
        rng = build.rng(f"brain lesion/{number}")
        diameters = lesion.diameters_mm or draw_diameters(lesion.kind, rng)
        points = rng.uniform((-62, -80, -20), (62, 76, 80), (400, 3))
        if lesion.side:
            points[:, 0] = np.abs(points[:, 0]) * (-1 if lesion.side == "left" else 1)
        world = warp.inverse(points)
        room = cerebrum_depth(points) - max(diameters) / 2
        for other in placed:
            gap = np.linalg.norm(world - np.array(other.centre_ras_mm), axis=1) - max(diameters) / 2 - max(other.diameters_mm or (0,)) / 2
            room = np.minimum(room, gap - 4.0)
        best = int(np.argmax(room > 0)) if (room > 0).any() else int(np.argmax(room))
        centre = lesion.centre_ras_mm or tuple(float(round(v, 2)) for v in world[best])
        host = lesion.host or lobe_of(warp.points(np.array([centre]))[0])
        placed.append(
            replace(
                lesion,
                centre_ras_mm=centre,  # type: ignore[arg-type]
                diameters_mm=diameters,
                host=host,
                side="left" if host.endswith("left") else "right",
                place=place_words(replace(lesion, host=host), None, build),
                structure="brain_tumour",
                label_id=FIRST_LESION_ID + number,
                volume_ml=float(np.prod(diameters)) * np.pi / 6000,
            )
        )
    return tuple(placed)


def _image(canvas: Canvas, build: Build, contrast: str, percent: float) -> np.ndarray:
    """Texture, blur, coil shading, and noise of a magnitude image (Rician: never below zero)."""
    values = canvas.values
    values += lattice_texture(canvas.axes, build.rng("mr grain"), pitch_mm=6.0, reach_mm=180.0) * np.where(
        canvas.labels > 0, np.float32(9.0), np.float32(0.0)
    )
    blur(values, canvas.spacing_mm, psf_mm=0.6)
    shading = lattice_texture(canvas.axes, build.rng("shading"), pitch_mm=120.0, reach_mm=240.0)
    values *= 1.0 + np.float32(0.06) * shading
    sd = percent / 100.0 * signal(contrast)["white_matter"]
    rng = build.rng("noise")
    real, imaginary = (correlated_noise(canvas.shape, rng, sd=sd, sigma_vox=0.4) for _ in range(2))
    gain = float(build.rng("gain").uniform(0.5, 2.0))
    return (np.hypot(values + real, imaginary) * np.float32(gain)).astype(np.float32)


def _label_map(canvas: Canvas, affine: np.ndarray, counts: np.ndarray, placed: tuple[Lesion, ...], source: str) -> LabelMap:
    visible = [lesion for lesion in placed if counts[lesion.label_id]]
    names = {i: name for name, i in MR_IDS.items()} | {lesion.label_id: lesion.structure for lesion in visible}
    unions = {name: (*ids, *(lesion.label_id for lesion in visible)) for name, ids in MR_UNIONS.items()}
    seen = {name: int(counts[i]) for name, i in MR_IDS.items()} | {name: int(counts[list(ids)].sum()) for name, ids in unions.items()}
    statuses = {name: Status.FOUND if voxels else Status.NOT_COVERED for name, voxels in seen.items()}
    looked = Status.ABSENT if seen["brain"] else Status.NOT_COVERED
    statuses |= {"brain_tumour": Status.FOUND if visible else looked, "oedema": Status.FOUND if seen["oedema"] else looked}
    reasons = {name: "outside of the field of view" for name, status in statuses.items() if status is Status.NOT_COVERED}
    return LabelMap(canvas.labels, affine, names, source, "phantom", "1", statuses, unions, reasons)
