"""Chest, abdomen and pelvis, painted in order: later structures lie over earlier ones."""

import numpy as np

from vol3d.volume.phantom.abdomen import paint_organs, paint_wall
from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.canvas import Canvas
from vol3d.volume.phantom.physics import lattice_texture
from vol3d.volume.phantom.skeleton import paint_girdles, paint_ribs, paint_spine, paint_sternum
from vol3d.volume.phantom.thorax import paint_lung_vessels, paint_lungs, paint_mediastinum
from vol3d.volume.phantom.trunk import paint_trunk


def paint_body(canvas: Canvas, build: Build) -> np.ndarray:
    """Paint a healthy body; returns the coarse texture (about unit variance) that it was given."""
    texture = lattice_texture(canvas.axes, build.rng("texture"), pitch_mm=11.0)
    paint_trunk(canvas, build, texture)
    paint_wall(canvas, build)
    paint_lungs(canvas, build, texture)
    paint_mediastinum(canvas, build)
    paint_lung_vessels(canvas, build)
    paint_organs(canvas, build)
    paint_spine(canvas, build)
    paint_ribs(canvas, build)
    paint_sternum(canvas, build)
    paint_girdles(canvas, build)
    return texture
