"""What structure names mean: side, lesion or organ, the organ that holds a lesion, names made of several others.

Names are TotalSegmentator v2 names plus ours for findings (British spelling). One place, so that measuring, wording and colouring agree.
"""

import re
from collections.abc import Iterable, Mapping

from vol3d.contracts import Status
from vol3d.vlm.prompt import is_lesion

__all__ = [
    "COMPANIONS",
    "FINDINGS",
    "GROUPS",
    "group_unions",
    "in_words",
    "is_lesion",
    "organ_unions",
    "parent_organ",
    "side_of_name",
    "status_of",
]

# A name that stands for several others. `lung_left` is a label of its own in some tables and a group of lobes in others.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "lung_left": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "lung_right": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "lungs": ("lung_left", "lung_right"),
    "kidneys": ("kidney_left", "kidney_right"),
    "adrenal_glands": ("adrenal_gland_left", "adrenal_gland_right"),
    "pleural_effusion": ("pleural_effusion_left", "pleural_effusion_right"),
    "kidney_tumour": ("kidney_tumour_left", "kidney_tumour_right"),
    "kidney_cyst": ("kidney_cyst_left", "kidney_cyst_right"),
}

# What a question may be about although no expert at hand looks for it; sides are added where a finding has them.
FINDINGS: tuple[str, ...] = (
    "liver_tumour", "liver_cyst", "kidney_tumour", "kidney_tumour_left", "kidney_tumour_right", "kidney_cyst", "kidney_cyst_left",
    "kidney_cyst_right", "pancreas_lesion", "lung_nodule", "lung_ground_glass_nodule", "consolidation", "emphysema", "pleural_effusion",
    "pleural_effusion_left", "pleural_effusion_right", "pericardial_effusion", "coronary_calcification", "aortic_calcification",
    "hiatal_hernia", "lymph_node", "bone_lesion", "brain_tumour",
)  # fmt: skip

# Measured along with a structure because something is derived from both.
COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "kidney_left": ("kidney_right",),
    "kidney_right": ("kidney_left",),
    "liver": ("spleen", "aorta"),
    "pancreas": ("spleen", "aorta"),
    "lungs": ("lung_low_attenuation", "lung_poorly_aerated"),
}

# First match wins, so the longer words stand first.
_PARENTS: tuple[tuple[str, str], ...] = (
    ("liver_", "liver"),
    ("kidney_", "kidney"),
    ("pancreas_", "pancreas"),
    ("spleen_", "spleen"),
    ("colon_", "colon"),
    ("lung_nodule", "lungs"),
    ("lung_ground_glass_nodule", "lungs"),
    ("lung_tumour", "lungs"),
    ("consolidation", "lungs"),
    ("emphysema", "lungs"),
    ("lung_low_attenuation", "lungs"),
    ("coronary_calcification", "heart"),
    ("aortic_calcification", "aorta"),
    ("brain_", "brain"),
)


def side_of_name(structure: str) -> str | None:
    """`left`, `right` or None, from the name alone.

    >>> side_of_name("kidney_tumour_left"), side_of_name("rib_right_5"), side_of_name("liver")
    ('left', 'right', None)
    """
    match = re.search(r"_(left|right)(?:_\d+)?$", structure)
    return match.group(1) if match else None


def parent_organ(structure: str) -> str | None:
    """The organ that a finding lies in, on the finding's side; None for organs and for findings outside organs.

    >>> parent_organ("liver_tumour"), parent_organ("kidney_cyst_left"), parent_organ("liver")
    ('liver', 'kidney_left', None)
    """
    if not (is_lesion(structure) or structure == "lung_low_attenuation"):
        return None
    for beginning, organ in _PARENTS:
        if structure.startswith(beginning):
            side = side_of_name(structure)
            return f"{organ}_{side}" if organ == "kidney" and side else organ
    return None


def in_words(structure: str) -> str:
    """A structure as running text: `left kidney`, `vertebra L1`, `right rib 5`.

    >>> in_words("kidney_left"), in_words("vertebrae_L1"), in_words("rib_right_5"), in_words("lung_ground_glass_nodule")
    ('left kidney', 'vertebra L1', 'right rib 5', 'lung ground-glass nodule')
    """
    numbered = re.fullmatch(r"rib_(left|right)_(\d+)", structure)
    if numbered:
        return f"{numbered[1]} rib {numbered[2]}"
    text = re.sub(r"^vertebrae_", "vertebra ", structure).replace("ground_glass", "ground-glass")
    side = side_of_name(structure)
    if side:
        text = f"{side} {text.removesuffix('_' + side)}"
    return text.replace("_", " ")


def organ_unions(names: Mapping[int, str], present: Iterable[int]) -> tuple[dict[int, str], dict[str, tuple[int, ...]]]:
    """Make organs include their lesions: the plain label becomes `<organ>_parenchyma`, the organ a union.

    Only lesions that have voxels change anything, so a table that merely knows of lesions leaves its organs alone.

    >>> organ_unions({1: "liver", 2: "liver_tumour"}, present=[1, 2])
    ({1: 'liver_parenchyma', 2: 'liver_tumour'}, {'liver': (1, 2)})
    """
    present, renamed, unions = set(present), dict(names), {}
    for organ_id, organ in names.items():
        lesions = tuple(i for i, name in names.items() if i in present and parent_organ(name) == organ)
        if lesions:
            renamed[organ_id] = f"{organ}_parenchyma"
            unions[organ] = (organ_id, *lesions)
    return renamed, unions


def group_unions(names: Mapping[int, str], unions: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Unions for the groups that are no label themselves; `unions` are kept.

    A group of organs needs all its parts: half of the kidneys under the name `kidneys` would be a wrong volume. A group of findings is the
    union of the parts that were looked for, since a tumour on one side is a tumour; `status_of` says what was left out.

    >>> group_unions({1: "kidney_left", 2: "kidney_right"}, {}), group_unions({1: "kidney_left"}, {}), group_unions({1: "kidney_cyst_left"}, {})
    ({'kidneys': (1, 2)}, {}, {'kidney_cyst': (1,)})
    """
    known: dict[str, tuple[int, ...]] = {name: (i,) for i, name in names.items()} | dict(unions)
    made = dict(unions)
    for group, parts in GROUPS.items():
        mine = [part for part in parts if part in known]
        if group not in known and mine and (is_lesion(group) or len(mine) == len(parts)):
            made[group] = known[group] = tuple(i for part in mine for i in known[part])
    return made


def status_of(structure: str, names: Mapping[int, str], unions: Mapping[str, tuple[int, ...]], present: Iterable[int]) -> tuple[Status, str]:
    """The status of a structure in a label map, and the reason where one is needed.

    Found: it has a voxel. Absent: it was looked for as a whole. Not covered: nothing here looks for it, or only for a part of it, in which it is
    not; that part is named, also beside `found`.

    >>> status_of("kidney_cyst", {1: "kidney_cyst_left"}, {"kidney_cyst": (1,)}, present=[])
    (<Status.NOT_COVERED: 'not_covered'>, 'only left kidney cyst was looked for')
    """
    known = {name: (i,) for i, name in names.items()} | dict(unions)
    parts = GROUPS.get(structure, ())
    mine = [part for part in parts if part in known]
    partial = 0 < len(mine) < len(parts) and structure not in names.values()
    reason = f"only {', '.join(in_words(part) for part in mine)} was looked for" if partial else ""
    if set(known.get(structure, ())) & set(present):
        return Status.FOUND, reason
    return (Status.NOT_COVERED if partial or structure not in known else Status.ABSENT), reason
