"""Paint placed lesions over the anatomy, each with its own label id."""

from dataclasses import replace

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas, Region, table
from vol3d.volume.phantom.lesions import ELLIPSOIDS
from vol3d.volume.phantom.phantom import Lesion
from vol3d.volume.phantom.shapes import Capsule, rotation_xyz
from vol3d.volume.phantom.structures import CT_IDS, FIRST_LESION_ID, HEART_PARTS, LOBES
from vol3d.volume.phantom.thorax import LUNG_IDS, aorta_path, heart_outline, lung_mask

_CAVITY = LUNG_IDS | table(CT_IDS[n] for n in ("torso_fat", "pericardium", "skeletal_muscle", "esophagus"))


def paint_lesions(canvas: Canvas, lesions: tuple[Lesion, ...], build: Build, texture: np.ndarray) -> tuple[Lesion, ...]:
    """Paint in an order that leaves solid lesions whole: fluids and diffuse disease first, ellipsoids last."""
    lesions = tuple(replace(lesion, label_id=FIRST_LESION_ID + i) for i, lesion in enumerate(lesions))
    for lesion in sorted(lesions, key=lambda item: item.kind in ELLIPSOIDS):
        if lesion.kind in ELLIPSOIDS:
            paint_ellipsoid(canvas, lesion, texture)
        else:
            _DIFFUSE[lesion.kind](canvas, lesion, build, texture)
    return lesions


def ellipsoid_box(canvas: Canvas, lesion: Lesion, *, grow: float = 1.0) -> tuple[Region, np.ndarray] | None:
    """The box of a lesion, and the squared ellipsoidal radius of its voxel centres in world mm (1 on the surface)."""
    centre, semi = np.array(lesion.centre_ras_mm), np.array(lesion.diameters_mm) / 2 * grow
    slices = canvas.world_slices(centre - semi, centre + semi)
    if slices is None:
        return None
    axes = canvas.axes
    x, y, z = (((axes[i][slices[2 - i]] - centre[i]) / (semi[i] / grow)) ** 2 for i in range(3))
    return canvas.at(slices), z[:, None, None] + y[:, None] + x


def paint_ellipsoid(canvas: Canvas, lesion: Lesion, texture: np.ndarray) -> None:
    """An ellipsoid along the world axes: exact on any grid. Large solid tumours have a paler core, cysts are even."""
    found = ellipsoid_box(canvas, lesion)
    if found is None or lesion.density_hu is None:
        return
    region, radius = found
    mask = (radius <= 1.0) & (region.labels > 0)
    value = np.full(radius.shape, lesion.density_hu, np.float32)
    if "tumour" in lesion.kind or lesion.kind in ("pancreas_lesion", "lymph_node"):
        value += texture[region.slices] * np.float32(5.0)
        if max(lesion.diameters_mm or (0.0,)) > 32.0 and "tumour" in lesion.kind:
            value[radius < 0.3] -= min(30.0, max(0.0, lesion.density_hu - 12.0))
    if lesion.kind == "lung_ground_glass_nodule":
        value += texture[region.slices] * np.float32(35.0)
    region.labels[mask] = lesion.label_id
    region.values[mask] = value[mask]


