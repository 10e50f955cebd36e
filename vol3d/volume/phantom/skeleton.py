"""Bones: spine with named vertebrae, ribs with their slant, sternum, shoulder girdle, pelvis."""

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas, table
from vol3d.volume.phantom.physics import tissue_hu
from vol3d.volume.phantom.shapes import Ellipsoid, Tube, smooth_tube
from vol3d.volume.phantom.structures import CT_IDS, VERTEBRAE
from vol3d.volume.phantom.trunk import cavity, cavity_outlines, oval, profile, spine_y

# Lower end of each vertebra with its disc, from L5 up to the top of T1, anatomical z in mm (0 is the disc between T12 and L1).
_LUMBAR = tuple(-36.0 * i for i in range(5, 0, -1))
_THORACIC = tuple(float(v) for v in np.cumsum([0.0, 28, 27.5, 27, 26.5, 26, 25, 24, 23, 22.5, 22, 21, 20])[:-1])
EDGES = np.array([*_LUMBAR, *_THORACIC, _THORACIC[-1] + 20.0])
NAMES_UPWARD = tuple(reversed(VERTEBRAE))
CENTRES = {name: float((EDGES[i] + EDGES[i + 1]) / 2 + 2) for i, name in enumerate(NAMES_UPWARD)}


def paint_spine(canvas: Canvas, build: Build) -> None:
    """Vertebral bodies, arches, processes, discs and the cord, in one pass over the column's box."""
    region = canvas.region((-45, -125, EDGES[0]), (45, 10, EDGES[-1]))
    if region is None:
        return
    hu = tissue_hu(build.phase)
    index = np.clip(np.searchsorted(EDGES, region.z.ravel(), side="right").reshape(region.z.shape) - 1, 0, len(NAMES_UPWARD) - 1)
    inside_z = (region.z >= EDGES[0]) & (region.z < EDGES[-1])
    lower, height = EDGES[:-1].astype(np.float32)[index], np.diff(EDGES).astype(np.float32)[index]
    part = (region.z - lower) / height
    y = region.y - spine_y(region.level)
    wide = profile(region.level, (27.0, 24.0, 20.0, 15.0, 12.5), (-180, -90, 0, 150, 285))
    deep = profile(region.level, (18.5, 18.0, 16.5, 14.0, 9.0), (-180, -90, 0, 150, 285))
    waist = 1.0 - 0.10 * (1.0 - np.square(part * 2.0 - 1.0))
    body = oval(region.x, y, wide * waist, deep * waist)
    column = inside_z & (body <= 1.0)
    disc = column & (part < 0.2)
    canal = np.square(region.x * (1 / 11.0)) + np.square((y + deep + 8.5) * (1 / 9.0))
    arch = inside_z & (np.square(region.x * (1 / 19.0)) + np.square((y + deep + 9.0) * (1 / 14.5)) <= 1.0) & (part > 0.25)
    spinous = inside_z & (np.abs(region.x) < 3.6) & (y < -deep - 14.0) & (y > -deep - 48.0) & (np.abs(part - 0.42) < 0.3)
    transverse = inside_z & (np.abs(region.x) < wide + 17.0) & (np.abs(y + deep + 9.0) < 5.0) & (np.abs(part - 0.55) < 0.2)
    bone = (column & ~disc) | arch | spinous | transverse
    cord = inside_z & (canal <= 1.0)
    age_loss = float(np.clip((build.age - 45) * 2.2, -20, 85))
    ids = np.array([CT_IDS[f"{name}_bone"] for name in NAMES_UPWARD], np.uint8)
    value = np.full(region.z.shape, hu["trabecular"] - age_loss, np.float32)
    value[(body > 0.82) & (body <= 1.0)] = 380.0
    value[(part < 0.27) | (part > 0.95)] += 170.0
    value[~column] = 330.0
    region.labels[bone], region.values[bone] = ids[index[bone]], value[bone]
    region.labels[disc], region.values[disc] = CT_IDS["intervertebral_discs"], hu["disc"]
    region.labels[cord], region.values[cord] = CT_IDS["spinal_cord"], 8.0
    core = cord & (canal <= 0.42)
    region.values[core] = hu["cord"]


