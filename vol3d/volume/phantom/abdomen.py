"""The abdomen: liver, biliary system, spleen, kidneys, pancreas, stomach, bowel, pelvis."""

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas, Region, table
from vol3d.volume.phantom.physics import tissue_hu
from vol3d.volume.phantom.shapes import Ellipsoid, Point, Tube, smooth_tube
from vol3d.volume.phantom.structures import CT_IDS
from vol3d.volume.phantom.trunk import cavity, diaphragm, profile, spine_y

_FAT = table([CT_IDS["torso_fat"]])


def paint_wall(canvas: Canvas, build: Build) -> None:
    """Diaphragm, the back's and the psoas muscles, and the fat in front of the spine's muscles."""
    hu = tissue_hu(build.phase)
    region = canvas.region((-150, -120, -60), (150, 120, 100))
    if region is not None:
        under = diaphragm(region.x, region.y) - region.z
        sheet = (under >= 0.0) & (under < 3.5) & _FAT[region.labels]
        region.labels[sheet], region.values[sheet] = CT_IDS["skeletal_muscle"], hu["muscle"]
    region = canvas.region((-60, -130, -235), (60, 30, 300))
    if region is not None:
        spine = spine_y(region.level)
        thick = profile(region.level, (0.0, 22.0, 19.0, 13.0, 7.0, 0.0), (-240, -190, -120, -50, -5, 0))
        psoas = (
            np.square((np.abs(region.x) - 30.0 - thick * 0.45) / np.maximum(thick, 0.1))
            + np.square((region.y - spine + 4.0) / np.maximum(thick, 0.1))
            <= 1.0
        )
        paraspinal = np.square(region.x * (1 / 25.0)) + np.square((region.y - spine + 22.0) * (1 / 42.0)) <= 1.0
        muscle = (psoas | paraspinal) & _FAT[region.labels]
        region.labels[muscle], region.values[muscle] = CT_IDS["skeletal_muscle"], hu["muscle"]


def paint_organs(canvas: Canvas, build: Build) -> None:
    """All organs below the diaphragm, back to front."""
    hu = tissue_hu(build.phase)
    _paint_kidneys(canvas, build, hu)
    _paint_liver(canvas, build, hu)
    _paint_spleen(canvas, build, hu)
    _paint_bowel(canvas, build, hu)
    _paint_pancreas(canvas, build, hu)
    _paint_stomach(canvas, build, hu)
    _paint_pelvis(canvas, build, hu)


def liver_mask(region: Region, build: Build) -> np.ndarray:
    """Points of the liver, before vessels: two ellipsoids under the diaphragm, cut by the visceral surface."""
    offset, size = build.jitter("liver", 5.0, 0.10)
    s = float(size[0])
    right = Ellipsoid((72.0, 4.0, 22.0 + float(offset[2])), (78.0 * s, 92.0, 92.0 * float(size[2])), (0.0, -14.0, 0.0))
    left = Ellipsoid((2.0 + float(offset[0]), 46.0, 48.0), (84.0 * float(size[1]), 36.0, 32.0), (0.0, -14.0, 0.0))
    inside = right.inside(region.x, region.y, region.z) & (region.x + 0.55 * region.y > -6.0)
    # The visceral surface rises towards the left and the front, and leaves room for the kidney behind.
    inside &= region.z > -62.0 + 0.9 * np.maximum(60.0 - region.x, 0.0) + 0.25 * np.maximum(region.y - 40.0, 0.0)
    kidney_bed = Ellipsoid((62.0, -64.0, -44.0), (44.0, 64.0, 66.0))
    inside &= ~kidney_bed.inside(region.x, region.y, region.z)
    inside |= left.inside(region.x, region.y, region.z)
    inside &= (cavity(region, 3.0) <= 1.0) & (region.z < diaphragm(region.x, region.y) - 3.0)
    return inside


def gallbladder_shape(build: Build) -> Ellipsoid:
    """The gallbladder's lumen, under the liver."""
    offset, size = build.jitter("gallbladder", 4.0, 0.25)
    centre, semi = np.array([46.0, 52.0, -22.0]) + offset, np.array([15.0, 25.0, 15.0]) * size
    return Ellipsoid(tuple(centre.tolist()), tuple(semi.tolist()), (30.0, 0.0, 12.0))  # type: ignore[arg-type]