def _consolidation(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    found = ellipsoid_box(canvas, lesion, grow=1.25)
    if found is None:
        return
    region, radius = found
    ragged = 0.22 if lesion.kind == "consolidation" else 0.08
    mask = (radius + ragged * texture[region.slices] <= 1.0) & (region.labels == CT_IDS[f"{lesion.host}_parenchyma"])
    value = np.float32(lesion.density_hu or 0.0) + texture[region.slices] * np.float32(10.0)
    region.labels[mask] = lesion.label_id
    region.values[mask] = value[mask]


def _emphysema(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    """Round holes of 7 to 16 mm, scattered through one lobe."""
    rng = build.rng(f"emphysema/{lesion.host}")
    side = 1.0 if (lesion.host or "").endswith("right") else -1.0
    count = int(20 + 130 * (lesion.amount or 0.5))
    low, high = (0, 270) if "upper" in (lesion.host or "") else (-30, 200)
    centres = np.column_stack([side * rng.uniform(10, 128, count), rng.uniform(-80, 80, count), rng.uniform(low, high, count)])
    world = canvas.warp.inverse(centres)
    for centre, diameter in zip(world, rng.uniform(8, 17, count), strict=True):
        hole = replace(lesion, centre_ras_mm=tuple(centre.tolist()), diameters_mm=(diameter,) * 3)
        found = ellipsoid_box(canvas, hole)
        if found is None:
            continue
        region, radius = found
        mask = (radius <= 1.0) & (region.labels == CT_IDS[f"{lesion.host}_parenchyma"])
        region.labels[mask], region.values[mask] = lesion.label_id, lesion.density_hu


def effusion_level(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """What lies lower in a lying patient: the back first, then the base; the fluid climbs a little at the side."""
    return y + 0.14 * z - 0.16 * np.abs(x)


def effusion_threshold(build: Build, side: str, volume_ml: float) -> float:
    """The level under which a pleural space of this side holds the volume; from 6000 points fixed by the seed."""
    sign = 1.0 if side == "right" else -1.0
    points = build.rng(f"effusion/{side}").uniform((0, -95, -40), (140, 95, 285), (6000, 3)) * np.array([sign, 1, 1])
    inside = points[lung_mask(Region.of_points(points), build)[:, 0, 0]]
    each_ml = 140 * 190 * 325 / 6000 * float(np.prod(build.scale)) / 1000
    levels = np.sort(effusion_level(inside[:, 0], inside[:, 1], inside[:, 2]))
    return float(levels[min(len(levels) - 1, int(volume_ml / each_ml))])


def _pleural_effusion(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    side = lesion.side or "left"
    region = canvas.region((0, -120, -50) if side == "right" else (-145, -120, -50), (145, 120, 292) if side == "right" else (0, 120, 292))
    if region is None:
        return
    threshold = effusion_threshold(build, side, 50 + 1100 * (lesion.amount or 0.3))
    own = table(CT_IDS[f"{lobe}_parenchyma"] for lobe in LOBES if lobe.endswith(side))[region.labels]
    level = effusion_level(region.x, region.y, region.z) - threshold
    mask = own & (level <= 0)
    # Lung next to the fluid is pressed and denser.
    pressed = own & (level > 0) & (level < 12)
    region.values[pressed] += (260.0 - 20.0 * level[pressed]) * (lesion.amount or 0.3)
    region.labels[mask], region.values[mask] = lesion.label_id, lesion.density_hu


def _pericardial_effusion(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    sac = heart_outline(build).grown(3.5 + 12.0 * (lesion.amount or 0.4))
    canvas.paint(sac, lesion.label_id, float(lesion.density_hu or 10.0), over=_CAVITY & ~table([CT_IDS["esophagus"], CT_IDS["skeletal_muscle"]]))


def _coronary_calcification(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    """Short plaques along the left descending, circumflex and right coronary arteries, on the heart's surface."""
    heart = heart_outline(build)
    rng = build.rng("coronary")
    frame, semi, centre = rotation_xyz(heart.turn), np.array(heart.semi), np.array(heart.centre)
    courses = (((-0.25, -0.15, 0.95), (-0.25, 0.85, 0.45)), ((-0.45, -0.3, 0.85), (-0.95, -0.1, 0.25)), ((0.55, 0.2, 0.8), (0.85, 0.45, -0.2)))
    for number in range(1 + int(3.99 * (lesion.amount or 0.5))):
        start, stop = (np.array(v) for v in courses[number % 3])
        at = rng.uniform(0.1, 0.55)
        ends = []
        for t in (at, at + rng.uniform(0.22, 0.36)):
            direction = start + (stop - start) * t
            ends.append(tuple((centre + (direction / np.linalg.norm(direction) * semi) @ frame.T).tolist()))
        radius = float(rng.uniform(2.1, 3.0))
        canvas.paint(Capsule(ends[0], ends[1], radius, radius * 0.9), lesion.label_id, float(lesion.density_hu or 650.0))


def _aortic_calcification(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    """Plaques along the wall of arch, descending and abdominal aorta."""
    rng = build.rng("plaques")
    path = aorta_path(build)
    for place in rng.permutation(np.arange(6, len(path.points) - 2))[: 3 + int(6 * (lesion.amount or 0.5))]:
        ends = []
        angle = rng.uniform(0, 2 * np.pi)
        axis = np.array(path.points[place + 1]) - np.array(path.points[place])
        first = np.cross(axis, (0.3, 1.0, 0.2))
        first /= np.linalg.norm(first)
        second = np.cross(axis, first) / np.linalg.norm(axis)
        for t in (0.0, float(rng.uniform(0.5, 0.9))):
            radius = path.radii[place] - 1.0
            offset = (np.cos(angle + t * 0.6) * first + np.sin(angle + t * 0.6) * second) * radius
            ends.append(tuple((np.array(path.points[place]) + axis * t + offset).tolist()))
        canvas.paint(Capsule(ends[0], ends[1], 2.4, 1.9), lesion.label_id, float(lesion.density_hu or 760.0))


def _hiatal_hernia(canvas: Canvas, lesion: Lesion, build: Build, texture: np.ndarray) -> None:
    """A pouch of stomach behind the heart, with a wall, and gas over fluid."""
    found = ellipsoid_box(canvas, lesion)
    if found is None:
        return
    region, radius = found
    heart = table(CT_IDS[name] for name in (*HEART_PARTS, "aorta"))
    mask = (radius <= 1.0) & ~heart[region.labels] & (region.labels > 0) & (region.y > -62.0)
    inner = (1 - 7.0 / min(lesion.diameters_mm or (30.0,))) ** 2
    content = np.where(region.y > np.float32(-10.0), np.float32(-900.0), np.float32(20.0))
    value = np.where(radius > inner, np.float32(lesion.density_hu or 45.0), content)
    region.labels[mask], region.values[mask] = lesion.label_id, value[mask]


_DIFFUSE = {
    "consolidation": _consolidation,
    "atelectasis": _consolidation,
    "emphysema": _emphysema,
    "pleural_effusion": _pleural_effusion,
    "pericardial_effusion": _pericardial_effusion,
    "coronary_calcification": _coronary_calcification,
    "aortic_calcification": _aortic_calcification,
    "hiatal_hernia": _hiatal_hernia,
}