def paint_ribs(canvas: Canvas, build: Build) -> None:
    """Twenty-four ribs in the wall of the cavity, their cartilages, and the sternum."""
    region = canvas.region((-152, -125, -85), (152, 125, 292))
    if region is None:
        return
    hu = tissue_hu(build.phase)
    wall = (cavity(region, -9.0) <= 1.0) & (cavity(region, -1.0) > 1.0) & (np.abs(region.x) > 9.0)
    where = np.nonzero(wall)
    x, y, z = region.x[where], region.y[where], region.z[where]
    angle, rib, distance = _rib_course(x, y, z, region.level[where[0]])
    reach = np.array([0, 0.80, 0.80, 0.78, 0.76, 0.74, 0.72, 0.70, 0.62, 0.58, 0.54, 0.42, 0.30], np.float32)[rib] * np.float32(np.pi)
    bone = (distance < 6.2) & (angle < reach) & (angle > 0.2)
    soft = (distance < 6.5) & (angle >= reach) & (angle < 0.95 * np.pi) & (rib <= 9)
    ids = np.where(x < 0, CT_IDS["rib_left_1_bone"], CT_IDS["rib_right_1_bone"]) + rib - 1
    depth = cavity(region, -5.0)[where]
    inner = (distance < 3.6) & (np.abs(depth - 1.0) < 0.045)
    labels, values = region.labels[where], region.values[where]
    labels[bone], values[bone] = ids[bone].astype(np.uint8), np.where(inner, 210.0, 640.0)[bone]
    labels[soft], values[soft] = CT_IDS["costal_cartilages"], hu["cartilage"]
    region.labels[where], region.values[where] = labels, values


