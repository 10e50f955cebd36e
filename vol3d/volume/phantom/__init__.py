"""Phantoms: procedural CT and MR scans with exact masks, a report and labels, all from one seed."""

from typing import Literal

from vol3d.volume.phantom.build import stream
from vol3d.volume.phantom.make_ct import REGIONS, phantom_ct
from vol3d.volume.phantom.make_mr import phantom_mr
from vol3d.volume.phantom.phantom import Lesion, Phantom

__all__ = ["Lesion", "Phantom", "phantom_ct", "phantom_mr", "random_phantom"]


def random_phantom(
    seed: int,
    *,
    modality: Literal["CT", "MR"] | None = None,
    shape_zyx: tuple[int, int, int] = (128, 160, 160),
    spacing_mm: tuple[float, float, float] | None = None,
) -> Phantom:
    """A phantom of any kind: the seed draws modality (one in four is MR), region or contrast, patient and lesions.

    `spacing_mm` None: such that the grid spans the region whatever its shape: 320 mm of height for a chest and 384 mm for the others at a
    field of view of 400 to 480 mm; 192 mm by 240 mm for a head.

    >>> random_phantom(1, modality="MR", shape_zyx=(16, 24, 24)).volume.spacing_mm
    (12.0, 10.0, 10.0)
    """
    rng = stream(seed, "kind")
    kind, region = rng.random(), sorted(REGIONS)[int(rng.integers(len(REGIONS)))]
    if modality is None:
        modality = "MR" if kind < 0.25 else "CT"
    if spacing_mm is None:
        width = 240.0 if modality == "MR" else float(rng.uniform(400, 480))
        height = 192.0 if modality == "MR" else 320.0 if region == "chest" else 384.0
        z, y, x = (length / count for length, count in zip((height, width, width), shape_zyx, strict=True))
        spacing_mm = (z, y, x)
    if modality == "MR":
        return phantom_mr(seed, shape_zyx=shape_zyx, spacing_mm=spacing_mm)
    return phantom_ct(seed, shape_zyx=shape_zyx, spacing_mm=spacing_mm, region=region)
