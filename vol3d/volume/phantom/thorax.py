"""The chest: lungs with lobes and vessels, airway, heart with chambers, great vessels, oesophagus."""

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas, Region, table
from vol3d.volume.phantom.physics import tissue_hu
from vol3d.volume.phantom.shapes import Ellipsoid, Point, Tube, smooth_tube
from vol3d.volume.phantom.structures import CT_IDS, LOBES
from vol3d.volume.phantom.trunk import cavity, cavity_outlines, diaphragm, spine_y

HEART_TURN = (-32.0, 0.0, 34.0)
LUNG_IDS = table(CT_IDS[f"{lobe}_parenchyma"] for lobe in LOBES)
_AIR = -985.0


def heart_outline(build: Build) -> Ellipsoid:
    """The heart's outer surface; its long axis points to the left, to the front and down."""
    offset, size = build.jitter("heart", 3.0, 0.03)
    s = build.heart_scale
    semi = tuple(float(v) for v in np.array([49.0, 63.0, 48.0]) * s * size)
    centre = np.array([-18.0 - 26.0 * (s - 1), 24.0, 96.0]) + offset * 0.5
    return Ellipsoid(tuple(centre.tolist()), semi, HEART_TURN)  # type: ignore[arg-type]


def paint_lungs(canvas: Canvas, build: Build, texture: np.ndarray) -> None:
    """Both lungs in the cavity above the diaphragm, outside of the mediastinum, with a gradient of density from front to back."""
    region = canvas.region((-145, -120, -50), (145, 120, 292))
    if region is None:
        return
    inside = lung_mask(region, build)
    lobe, fissure = lobes(region, build)
    region.labels[inside] = lobe[inside]
    aeration = tissue_hu(build.phase)["lung"] + float(build.rng("aeration").normal(0, 18))
    value = np.float32(aeration) - np.float32(0.35) * region.y + texture[region.slices] * np.float32(9.0)
    value[fissure] += 110.0
    region.values[inside] = value[inside]


def lung_mask(region: Region, build: Build) -> np.ndarray:
    """Points of either lung, before vessels and airways."""
    inside = cavity(region, 2.0) <= 1.0
    inside &= region.z > diaphragm(region.x, region.y)
    inside &= ~_mediastinum(region, build)
    return inside


def lobes(region: Region, build: Build) -> tuple[np.ndarray, np.ndarray]:
    """Lobe id of each point, and whether it lies on a fissure: two oblique planes and, on the right, a level one."""
    right = region.x > 0
    rng = build.rng("fissures")
    slope, left_z, right_z, level_z = (float(v) for v in rng.normal((-0.95, 112.0, 106.0, 124.0), (0.05, 5.0, 5.0, 5.0)))
    oblique = region.z - slope * region.y - np.where(right, np.float32(right_z), np.float32(left_z))
    level = region.z - level_z - 0.08 * region.y
    lower, upper = oblique < 0, level > 0
    ids = np.array([CT_IDS[f"{lobe}_parenchyma"] for lobe in LOBES], np.uint8)
    choice = np.where(right, np.where(lower, 4, np.where(upper, 2, 3)), np.where(lower, 1, 0))
    fissure = (np.abs(oblique) < 1.0) | (right & ~lower & (np.abs(level) < 0.8))
    return ids[choice], fissure


def _mediastinum(region: Region, build: Build) -> np.ndarray:
    """Where the lungs end towards the middle: heart, great vessels, spine, and the fat between the lungs in front."""
    out = heart_outline(build).grown(4.0).radius(region.x, region.y, region.z) <= 1.0
    x2 = np.square(region.x)
    upper = np.clip((region.level - 120.0) / 60.0, 0.0, 1.0)[:, None, None].astype(np.float32)
    out |= x2 * np.float32(1 / 36.0**2) + np.square(region.y - 8.0) * np.float32(1 / 62.0**2) < upper
    spine = spine_y(region.level)
    out |= x2 * np.float32(1 / 27.0**2) + np.square((region.y - spine + 20.0) * np.float32(1 / 46.0)) < 1.0
    out |= np.square(region.x + 12.0) * np.float32(1 / 27.0**2) + np.square((region.y - spine - 20.0) * np.float32(1 / 30.0)) < 1.0
    out |= (x2 < 7.0**2) & (region.y > 0)
    return out


def paint_mediastinum(canvas: Canvas, build: Build) -> None:
    """Heart, vessels, airway and oesophagus."""
    hu = tissue_hu(build.phase)
    _paint_heart(canvas, build, hu)
    for name, tube, value in _great_vessels(build, hu):
        canvas.paint(tube, CT_IDS[name], value)
    gullet = smooth_tube(
        ((-2, -26, 290), (-4, -32, 230), (-2, -38, 170), (-6, -32, 110), (-14, -20, 70), (-28, -4, 48)), (7, 7.5, 7.5, 8, 8.5, 9), pieces=2
    )
    canvas.paint(gullet, CT_IDS["esophagus"], hu["wall"])
    _paint_airway(canvas, build)