def _rib_course(x: np.ndarray, y: np.ndarray, z: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angle from the back (0) to the front (pi), the rib (1..12) whose course is nearest, and the distance in z from its axis."""
    yc = cavity_outlines(level)[2].astype(np.float32)
    angle = np.arctan2(np.abs(x), yc - y)
    course = z + 42.0 * (1.0 - np.cos(angle)) - 6.0
    axes = np.array([CENTRES[f"vertebrae_T{i}"] for i in range(12, 0, -1)], np.float32)
    nearest = np.searchsorted((axes[1:] + axes[:-1]) / 2, course)
    return angle, 12 - nearest, np.abs(course - axes[nearest])


def paint_sternum(canvas: Canvas, build: Build) -> None:
    """Manubrium, body and xiphoid, in front of the cavity."""
    region = canvas.region((-34, 10, 55), (34, 125, 252))
    if region is None:
        return
    _, b, centre = cavity_outlines(region.level)
    front = (b + centre + 4.0).astype(np.float32)[:, None, None]
    half = profile(region.level, (5.0, 14.0, 19.0, 17.0, 15.0, 30.0, 32.0, 20.0), (58, 80, 100, 150, 190, 215, 235, 248))
    y = region.y - front
    outline = np.square(np.square(region.x / half)) + np.square(y * (1 / 6.0))
    bone = (outline <= 1.0) & (region.z > 60.0) & (region.z < 246.0)
    region.labels[bone] = CT_IDS["sternum"]
    region.values[bone] = np.where(outline > 0.4, 420.0, 150.0)[bone]


def paint_girdles(canvas: Canvas, build: Build) -> None:
    """Clavicles, scapulae and humeral heads above; sacrum, hip bones and femoral heads below."""
    cortical, spongy = 560.0, 230.0
    for side, name in ((-1.0, "left"), (1.0, "right")):
        clavicle = smooth_tube(((side * 26, 26, 243), (side * 70, 38, 256), (side * 120, 10, 268), (side * 150, -14, 272)), (7, 6, 6, 6), pieces=2)
        _bone_tube(canvas, clavicle, f"clavicula_{name}", cortical, spongy)
        _paint_scapula(canvas, side, name)
        for label, centre, radius in ((f"humerus_{name}", (side * 163, -22.0, 256.0), 22.0), (f"femur_{name}", (side * 88, -2.0, -262.0), 24.0)):
            ball = Ellipsoid(centre, (radius, radius, radius))
            canvas.paint(ball, CT_IDS[label], cortical)
            canvas.paint(ball.grown(-3.0), CT_IDS[label], spongy)
        _paint_hip(canvas, side, name)
    for middle, semi in (
        ((0.0, -50.0, -200.0), (46.0, 20.0, 22.0)),
        ((0.0, -64.0, -226.0), (34.0, 14.0, 24.0)),
        ((0.0, -80.0, -258.0), (17.0, 9.0, 20.0)),
    ):
        block = Ellipsoid(middle, semi, (-30.0, 0.0, 0.0))
        canvas.paint(block, CT_IDS["sacrum"], 330.0)
        canvas.paint(block.grown(-4.0), CT_IDS["sacrum"], 170.0)


def _bone_tube(canvas: Canvas, tube: Tube, name: str, cortical: float, spongy: float) -> None:
    canvas.paint(tube, CT_IDS[name], cortical)
    canvas.paint(tube.grown(-2.5), CT_IDS[name], spongy)


def _paint_scapula(canvas: Canvas, side: float, name: str) -> None:
    region = canvas.region((min(side * 60, side * 150), -115, 125), (max(side * 60, side * 150), 0, 262))
    if region is None:
        return
    level = cavity(region, -17.0)
    plate = (level > 1.0) & (cavity(region, -21.5) <= 1.0) & (region.z > 130.0) & (region.z < 255.0)
    plate &= (region.x * side > 66.0 + (255.0 - region.z) * 0.12) & (region.y < -16.0) & (region.x * side < 84.0 + (region.z - 130.0) * 0.75)
    region.labels[plate], region.values[plate] = CT_IDS[f"scapula_{name}"], 450.0
    spine = Tube(((side * 84, -98, 215), (side * 120, -78, 238), (side * 152, -40, 262)), (4.0, 5.0, 7.0))
    canvas.paint(spine, CT_IDS[f"scapula_{name}"], 400.0, over=table([CT_IDS["skeletal_muscle"], CT_IDS["subcutaneous_fat"]]))


def _paint_hip(canvas: Canvas, side: float, name: str) -> None:
    region = canvas.region((min(side * 20, side * 160), -110, -300), (max(side * 20, side * 160), 80, -128))
    if region is None:
        return
    centre = (side * 40.0, 22.0, -175.0)
    outer, inner = Ellipsoid(centre, (98.0, 92.0, 110.0)), Ellipsoid(centre, (88.0, 82.0, 104.0))
    wing = (outer.radius(region.x, region.y, region.z) <= 1.0) & (inner.radius(region.x, region.y, region.z) > 1.0)
    wing &= (region.z < -134.0 - 0.0022 * np.square(region.y + 10.0)) & (region.z > -262.0) & (region.x * side > 46.0) & (region.y < 60.0)
    wing &= region.y < 40.0 + (region.z + 250.0) * 0.3
    region.labels[wing], region.values[wing] = CT_IDS[f"hip_{name}"], 480.0
    socket = Ellipsoid((side * 90.0, -2.0, -258.0), (34.0, 34.0, 32.0))
    ring = socket.inside(region.x, region.y, region.z) & (region.x * side < 84.0)
    region.labels[ring], region.values[ring] = CT_IDS[f"hip_{name}"], 420.0
    pubis = Tube(((side * 66.0, 18.0, -262.0), (side * 10.0, 58.0, -286.0)), (11.0, 10.0))
    canvas.paint(pubis, CT_IDS[f"hip_{name}"], 350.0)
