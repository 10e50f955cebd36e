"""Head MR: scalp, skull, folded cortex over white matter, ventricles, deep grey matter, hindbrain, face; and a tumour with its oedema."""

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas, Region, table
from vol3d.volume.phantom.lesion_paint import ellipsoid_box
from vol3d.volume.phantom.phantom import Lesion
from vol3d.volume.phantom.shapes import Capsule, Ellipsoid, Shape, smooth_tube
from vol3d.volume.phantom.structures import MR_IDS

FOLD_PITCH_MM = 9.5
_CRANIUM = Ellipsoid((0.0, -4.0, 10.0), (66.0, 84.0, 76.0))

# Signal by structure and contrast, arbitrary units; order t1, t1c, t2, flair.
CONTRASTS = ("t1", "t1c", "t2", "flair")
_SIGNAL: dict[str, tuple[float, float, float, float]] = {
    "scalp": (880, 900, 620, 560),
    "skull": (90, 95, 60, 70),
    "csf": (150, 155, 960, 95),
    "grey_matter": (430, 455, 540, 520),
    "white_matter": (630, 645, 390, 400),
    "deep_grey_matter": (500, 520, 460, 460),
    "ventricles": (140, 145, 990, 85),
    "cerebellum": (490, 510, 480, 470),
    "brainstem": (590, 600, 410, 420),
    "eye_left": (170, 180, 930, 160),
    "eye_right": (170, 180, 930, 160),
    "head_soft_tissue": (400, 470, 300, 320),
    "paranasal_air": (12, 12, 12, 12),
    "oedema": (450, 460, 760, 800),
}
_RIM, _CORE = (360, 900, 640, 660), (260, 250, 860, 520)


def signal(contrast: str) -> dict[str, float]:
    """Signal of each structure in one contrast, and of a tumour's `rim` and `core`."""
    column = CONTRASTS.index(contrast)
    return {name: float(values[column]) for name, values in (_SIGNAL | {"rim": _RIM, "core": _CORE}).items()}


def paint_head(canvas: Canvas, build: Build, contrast: str, folds: np.ndarray) -> None:
    """Paint a healthy head; `folds` is a smooth random field whose zero surface becomes the sulci."""
    tone = signal(contrast)

    def put(shape: Shape, name: str, over: tuple[str, ...] = ()) -> None:
        canvas.paint(shape, MR_IDS[name], tone[name], over=table(MR_IDS[n] for n in over) if over else None)

    head, face = Ellipsoid((0, -4, 10), (78, 97, 88)), Ellipsoid((0, 34, -58), (60, 62, 66))
    for outer in (head, face, Capsule((0, -22, -50), (0, -34, -150), 58, 56)):
        put(outer, "scalp")
    for inner in (head.grown(-5.5), face.grown(-5.5), Capsule((0, -22, -50), (0, -34, -150), 52, 50)):
        put(inner, "head_soft_tissue")
    _paint_cranium(canvas, tone, folds, atrophy=max(0.0, (build.age - 40) / 50))
    swell = 1.0 + max(0, build.age - 45) * 0.012
    put(Ellipsoid((0, -50, -38), (50, 30, 23)), "cerebellum")
    put(smooth_tube(((0, -8, -4), (0, -16, -28), (0, -26, -60), (0, -34, -150)), (13, 14, 9.5, 7), pieces=3), "brainstem")
    put(Ellipsoid((0, -35, -34), (7, 5, 8)), "ventricles")
    for side, name in ((-1.0, "left"), (1.0, "right")):
        for centre, semi in (((side * 11, -8, 12), (9, 15, 10)), ((side * 14, 26, 16), (6, 12, 10)), ((side * 27, 8, 8), (6, 19, 11))):
            put(Ellipsoid(centre, semi), "deep_grey_matter", over=("white_matter", "grey_matter", "csf"))
        horn = ((side * 9, 42, 20), (side * 10, 8, 30), (side * 21, -34, 22), (side * 19, -58, 14))
        put(
            smooth_tube(horn, (4 * swell, 5 * swell, 6 * swell, 2.5), pieces=3),
            "ventricles",
            over=("white_matter", "deep_grey_matter", "grey_matter"),
        )
        put(
            smooth_tube((horn[2], (side * 34, -20, -2), (side * 34, 2, -12)), (5 * swell, 2.5 * swell, 2), pieces=2),
            "ventricles",
            over=("white_matter",),
        )
        put(Ellipsoid((side * 32, 78, -32), (12.5, 12.5, 12.5)), f"eye_{name}")
        put(Ellipsoid((side * 22, 62, -62), (11, 14, 13)), "paranasal_air")
    put(Ellipsoid((0, 2, 12), (2.4 * swell, 16, 10)), "ventricles")
    put(Ellipsoid((0, 60, -58), (8, 34, 17)), "paranasal_air")
    put(Capsule((0, 20, -70), (0, 8, -140), 8, 8), "paranasal_air")


