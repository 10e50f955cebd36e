"""Kinds of lesions: where each may lie, how large it is, how dense, and how it is named in the label map."""

from dataclasses import dataclass

import numpy as np

from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.physics import tissue_hu


@dataclass(frozen=True)
class Kind:
    """How a kind of lesion is drawn when it is not asked for in detail.

    `regions`: fields of view in which it may be drawn; `diameter_mm`: range of the mean diameter (None: the shape follows the anatomy);
    `sided`: its structure name carries the side; `most`: how many at once.
    """

    regions: tuple[str, ...]
    diameter_mm: tuple[float, float] | None = None
    sided: bool = False
    most: int = 1


_CHEST, _ABDOMEN, _ALL = ("chest", "chest_abdomen"), ("abdomen", "chest_abdomen"), ("chest", "abdomen", "chest_abdomen")

KINDS: dict[str, Kind] = {
    "liver_tumour": Kind(_ABDOMEN, (14.0, 60.0), most=3),
    "liver_cyst": Kind(_ABDOMEN, (10.0, 45.0), most=3),
    "kidney_tumour": Kind(_ABDOMEN, (15.0, 50.0), sided=True),
    "kidney_cyst": Kind(_ABDOMEN, (10.0, 48.0), sided=True, most=2),
    "pancreas_lesion": Kind(_ABDOMEN, (12.0, 34.0)),
    "lung_nodule": Kind(_CHEST, (8.0, 28.0), most=3),
    "lung_ground_glass_nodule": Kind(_CHEST, (9.0, 30.0), most=2),
    "consolidation": Kind(_CHEST, (34.0, 75.0), most=2),
    "atelectasis": Kind(_CHEST, (26.0, 50.0)),
    "emphysema": Kind(_CHEST),
    "pleural_effusion": Kind(_CHEST, sided=True, most=2),
    "pericardial_effusion": Kind(_CHEST),
    "coronary_calcification": Kind(_CHEST),
    "aortic_calcification": Kind(_ALL),
    "hiatal_hernia": Kind(_CHEST, (34.0, 62.0)),
    "lymph_node": Kind(_ALL, (13.0, 28.0), most=2),
    "bone_lesion": Kind(_ALL, (10.0, 21.0)),
}
MR_KINDS: dict[str, Kind] = {"brain_tumour": Kind(("brain",), (16.0, 50.0))}
ELLIPSOIDS = (
    "liver_tumour",
    "liver_cyst",
    "kidney_tumour",
    "kidney_cyst",
    "pancreas_lesion",
    "lung_nodule",
    "lung_ground_glass_nodule",
    "lymph_node",
    "bone_lesion",
)


def structure_name(kind: str, side: str | None) -> str:
    """Name in the label map: sided kinds carry their side.

    >>> structure_name("kidney_cyst", "left"), structure_name("liver_cyst", None)
    ('kidney_cyst_left', 'liver_cyst')
    """
    return f"{kind}_{side}" if KINDS.get(kind, Kind(())).sided and side else kind


def structure_names() -> tuple[str, ...]:
    """All structures that lesions of a CT phantom can have."""
    return tuple(name for kind, facts in KINDS.items() for name in ([f"{kind}_left", f"{kind}_right", kind] if facts.sided else [kind]))


def draw_diameters(kind: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Three axes (x, y, z) around a mean diameter, rounded to 0.5 mm."""
    low, high = (KINDS | MR_KINDS)[kind].diameter_mm or (20.0, 40.0)
    mean = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    factors = {"atelectasis": (1.0, 0.7, 0.22), "hiatal_hernia": (1.1, 0.85, 1.05)}.get(kind)
    if factors is None:
        factors = (1.0, 1.0, 1.0) if "cyst" in kind and rng.random() < 0.5 else tuple(rng.uniform(0.85, 1.15, 3))
    x, y, z = (max(low * 0.2, round(mean * float(f) * 2) / 2) for f in factors)
    return x, y, z


def density_hu(kind: str, build: Build, rng: np.random.Generator) -> float:
    """Mean HU of a lesion in this patient's contrast phase."""
    hu = tissue_hu(build.phase)
    phase = ("native", "portal", "arterial").index(build.phase)
    means = {
        "liver_tumour": (hu["liver"] - 26, hu["liver"] - 48, hu["liver"] + (42 if rng.random() < 0.5 else -30)),
        "liver_cyst": (5, 6, 6),
        "kidney_tumour": (46, 98, 120),
        "kidney_cyst": (5, 7, 7),
        "pancreas_lesion": (22, 52, 62),
        "lung_nodule": (28, 48, 45),
        "lung_ground_glass_nodule": (-580, -570, -570),
        "consolidation": (32, 68, 58),
        "atelectasis": (10, 45, 40),
        "emphysema": (-972, -972, -972),
        "pleural_effusion": (8, 9, 9),
        "pericardial_effusion": (10, 11, 11),
        "coronary_calcification": (640, 680, 700),
        "aortic_calcification": (760, 780, 800),
        "hiatal_hernia": (40, 62, 66),
        "lymph_node": (44, 88, 80),
        "bone_lesion": (45, 70, 65) if rng.random() < 0.5 else (780, 790, 790),
    }[kind]
    spread = 30.0 if kind in ("lung_ground_glass_nodule", "coronary_calcification", "aortic_calcification") else 3.0
    return round(float(means[phase] + rng.normal(0, spread)), 1)
