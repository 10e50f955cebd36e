"""The trunk's nested surfaces: skin, fat, muscle, the inner cavity, the diaphragm; profiles along anatomical z in mm."""

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas, Region
from vol3d.volume.phantom.physics import tissue_hu
from vol3d.volume.phantom.shapes import Number
from vol3d.volume.phantom.structures import CT_IDS

_LEVELS = (-300, -220, -150, -80, -20, 40, 100, 160, 210, 245, 268, 284, 300)
_MUSCLE_A = (152, 158, 146, 142, 147, 156, 160, 168, 178, 182, 172, 140, 75)
_MUSCLE_B = (96, 98, 94, 95, 102, 108, 111, 108, 97, 84, 74, 64, 56)
_MUSCLE_Y = (-8, -8, -6, -5, -5, -6, -8, -10, -14, -18, -20, -22, -22)
_CAVITY_A = (95, 108, 120, 124, 129, 136, 136, 126, 106, 82, 56, 28, 5)
_CAVITY_B = (66, 72, 74, 74, 84, 93, 94, 86, 69, 49, 34, 16, 3)
_CAVITY_Y = (8, 10, 12, 14, 6, 1, -2, -6, -10, -14, -20, -24, -24)
_SPINE_Z = (-300, -235, -200, -165, -90, -15, 80, 150, 210, 285, 310)
_SPINE_Y = (-70, -62, -45, -32, -22, -28, -43, -53, -50, -32, -25)
_SQUARENESS = 0.35


def profile(levels: np.ndarray, values: tuple[Number, ...], at: tuple[Number, ...] = _LEVELS) -> np.ndarray:
    """Values at the given levels, shaped `z 1 1`."""
    return np.interp(levels, at, values).astype(np.float32)[:, None, None]


def spine_y(levels: np.ndarray) -> np.ndarray:
    """Anatomical y of the vertebral bodies' centres, `z 1 1`."""
    return profile(levels, _SPINE_Y, _SPINE_Z)


def oval(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Level of a rounded rectangle with semi-axes a, b: 1 on its outline, below 1 inside."""
    u = x / a
    u *= u
    v = y / b
    v *= v
    out = np.minimum(u, 1.0) * np.minimum(v, 1.0)  # clamped: the product would pull far corners back inside
    out *= -_SQUARENESS
    out += u
    out += v
    return out


def cavity(region: Region, shrink_mm: float = 0.0) -> np.ndarray:
    """Level of the inner cavity of chest and abdomen: below 1 inside."""
    a = np.maximum(profile(region.level, _CAVITY_A) - shrink_mm, 1.0)
    b = np.maximum(profile(region.level, _CAVITY_B) - shrink_mm, 1.0)
    return oval(region.x, region.y - profile(region.level, _CAVITY_Y), a, b)


def cavity_outlines(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Semi-axes across and front to back, and the centre's y, of the cavity at each level."""
    return np.interp(z, _LEVELS, _CAVITY_A), np.interp(z, _LEVELS, _CAVITY_B), np.interp(z, _LEVELS, _CAVITY_Y)


def diaphragm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Anatomical z of the diaphragm at (x, y): two domes, the right one higher."""
    back = np.square((y - 14.0) * (1 / 82.0)) * 58.0
    right = 88.0 - np.square((x - 66.0) * (1 / 66.0)) * 38.0 - back
    left = 76.0 - np.square((x + 66.0) * (1 / 66.0)) * 36.0 - back
    return np.maximum(np.maximum(right, left), -38.0)


def paint_trunk(canvas: Canvas, build: Build, texture: np.ndarray) -> None:
    """Skin, subcutaneous fat, muscle with fat planes, and the cavity filled with fat."""
    region = canvas.whole()
    level = region.level
    muscle_a, muscle_b = profile(level, _MUSCLE_A), profile(level, _MUSCLE_B)
    centre_y = profile(level, _MUSCLE_Y)
    belly = profile(level, (1.2, 1.2, 1.3, 1.25, 1.1, 0.9, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6)) * build.fat_mm
    y = region.y - centre_y
    body = oval(region.x, y, muscle_a + belly, muscle_b + belly * 0.8)
    inside = body <= 1.0
    hu = tissue_hu(build.phase)
    canvas.labels[inside] = CT_IDS["subcutaneous_fat"]
    canvas.values[inside] = hu["fat"]
    skin = inside & (body > (1.0 - 2.2 / (muscle_a + belly)) ** 2)
    canvas.labels[skin] = CT_IDS["skin"]
    canvas.values[skin] = 10.0
    muscle_level = oval(region.x, y, muscle_a, muscle_b)
    muscle = muscle_level <= 1.0
    canvas.labels[muscle] = CT_IDS["skeletal_muscle"]
    canvas.values[muscle] = hu["muscle"]
    depth = (1.0 - muscle_level) * (0.42 * muscle_a) + texture * 2.2
    planes = muscle & ((np.abs(depth - 11.0) < 1.0) | (np.abs(depth - 25.0) < 1.2) | (np.abs(depth - 40.0) < 1.4))
    canvas.values[planes] = -45.0
    hollow = cavity(region) <= 1.0
    canvas.labels[hollow] = CT_IDS["torso_fat"]
    canvas.values[hollow] = hu["fat"]
    if build.sex == "female":
        _paint_breasts(canvas, build)


def _paint_breasts(canvas: Canvas, build: Build) -> None:
    size = 0.62 + 0.016 * build.fat_mm
    for side in (-1.0, 1.0):
        region = canvas.region((side * 82 - 80, 60, 70), (side * 82 + 80, 165, 215))
        if region is None:
            continue
        dx, dy, dz = region.x - side * 82.0, region.y - 88.0, region.z - 132.0
        r2 = np.square(dx / (70.0 * size)) + np.square(dy / (50.0 * size)) + np.square(dz / (62.0 * size))
        outside = (region.labels == 0) & (r2 <= 1.0)
        region.labels[outside] = CT_IDS["subcutaneous_fat"]
        region.values[outside] = -98.0
        gland = (r2 <= 0.4) & (region.labels == CT_IDS["subcutaneous_fat"])
        region.values[gland] = -20.0
