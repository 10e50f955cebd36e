"""Phantoms with everything that the 42 subtypes ask about: also colon tumours, liver segments, an artery, and typed pancreas lesions."""

from dataclasses import replace
from functools import cache

import numpy as np

from vol3d.contracts import LabelMap, Status
from vol3d.volume.phantom import Lesion, Phantom, phantom_ct

NEW_IDS = {
    230: "colon_tumour",
    231: "superior_mesenteric_artery",
    **{231 + i: f"liver_segment_{i}" for i in range(1, 9)},
}
PANCREAS_TYPES = ("pancreas_pdac", "pancreas_pnet", "pancreas_cyst")


@cache
def body(seed: int) -> Phantom:
    """An abdomen whose lesions depend on the seed; the whole of it lies in the scan."""
    kinds = [
        *[Lesion("liver_tumour")] * (seed % 4),
        *[Lesion("liver_cyst")] * (seed % 2),
        *[Lesion.sphere("kidney_cyst", 22.0 + seed % 5, side="left")] * (seed % 3 != 0),
        *[Lesion.sphere("kidney_tumour", 30.0, side="right")] * (seed % 4 == 1),
        *[Lesion.sphere("pancreas_lesion", 12.0 + 4.0 * (seed % 5))] * (seed % 5 != 4),
    ]
    return phantom_ct(seed, shape_zyx=(96, 88, 112), spacing_mm=(4.0, 4.0, 4.0), region="abdomen", lesions=kinds)


@cache
def annotated(seed: int) -> tuple[Phantom, LabelMap]:
    """The body with further labels; which ones depend on the seed, so that every answer occurs."""
    phantom = body(seed)
    labels = phantom.labels
    array = labels.array.astype(np.int16)
    names = dict(labels.names)
    statuses = {k: v for k, v in labels.statuses.items() if k != "pancreas_lesion"}
    kind = PANCREAS_TYPES[seed % 3]
    for i, name in names.items():
        if name == "pancreas_lesion":
            names[i] = kind
    statuses |= {name: Status.FOUND if np.isin(array, [i for i, n in names.items() if n == name]).any() else Status.ABSENT for name in PANCREAS_TYPES}
    names |= NEW_IDS
    unions = {**labels.unions, "colon": (*labels.ids("colon"), 230)}
    names = {i: name for i, name in names.items() if name != "colon"} | dict.fromkeys(labels.ids("colon"), "colon_wall")
    if seed % 2:
        _paint_colon(array, labels, seed)
    if seed % 3 == 0 or seed % 4 == 1:
        _paint_artery(array, names, kind, seed)
    if seed % 2 == 0:
        unions |= _paint_segments(array, labels)
    statuses |= {name: Status.FOUND if (array == i).any() else Status.ABSENT for i, name in NEW_IDS.items()}
    statuses["colon"] = Status.FOUND
    labels = replace(labels, array=array, names=names, statuses=statuses, unions=unions)
    return _scaled(phantom, labels, 1.3 if seed % 4 == 3 else 1.0)


def _scaled(phantom: Phantom, labels: LabelMap, factor: float) -> tuple[Phantom, LabelMap]:
    """The same voxels on a wider grid: a giant, so that enlarged organs occur."""
    affine = labels.affine @ np.diag([factor, factor, factor, 1.0])
    volume = phantom.volume.with_array(phantom.volume.array, affine=affine)
    return replace(phantom, volume=volume), replace(labels, affine=affine)


def _paint_colon(array: np.ndarray, labels: LabelMap, seed: int) -> None:
    inside = np.argwhere(labels.mask("colon"))
    centre = inside[(seed * 997) % len(inside)]
    near = ((inside - centre) ** 2).sum(1) <= 12
    array[tuple(inside[near].T)] = 230


def _paint_artery(array: np.ndarray, names: dict[int, str], kind: str, seed: int) -> None:
    ids = [i for i, name in names.items() if name == kind]
    where = np.argwhere(np.isin(array, ids))
    if len(where) == 0:
        where = np.argwhere(np.isin(array, [i for i, n in names.items() if n == "pancreas_parenchyma"]))[:1]
    z, y, x = where.mean(axis=0).round().astype(int)
    shift = {0: 12, 1: 0, 2: 1}[seed % 3] + int((where[:, 2].max() - where[:, 2].min()) / 2) * (seed % 3 != 1)
    lesion = np.isin(array, ids)
    disc = np.add.outer(np.arange(-2, 3) ** 2, np.arange(-2, 3) ** 2) <= 4
    for slice_index in range(z - 6, z + 7):
        window = array[slice_index, y - 2 : y + 3, x + shift - 2 : x + shift + 3]
        window[disc & ~lesion[slice_index, y - 2 : y + 3, x + shift - 2 : x + shift + 3]] = 231


def _paint_segments(array: np.ndarray, labels: LabelMap) -> dict[str, tuple[int, ...]]:
    """Eight exclusive parts of the parenchyma: two along y, four along x; the caudate (1) is the anterior left corner."""
    parenchyma = np.argwhere(np.isin(array, [i for i, n in labels.names.items() if n == "liver_parenchyma"]))
    y = (parenchyma[:, 1] > np.median(parenchyma[:, 1])).astype(int)
    x = np.searchsorted(np.quantile(parenchyma[:, 2], (0.25, 0.5, 0.75)), parenchyma[:, 2])
    array[tuple(parenchyma.T)] = 232 + x * 2 + y
    return {"liver": (*labels.unions["liver"], *range(232, 240)), "liver_parenchyma": tuple(range(232, 240))}