def _skull_base(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Anatomical z of the floor of the cranium: high under the frontal lobes, lower under the temporal ones, lowest behind."""
    front = -30.0 + 0.30 * np.maximum(y, 0.0)
    middle = np.where((np.abs(x) > 20.0) & (y < 36.0), np.float32(-36.0), front)
    return np.where(y < -8.0, np.maximum(-62.0, -36.0 - 1.6 * (-8.0 - y)), middle)


def _paint_cranium(canvas: Canvas, tone: dict[str, float], folds: np.ndarray, *, atrophy: float) -> None:
    """Skull, cerebrospinal fluid, and cortex over white matter, above the skull base and the tentorium."""
    region = canvas.region(*_CRANIUM.grown(7.0).bounds())
    if region is None:
        return
    base = _skull_base(region.x, region.y)
    bone = _CRANIUM.grown(6.5).inside(region.x, region.y, region.z) & (region.z > base - 6.0)
    radius = np.sqrt(_CRANIUM.radius(region.x, region.y, region.z))
    inside = (radius <= 1.0) & (region.z > base)
    depth = _cortex_depth(region, radius, base, atrophy)
    sulcus = np.abs(folds[region.slices]) * (FOLD_PITCH_MM * 0.62)
    fluid = (depth < 0.0) | ((depth < 19.0) & (sulcus < 0.6 + 0.8 * atrophy))
    grey = (depth < 4.0) | ((depth < 22.0) & (sulcus < 3.6))
    for mask, name in ((bone, "skull"), (inside, "csf"), (inside & ~fluid, "white_matter"), (inside & ~fluid & grey, "grey_matter")):
        region.labels[mask], region.values[mask] = MR_IDS[name], tone[name]


def _cortex_depth(region: Region, radius: np.ndarray, base: np.ndarray, atrophy: float) -> np.ndarray:
    """Millimetres below the surface of the cerebrum: its convexity, its base, the cleft between its halves, the tentorium."""
    depth = np.minimum((0.965 - 0.02 * atrophy - radius) * 75.0, region.z - base - 2.0)
    core = np.maximum(0.0, 24.0 - np.abs(region.z - 6.0)) * 0.6 * (np.abs(region.y + 4.0) < 44.0)  # the halves are joined in the middle only
    depth = np.minimum(depth, np.abs(region.x) - 1.2 + core)
    behind = np.clip((-region.y - 6.0) / 12.0, 0.0, 1.0)
    return np.where(region.z < 40.0, np.minimum(depth, (region.z + 13.0) * behind + 60.0 * (1.0 - behind)), depth)


def cerebrum_depth(points: np.ndarray) -> np.ndarray:
    """How deep anatomical points lie in the cerebrum, in mm (negative outside); away from the midline and the base."""
    region = Region.of_points(points)
    radius = np.sqrt(_CRANIUM.radius(region.x, region.y, region.z))[:, 0, 0]
    return np.minimum.reduce([(0.95 - radius) * 75.0, np.abs(points[:, 0]) - 6.0, points[:, 2] + 4.0 + np.minimum(0.0, -points[:, 1]) * 0.3])


def lobe_of(point: np.ndarray) -> str:
    """Lobe and side of an anatomical point: coarse borders of the four lobes."""
    x, y, z = (float(v) for v in point)
    side = "left" if x < 0 else "right"
    if z < 6 and abs(x) > 26 and y > -48:
        return f"temporal_lobe_{side}"
    if y > 12:
        return f"frontal_lobe_{side}"
    return f"occipital_lobe_{side}" if y < -50 and z < 40 else f"parietal_lobe_{side}"


def paint_brain_tumour(canvas: Canvas, lesion: Lesion, contrast: str, texture: np.ndarray) -> None:
    """A rim around a core, exact as an ellipsoid, and oedema that spreads into the white matter around it."""
    tone = signal(contrast)
    halo = ellipsoid_box(canvas, lesion, grow=1.7)
    if halo is None:
        return
    region, radius = halo
    wet = (radius + 0.35 * texture[region.slices] < 2.3) & table([MR_IDS["white_matter"]])[region.labels]
    region.labels[wet], region.values[wet] = MR_IDS["oedema"], tone["oedema"]
    mask = (radius <= 1.0) & (region.labels > 0)
    core = radius < (0.40 if max(lesion.diameters_mm or (0.0,)) > 22 else 0.15)
    rim = tone["rim"] if lesion.density_hu is None else lesion.density_hu
    value = np.where(core, np.float32(tone["core"]), np.float32(rim)) + texture[region.slices] * np.float32(12.0)
    region.labels[mask], region.values[mask] = lesion.label_id, value[mask]