def _paint_heart(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    heart = heart_outline(build)
    canvas.paint(heart.grown(3.5), CT_IDS["pericardium"], -88.0)
    canvas.paint(heart, CT_IDS["heart_myocardium"], hu["myocardium"])
    s, c = build.heart_scale, np.array(heart.centre)
    only = table([CT_IDS["heart_myocardium"]])
    chambers = (
        ("heart_ventricle_left", (-26, 10, -8), (21, 30, 21), hu["blood_artery"]),
        ("heart_ventricle_right", (10, 26, -12), (24, 32, 20), hu["blood_right_heart"]),
        ("heart_atrium_left", (2, -32, 18), (27, 17, 21), hu["blood_artery"]),
        ("heart_atrium_right", (34, 2, 2), (17, 22, 26), hu["blood_right_heart"]),
    )
    for name, offset, semi, value in chambers:
        centre = tuple((c + np.array(offset) * s).tolist())
        canvas.paint(Ellipsoid(centre, tuple(v * s for v in semi), HEART_TURN), CT_IDS[name], value, over=only)  # type: ignore[arg-type]


def aorta_path(build: Build) -> Tube:
    """From the left ventricle over the arch to the bifurcation."""
    r = 1.0 + 0.004 * (build.age - 50) + float(build.rng("aorta").normal(0, 0.05))
    points: tuple[Point, ...] = (
        (-2, 20, 118),
        (14, 26, 150),
        (14, 20, 185),
        (2, 2, 210),
        (-16, -20, 214),
        (-26, -38, 196),
        (-26, -42, 150),
        (-24, -32, 90),
        (-14, -14, 35),
        (-8, 0, -20),
        (-6, 4, -80),
        (-4, 0, -132),
    )
    radii = (14, 15.5, 15, 14, 13, 12.5, 12, 11.5, 11, 10, 9, 8)
    return smooth_tube(points, tuple(v * r for v in radii), pieces=2)


def _great_vessels(build: Build, hu: dict[str, float]) -> list[tuple[str, Tube, float]]:
    vein, lung, artery = hu["blood_vein"], hu["blood_lung"], hu["blood_artery"]
    return [
        (
            "superior_vena_cava",
            smooth_tube(((30, 4, 112), (29, 4, 150), (27, 2, 200), (24, 0, 238)), (12, 10, 9.5, 9), pieces=1),
            hu["blood_right_heart"],
        ),
        ("superior_vena_cava", smooth_tube(((26, 2, 228), (0, 18, 232), (-32, 10, 256)), (8, 7, 6.5), pieces=2), vein),
        (
            "inferior_vena_cava",
            smooth_tube(((22, 2, 88), (24, -2, 55), (22, -4, 10), (18, -2, -60), (14, -6, -136)), (12, 13, 12, 11, 10), pieces=2),
            vein,
        ),
        ("pulmonary_artery", smooth_tube(((-18, 44, 128), (-20, 30, 156), (-26, 4, 168), (-48, -14, 164)), (13, 14, 12, 9), pieces=2), lung),
        ("pulmonary_artery", smooth_tube(((-22, 20, 162), (4, -2, 160), (32, -6, 156), (54, -8, 148)), (12, 11.5, 10.5, 8), pieces=2), lung),
        ("aorta", aorta_path(build), artery),
        ("aorta", Tube(((8, 10, 208), (14, 2, 244)), (6.5, 5.5)), artery),
        ("aorta", Tube(((-8, -6, 214), (-14, -2, 250)), (4.5, 4)), artery),
        ("aorta", Tube(((-20, -18, 212), (-28, -12, 250)), (5.5, 5)), artery),
        ("iliac_artery_left", smooth_tube(((-6, 0, -130), (-30, -6, -180), (-58, 8, -235)), (6, 5.5, 5), pieces=2), artery),
        ("iliac_artery_right", smooth_tube(((2, 0, -130), (28, -6, -180), (56, 8, -235)), (6, 5.5, 5), pieces=2), artery),
    ]


def airway_paths() -> list[tuple[str, Tube]]:
    """Trachea, main and lobar bronchi: lumen radii."""
    return [
        ("trachea", smooth_tube(((0, -4, 300), (1, -8, 250), (3, -16, 205), (2, -20, 180)), (8.5, 8.5, 8.5, 8), pieces=2)),
        ("bronchi", Tube(((2, -20, 180), (24, -21, 158), (40, -22, 146)), (7.5, 6.5, 5.5))),
        ("bronchi", Tube(((2, -20, 180), (-26, -26, 152), (-44, -28, 140)), (7, 5.8, 5.2))),
        ("bronchi", Tube(((28, -21, 155), (48, -16, 168), (58, -14, 184)), (4.5, 3.8, 2.6))),
        ("bronchi", Tube(((40, -22, 146), (50, -26, 122), (58, -34, 96)), (5, 4, 2.6))),
        ("bronchi", Tube(((44, -22, 138), (58, 0, 118), (66, 22, 108)), (3.6, 3, 2.2))),
        ("bronchi", Tube(((-40, -27, 143), (-54, -12, 160), (-62, -6, 178)), (4.4, 3.6, 2.5))),
        ("bronchi", Tube(((-44, -28, 140), (-54, -36, 112), (-62, -46, 88)), (4.8, 3.8, 2.5))),
    ]


def _paint_airway(canvas: Canvas, build: Build) -> None:
    wall = tissue_hu(build.phase)["wall"]
    for name, tube in airway_paths():
        canvas.paint(
            tube.grown(1.6),
            CT_IDS["torso_fat" if name == "trachea" else "pulmonary_artery"],
            wall if name == "trachea" else 20.0,
            over=LUNG_IDS | table([CT_IDS["torso_fat"]]),
        )
    for name, tube in airway_paths():
        canvas.paint(tube, CT_IDS[name], _AIR)


def lung_vessel_points(build: Build) -> tuple[np.ndarray, np.ndarray]:
    """Branching vessels of both lungs as points `n 3` (anatomical mm) that each stand for some mm^3 of blood."""
    rng = build.rng("lung vessels")
    tips = np.concatenate([_random_lung_points(rng, side, 150) for side in (-1.0, 1.0)])
    start = np.array([46.0, -14.0, 148.0]) * np.column_stack([np.sign(tips[:, 0]), np.ones(len(tips)), np.ones(len(tips))]) + rng.normal(
        0, 5, tips.shape
    )
    middle = (start + tips) / 2 + rng.normal(0, 7, tips.shape)
    first, last = (start + middle) / 2 + rng.normal(0, 3, tips.shape), (middle + tips) / 2 + rng.normal(0, 4, tips.shape)
    mains = np.stack([start, first, middle, last, tips], axis=1)
    nodes = np.concatenate([middle, last, last])
    ends = nodes + (np.tile(tips, (3, 1)) - nodes) * 0.6 + rng.normal(0, 18, nodes.shape)
    twigs = np.stack([nodes, (nodes + ends) / 2 + rng.normal(0, 3, nodes.shape), ends], axis=1)
    parts = [_sample_tubes(mains, rng.uniform(2.0, 3.6, len(mains)), rng), _sample_tubes(twigs, rng.uniform(1.3, 2.1, len(twigs)), rng)]
    return np.concatenate([p for p, _ in parts]), np.concatenate([v for _, v in parts])


def _sample_tubes(paths: np.ndarray, radius: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points every 1.5 mm along tapering tubes (`tubes nodes 3`), each with the volume of its piece."""
    length = np.linalg.norm(np.diff(paths, axis=1), axis=2).sum(axis=1)
    count = np.maximum(2, (length / 1.5).astype(int))
    tube = np.repeat(np.arange(len(paths)), count)
    t = (np.arange(len(tube)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[tube]
    place = t * (paths.shape[1] - 1)
    node = place.astype(int)
    weight = (place - node)[:, None]
    r = radius[tube] * (1.0 - 0.72 * t)
    points = paths[tube, node] * (1 - weight) + paths[tube, node + 1] * weight
    return points + rng.normal(0, 0.5, points.shape) * r[:, None], np.pi * r**2 * (length / count)[tube]


def _random_lung_points(rng: np.random.Generator, side: float, count: int) -> np.ndarray:
    z = rng.uniform(-20, 262, count)
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0.25, 0.93, count))
    a, b, centre = cavity_outlines(z)
    return np.column_stack([side * np.abs(a * radius * np.cos(angle)) * 0.98, centre + b * radius * np.sin(angle), z])


def paint_lung_vessels(canvas: Canvas, build: Build) -> None:
    """Add vessels to the lungs as partial volumes: each point's blood is shared among its eight neighbour voxels."""
    points, volumes = lung_vessel_points(build)
    world = canvas.warp.inverse(points, steps=2)
    volumes = volumes * float(np.prod(build.scale))
    position = ((world - np.array(canvas.origin_mm)) / np.array(canvas.spacing_mm[::-1]))[:, ::-1]
    low = np.floor(position).astype(np.int64)
    part = position - low
    keep = ((low >= 0) & (low < np.array(canvas.shape) - 1)).all(axis=1)
    low, part, volumes = low[keep], part[keep], volumes[keep] / (canvas.voxel_ml * 1000.0)
    if not len(low):
        return
    start, stop = low.min(axis=0), low.max(axis=0) + 2
    size = stop - start
    fraction = np.zeros(int(size.prod()), np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner), part, 1 - part), axis=1) * volumes
        flat = np.ravel_multi_index(tuple((low + np.array(corner) - start).T), tuple(size))
        fraction += np.bincount(flat, weight, minlength=fraction.size).astype(np.float32)
    region = canvas.at(tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)))  # type: ignore[arg-type]
    fraction = np.minimum(fraction, 1.0).reshape(tuple(size)) * LUNG_IDS[region.labels]
    region.values += fraction * (np.float32(tissue_hu(build.phase)["blood_lung"]) - region.values)