def _paint_liver(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    region = canvas.region((-110, -110, -90), (145, 115, 95))
    if region is None:
        return
    inside = liver_mask(region, build)
    inside &= _FAT[region.labels] | (region.labels == CT_IDS["skeletal_muscle"]) & (region.z > 20.0) & (region.y > 0)
    fatty = float(build.rng("liver fat").choice([0.0, 0.0, 0.0, -14.0, -34.0]))
    region.labels[inside], region.values[inside] = CT_IDS["liver_parenchyma"], hu["liver"] + fatty
    liver = table([CT_IDS["liver_parenchyma"]])
    for end in ((78.0, -20.0, 62.0), (50.0, 30.0, 66.0), (-20.0, 40.0, 60.0)):
        canvas.paint(Tube(((24.0, -4.0, 68.0), end), (5.0, 2.0)), CT_IDS["liver_parenchyma"], hu["blood_vein"], over=liver)
    portal = (
        ((8, 22, -14), (28, 22, 8), (52, 12, 24), (86, 4, 34)),
        ((44, 16, 20), (62, 36, 20), (84, 48, 14)),
        ((30, 22, 10), (8, 42, 36), (-24, 48, 46)),
    )
    for path in portal:
        canvas.paint(
            smooth_tube(path, (7.0, 6.5, 4.5, 3.0)[: len(path)], pieces=2),
            CT_IDS["portal_vein_and_splenic_vein"],
            hu["blood_portal"],
            over=liver | _FAT,
        )
    bladder = gallbladder_shape(build)
    over = liver | _FAT
    canvas.paint(bladder.grown(1.8), CT_IDS["gallbladder"], hu["wall"], over=over)
    canvas.paint(bladder, CT_IDS["gallbladder"], hu["bile"], over=table([CT_IDS["gallbladder"]]))


def _paint_spleen(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    region = canvas.region((-145, -95, -60), (-40, 60, 90))
    if region is None:
        return
    offset, size = build.jitter("spleen", 5.0, 0.12)
    x, y, z = (np.array([-98.0, -24.0, 26.0]) + offset).tolist()
    outer = Ellipsoid((x, y, z), tuple((np.array([34.0, 56.0, 52.0]) * size).tolist()), (25.0, 0.0, -22.0))  # type: ignore[arg-type]
    hollow = Ellipsoid((x + 36.0, y + 20.0, z), (30.0, 44.0, 58.0), (25.0, 0.0, -22.0))
    inside = outer.inside(region.x, region.y, region.z) & ~hollow.inside(region.x, region.y, region.z)
    inside &= (cavity(region, 3.0) <= 1.0) & (region.z < diaphragm(region.x, region.y) - 3.0) & _FAT[region.labels]
    region.labels[inside], region.values[inside] = CT_IDS["spleen"], hu["spleen"]


def kidney_shape(build: Build, side: str) -> tuple[Ellipsoid, Ellipsoid]:
    """One kidney and its sinus."""
    sign = -1.0 if side == "left" else 1.0
    offset, size = build.jitter(f"kidney_{side}", 5.0, 0.10)
    centre = np.array([sign * 60.0, -32.0, -14.0 if side == "left" else -32.0]) + offset
    kidney = Ellipsoid(tuple(centre.tolist()), tuple((np.array([27.0, 28.0, 55.0]) * size).tolist()), (-10.0, -sign * 10.0, sign * 25.0))  # type: ignore[arg-type]
    sinus = Ellipsoid(tuple((centre + np.array([-sign * 15.0, 5.0, 0.0])).tolist()), (15.0, 10.0, 24.0), kidney.turn)  # type: ignore[arg-type]
    return kidney, sinus


def _paint_kidneys(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    for side in ("left", "right"):
        kidney, sinus = kidney_shape(build, side)
        label = CT_IDS[f"kidney_{side}_parenchyma"]
        over = _FAT | table([CT_IDS["skeletal_muscle"]])
        canvas.paint(kidney, label, hu["kidney"], over=over)
        medulla = Ellipsoid(kidney.centre, tuple(v - 7.5 for v in kidney.semi), kidney.turn)  # type: ignore[arg-type]
        canvas.paint(medulla, label, hu["kidney_medulla"], over=table([label]))
        canvas.paint(sinus, CT_IDS["torso_fat"], -70.0, over=table([label]))
        pelvis = Ellipsoid(sinus.centre, (7.0, 6.0, 11.0), kidney.turn)
        canvas.paint(pelvis, CT_IDS["torso_fat"], hu["urine"] + 12.0, over=table([CT_IDS["torso_fat"]]))
        sign = -1.0 if side == "left" else 1.0
        gland = smooth_tube(((sign * 30, -14, 42), (sign * 38, -20, 36), (sign * 44, -30, 24)), (3.2, 4.2, 2.4), pieces=1)
        canvas.paint(gland, CT_IDS[f"adrenal_gland_{side}"], hu["gland"], over=_FAT)


def pancreas_shape(build: Build) -> Tube:
    """Head (in the curve of the duodenum), neck, body and tail (towards the spleen)."""
    _, size = build.jitter("pancreas", 3.0, 0.12)
    points: tuple[Point, ...] = ((30, 26, -48), (26, 28, -30), (4, 34, -14), (-30, 30, -2), (-62, 6, 10), (-78, -4, 16))
    return smooth_tube(points, tuple(float(v * size[0]) for v in (11, 14.5, 11, 11, 11.5, 7)), pieces=3)


def _paint_pancreas(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    over = _FAT | table([CT_IDS["small_bowel"], CT_IDS["duodenum"]])
    splenic = smooth_tube(((8, 22, -14), (-20, 20, -2), (-56, -2, 12), (-84, -16, 20)), (5.5, 4.5, 4.0, 3.5), pieces=2)
    canvas.paint(pancreas_shape(build), CT_IDS["pancreas_parenchyma"], hu["pancreas"], over=over)
    canvas.paint(splenic, CT_IDS["portal_vein_and_splenic_vein"], hu["blood_portal"], over=over)


def _paint_stomach(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    rng = build.rng("stomach")
    full = float(rng.uniform(0.75, 1.1))
    points: tuple[Point, ...] = ((-52, -8, 52), (-62, 14, 30), (-56, 40, 4), (-26, 58, -18), (8, 52, -26), (24, 42, -24))
    outer = smooth_tube(points, tuple(r * full for r in (30.0, 30.0, 26.0, 21.0, 16.0, 9.0)), pieces=3)
    over = _FAT | table([CT_IDS["small_bowel"], CT_IDS["colon"]])
    under = _below_diaphragm(canvas)
    canvas.paint(outer, CT_IDS["stomach"], hu["wall"], over=over)
    surface = float(rng.uniform(15.0, 48.0))
    fluid = float(rng.choice([8.0, 18.0, 45.0]))
    _fill(canvas, outer.grown(-4.0), CT_IDS["stomach"], fluid, gas_above_y=surface)
    _restore(canvas, under, CT_IDS["stomach"])


def _below_diaphragm(canvas: Canvas) -> tuple[np.ndarray, ...] | None:
    region = canvas.region((-110, -60, 20), (20, 90, 90))
    if region is None:
        return None
    above = region.z > diaphragm(region.x, region.y) - 4.0
    where = np.nonzero(above)
    return region.labels, region.values, region.labels[where], region.values[where], *where


def _restore(canvas: Canvas, saved: tuple[np.ndarray, ...] | None, label: int) -> None:
    """Undo what was painted above the diaphragm."""
    if saved is None:
        return
    labels, values, old_labels, old_values, *where = saved
    index = tuple(where)
    changed = labels[index] == label
    labels[index] = np.where(changed, old_labels, labels[index])
    values[index] = np.where(changed, old_values, values[index])


def _fill(canvas: Canvas, tube: Tube, label: int, value: float, *, gas_above_y: float) -> None:
    only = table([label])
    for part in tube.parts():
        region = canvas.region(*part.bounds())
        if region is None:
            continue
        mask = part.inside(region.x, region.y, region.z) & only[region.labels]
        region.values[mask] = np.where(region.y > gas_above_y, np.float32(-960.0), np.float32(value))[mask]


def _paint_bowel(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    rng = build.rng("bowel")
    duodenum = smooth_tube(
        ((24, 42, -24), (42, 30, -34), (44, 20, -66), (20, 14, -82), (-22, 18, -70), (-32, 30, -60)), (10, 11, 11, 10, 9, 9), pieces=2
    )
    canvas.paint(duodenum, CT_IDS["duodenum"], hu["wall"], over=_FAT)
    _fill(canvas, duodenum.grown(-3.0), CT_IDS["duodenum"], 20.0, gas_above_y=60.0)
    frame: tuple[Point, ...] = (
        (82, 8, -205), (94, 4, -160), (98, 2, -110), (92, 18, -72), (60, 66, -84), (0, 76, -98), (-60, 64, -60), (-96, 6, -6),
        (-104, -6, -60), (-104, -4, -120), (-92, 6, -175), (-56, 22, -215), (-16, 8, -222), (0, -28, -235), (0, -40, -280),
    )  # fmt: skip
    jitter = rng.normal(0, 4, (len(frame), 3))
    points = tuple(tuple((np.array(p) + j).tolist()) for p, j in zip(frame, jitter, strict=True))
    radii = tuple(float(v) for v in rng.uniform(0.85, 1.1, len(frame)) * np.array([26, 25, 23, 20, 19, 18, 18, 18, 16, 16, 16, 15, 15, 15, 16]))
    colon = smooth_tube(points, radii, pieces=3)  # type: ignore[arg-type]
    _paint_loops(canvas, rng, hu)
    canvas.paint(colon, CT_IDS["colon"], hu["wall"], over=_FAT | table([CT_IDS["small_bowel"], CT_IDS["liver_parenchyma"]]))
    for part in colon.grown(-2.5).parts():
        fill, gas = (float(rng.uniform(-60, 50)), 1e9) if rng.random() < 0.55 else (15.0, float(part.start[1]) + float(rng.uniform(-12, 6)))
        _fill(canvas, Tube((part.start, part.stop), (part.radius_start, part.radius_stop)), CT_IDS["colon"], fill, gas_above_y=gas)


def _paint_loops(canvas: Canvas, rng: np.random.Generator, hu: dict[str, float]) -> None:
    """Small bowel: a path that wanders through the middle of the lower abdomen."""
    goals = np.column_stack([rng.uniform(-74, 74, 46), rng.uniform(8, 68, 46), np.linspace(-72, -220, 46) + rng.normal(0, 14, 46)])
    loops = smooth_tube(tuple(map(tuple, goals.tolist())), tuple(rng.uniform(9.5, 13.5, 46).tolist()), pieces=2)  # type: ignore[arg-type]
    canvas.paint(loops, CT_IDS["small_bowel"], hu["wall"], over=_FAT)
    for part in loops.grown(-2.6).parts():
        gas = float(part.start[1]) + 3.0 if rng.random() < 0.12 else 1e9
        _fill(
            canvas,
            Tube((part.start, part.stop), (part.radius_start, part.radius_stop)),
            CT_IDS["small_bowel"],
            float(rng.uniform(8, 34)),
            gas_above_y=gas,
        )


def _paint_pelvis(canvas: Canvas, build: Build, hu: dict[str, float]) -> None:
    rng = build.rng("bladder")
    s = float(rng.uniform(0.6, 1.1))
    bladder = Ellipsoid((0.0, 26.0, -262.0 + 18.0 * (s - 0.8)), (42.0 * s, 34.0 * s, 36.0 * s))
    over = _FAT | table([CT_IDS["small_bowel"], CT_IDS["colon"]])
    canvas.paint(bladder.grown(3.0), CT_IDS["urinary_bladder"], hu["wall"], over=over)
    canvas.paint(bladder, CT_IDS["urinary_bladder"], hu["urine"], over=table([CT_IDS["urinary_bladder"]]))
    if build.sex == "male":
        canvas.paint(Ellipsoid((0.0, 10.0, -298.0), (22.0, 17.0, 17.0)), CT_IDS["prostate"], hu["gland"], over=over)
