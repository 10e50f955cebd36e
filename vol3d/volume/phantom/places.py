"""Places in words: which lobe, pole, part or station an anatomical point belongs to."""

import numpy as np

from vol3d.volume.phantom.abdomen import kidney_shape
from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.phantom import Lesion
from vol3d.volume.phantom.physics import tissue_hu

# Stations of lymph nodes, anatomical x y z in mm.
STATIONS = {
    "right paratracheal": (20.0, -4.0, 196.0),
    "subcarinal": (3.0, -28.0, 150.0),
    "prevascular": (-12.0, 36.0, 192.0),
    "aortopulmonary": (-36.0, -10.0, 188.0),
    "right hilar": (40.0, -8.0, 140.0),
    "left hilar": (-42.0, -14.0, 152.0),
    "left para-aortic": (-30.0, 2.0, -62.0),
    "aortocaval": (6.0, 16.0, -66.0),
    "mesenteric": (-4.0, 46.0, -70.0),
}


def place_words(lesion: Lesion, point: np.ndarray | None, build: Build) -> str:
    """Where a lesion lies, as a report says it; `point` is its centre in anatomical mm.

    >>> from vol3d.volume.phantom.build import draw_build
    >>> place_words(Lesion("lung_nodule", host="lung_upper_lobe_left"), None, draw_build(0))
    'left upper lobe'
    """
    host = lesion.host or ""
    if host.startswith("lung_"):
        _, lobe, _, side = host.split("_")
        return f"{side} {lobe} lobe"
    if host.startswith("vertebrae_"):
        return f"{host.removeprefix('vertebrae_')} vertebral body"
    if "lobe" in host:
        lobe, _, side = host.split("_")
        return f"{side} {lobe} lobe"
    if point is None:
        return host
    if host.startswith("kidney"):
        kidney, _ = kidney_shape(build, str(lesion.side))
        height = (point[2] - kidney.centre[2]) / kidney.semi[2]
        pole = "upper pole" if height > 0.33 else "lower pole" if height < -0.33 else "middle third"
        return f"{pole} of the {lesion.side} kidney"
    if host == "liver":
        return f"{'right' if point[0] > 24 else 'left'} lobe of the liver"
    if host == "pancreas":
        part = "head" if point[0] > 16 else "neck" if point[0] > 0 else "body" if point[0] > -52 else "tail"
        return f"{part} of the pancreas"
    return host


def tone_word(lesion: Lesion, build: Build) -> str:
    """Denser or less dense than the organ around it."""
    tissue = {"liver": "liver", "pancreas": "pancreas"}.get(lesion.host or "", "kidney" if (lesion.host or "").startswith("kidney") else "")
    if not tissue or lesion.density_hu is None:
        return ""
    return "hyperdense" if lesion.density_hu > tissue_hu(build.phase)[tissue] else "hypodense"
