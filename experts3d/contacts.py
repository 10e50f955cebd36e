"""How far pancreatic lesions wrap around the vessels that decide on resection, for the vessels that have a mask."""

from collections.abc import Sequence

from experts3d.distance import contact_angle
from vol3d.contracts import LabelMap, Measurement, Status

PANCREAS_LESIONS = ("pancreas_lesion", "pancreas_tumour")
ARTERIES = ("coeliac_trunk", "celiac_trunk", "superior_mesenteric_artery", "common_hepatic_artery")
VEINS = ("superior_mesenteric_vein", "portal_vein_and_splenic_vein")


def contacts(labels: LabelMap, structures: Sequence[str]) -> tuple[Measurement, ...]:
    """Contact angles of the pancreatic lesions among `structures`; none where lesion or vessel is not found.

    >>> import numpy as np
    >>> array = np.zeros((1, 9, 9), np.uint8); array[:, 3:6, 3:6] = 2; array[:, 3:6, 6:8] = 1
    >>> names = {1: "pancreas_lesion", 2: "superior_mesenteric_artery"}
    >>> labels = LabelMap(array, np.diag([1.0, 1, 1, 1])[[2, 1, 0, 3]], names, "demo", "hand", "1")
    >>> [m.name for m in contacts(labels, ["pancreas_lesion"])]
    ['contact_angle_with_superior_mesenteric_artery']
    """
    lesions = [name for name in structures if name in PANCREAS_LESIONS and labels.status(name) is Status.FOUND]
    vessels = [name for name in (*ARTERIES, *VEINS) if labels.status(name) is Status.FOUND] if lesions else []
    return tuple(contact_angle(labels, lesion, vessel) for lesion in lesions for vessel in vessels)
