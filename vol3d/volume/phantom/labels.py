"""The label map of a phantom (unions, statuses), and the 18 abnormalities of CT-RATE as 0 or 1."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vol3d.contracts import LabelMap, Status
from vol3d.volume.phantom.build import Build
from vol3d.volume.phantom.lesions import KINDS, structure_names
from vol3d.volume.phantom.phantom import Lesion
from vol3d.volume.phantom.structures import CT_IDS, CT_UNIONS, LOBES

ABNORMALITIES = (
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
)
_LABELS_OF: dict[str, tuple[str, ...]] = {
    "aortic_calcification": ("Arterial wall calcification",),
    "coronary_calcification": ("Coronary artery wall calcification",),
    "pericardial_effusion": ("Pericardial effusion",),
    "hiatal_hernia": ("Hiatal hernia",),
    "lymph_node": ("Lymphadenopathy",),
    "emphysema": ("Emphysema",),
    "atelectasis": ("Atelectasis",),
    "lung_nodule": ("Lung nodule",),
    "lung_ground_glass_nodule": ("Lung nodule", "Lung opacity"),
    "consolidation": ("Consolidation", "Lung opacity"),
    "pleural_effusion": ("Pleural effusion",),
}
# Where a lesion that was not found must have been looked for; any of these visible makes it absent rather than not covered.
_LOOKED_IN = {
    "liver_tumour": "liver",
    "liver_cyst": "liver",
    "kidney_tumour": "kidneys",
    "kidney_cyst": "kidneys",
    "pancreas_lesion": "pancreas",
    "coronary_calcification": "heart",
    "pericardial_effusion": "heart",
    "aortic_calcification": "aorta",
    "hiatal_hernia": "esophagus",
    "bone_lesion": "bone",
    "lymph_node": "body",
}
CARDIOMEGALY_SCALE = 1.15


def with_volumes(lesions: tuple[Lesion, ...], counts: np.ndarray, voxel_ml: float) -> tuple[Lesion, ...]:
    """Lesions with the volume that their masks have on this grid."""
    return tuple(replace(lesion, visible_ml=round(float(counts[lesion.label_id]) * voxel_ml, 4)) for lesion in lesions)


def ct_unions(lesions: tuple[Lesion, ...]) -> dict[str, tuple[int, ...]]:
    """Anatomical unions plus the ids of the lesions that each organ carries."""
    unions = dict(CT_UNIONS)
    for lesion in lesions:
        soft = ("soft_tissue",) if -150 < (lesion.density_hu or 0.0) < 250 else ()
        for name in ("body", *soft, *_owners(lesion)):
            base = unions.get(name) or ((CT_IDS[name],) if name in CT_IDS else ())
            unions[name] = (*base, lesion.label_id)
    for kind, facts in KINDS.items():
        ids = tuple(lesion.label_id for lesion in lesions if lesion.kind == kind)
        if facts.sided and ids:
            unions[kind] = ids
    calcium = tuple(lesion.label_id for lesion in lesions if lesion.kind.endswith("calcification"))
    return unions | ({"calcification": calcium} if calcium else {})


def _owners(lesion: Lesion) -> tuple[str, ...]:
    host = lesion.host or ""
    if host in LOBES:
        return host, f"lung_{lesion.side}", "lungs"
    if host.startswith("kidney"):
        return host, "kidneys"
    if host.startswith("vertebrae"):
        return host, "spine", "bone"
    return (host,) if host in ("liver", "pancreas", "heart", "aorta") else ()


def ct_label_map(array: np.ndarray, affine: np.ndarray, counts: np.ndarray, lesions: tuple[Lesion, ...], build: Build, source: str) -> LabelMap:
    """The phantom's label map: ids of anatomy, one id per lesion, unions, and a status for everything it can speak about."""
    visible = tuple(lesion for lesion in lesions if counts[lesion.label_id] > 0)
    names = {i: name for name, i in CT_IDS.items()} | {lesion.label_id: lesion.structure for lesion in visible}
    unions = ct_unions(visible)
    statuses = _statuses(counts, names, unions, build)
    reasons = {name: "outside of the field of view, or smaller than a voxel" for name, status in statuses.items() if status is Status.NOT_COVERED}
    return LabelMap(array, affine, names, source, "phantom", "1", statuses, unions, reasons)


def _statuses(counts: np.ndarray, names: Mapping[int, str], unions: Mapping[str, tuple[int, ...]], build: Build) -> dict[str, Status]:
    size: dict[str, int] = {}
    for i, name in names.items():
        size[name] = size.get(name, 0) + int(counts[i])
    size |= {name: int(counts[list(ids)].sum()) for name, ids in unions.items()}
    out = {name: Status.FOUND if voxels else Status.NOT_COVERED for name, voxels in size.items()}
    if build.sex == "female" and size["urinary_bladder"]:
        out["prostate"] = Status.ABSENT
    for name in (*structure_names(), "calcification"):
        if not size.get(name):
            out[name] = Status.ABSENT if size.get(_looked_in(name), 0) else Status.NOT_COVERED
    return out


def _looked_in(structure: str) -> str:
    kind = structure.removesuffix("_left").removesuffix("_right")
    side = structure[len(kind) + 1 :]
    if kind.startswith("kidney") and side:
        return f"kidney_{side}"
    if kind == "pleural_effusion" and side:
        return f"lung_{side}"
    return "body" if kind == "calcification" else _LOOKED_IN.get(kind, "lungs")


def report_labels(lesions: tuple[Lesion, ...], build: Build, labels: LabelMap) -> dict[str, int]:
    """The 18 CT-RATE abnormalities; 1 where a lesion that stands for one is visible, or the visible heart is enlarged."""
    out = dict.fromkeys(ABNORMALITIES, 0)
    for lesion in lesions:
        if lesion.visible_ml:
            out |= dict.fromkeys(_LABELS_OF.get(lesion.kind, ()), 1)
    out["Cardiomegaly"] = int(build.heart_scale > CARDIOMEGALY_SCALE and wholly_covered(labels, "heart"))
    return out


def wholly_covered(labels: LabelMap, structure: str) -> bool:
    """Whether a structure is visible and ends before the first and the last slice."""
    if labels.statuses.get(structure) is not Status.FOUND:
        return False
    return not np.isin(labels.array[[0, -1]], labels.ids(structure)).any()
