"""Which structures questions speak about: organs, lesion classes and what must have been looked for before 'no' is an answer."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LesionClass:
    """A class of lesions as questions name it.

    Args:
        name: in words, singular.
        host: organ, without a side.
        structures: label names that belong to it.
        needed: absence may be stated only when, of each of these groups, at least one name was looked for.
    """

    name: str
    host: str
    structures: tuple[str, ...]
    needed: tuple[tuple[str, ...], ...]


def _sided(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("", "_left", "_right"))


_PANCREAS_TUMOURS = ("pancreas_tumour", "pancreas_pdac", "pancreas_pnet")
_CLASSES = (
    LesionClass(
        "liver lesion", "liver", ("liver_tumour", "liver_cyst", "liver_lesion"), (("liver_tumour", "liver_lesion"), ("liver_cyst", "liver_lesion"))
    ),
    LesionClass("liver tumour", "liver", ("liver_tumour",), (("liver_tumour",),)),
    LesionClass("liver cyst", "liver", ("liver_cyst",), (("liver_cyst",),)),
    LesionClass("kidney lesion", "kidney", _sided("kidney_tumour", "kidney_cyst"), (_sided("kidney_tumour"), _sided("kidney_cyst"))),
    LesionClass("kidney tumour", "kidney", _sided("kidney_tumour"), (_sided("kidney_tumour"),)),
    LesionClass("kidney cyst", "kidney", _sided("kidney_cyst"), (_sided("kidney_cyst"),)),
    LesionClass(
        "pancreatic lesion",
        "pancreas",
        ("pancreas_lesion", *_PANCREAS_TUMOURS, "pancreas_cyst"),
        (("pancreas_lesion", "pancreas_tumour", "pancreas_pdac"),),
    ),
    LesionClass("pancreatic tumour", "pancreas", _PANCREAS_TUMOURS, (("pancreas_tumour", "pancreas_pdac"),)),
    LesionClass("pancreatic ductal adenocarcinoma", "pancreas", ("pancreas_pdac",), (("pancreas_pdac",),)),
    LesionClass("pancreatic neuroendocrine tumour", "pancreas", ("pancreas_pnet",), (("pancreas_pnet",),)),
    LesionClass("pancreatic cyst", "pancreas", ("pancreas_cyst",), (("pancreas_cyst",),)),
    LesionClass("colon lesion", "colon", ("colon_tumour", "colon_lesion"), (("colon_tumour", "colon_lesion"),)),
    LesionClass("lung nodule", "lungs", ("lung_nodule", "lung_ground_glass_nodule"), (("lung_nodule",),)),
    LesionClass("solid lung nodule", "lungs", ("lung_nodule",), (("lung_nodule",),)),
    LesionClass("consolidation", "lungs", ("consolidation",), (("consolidation",),)),
    LesionClass("brain tumour", "brain", ("brain_tumour", "tumour"), (("brain_tumour",),)),
)
LESION_CLASSES: Mapping[str, LesionClass] = {lesion.name: lesion for lesion in _CLASSES}

# Organs whose volume and density are asked for.
ORGANS = (
    "liver", "spleen", "kidney_left", "kidney_right", "pancreas", "gallbladder", "stomach", "duodenum", "colon", "small_bowel", "urinary_bladder",
    "prostate", "aorta", "inferior_vena_cava", "portal_vein_and_splenic_vein", "adrenal_gland_left", "adrenal_gland_right", "heart", "esophagus",
    "lung_left", "lung_right", "vertebrae_L1", "vertebrae_L2", "vertebrae_L3",
)  # fmt: skip
# Gas-filled organs have no meaningful mean density; vertebrae (bone density) and muscles (fatty muscle) have one also where they are cut off.
_HOLLOW = {"stomach", "colon", "small_bowel", "duodenum", "esophagus"}
_MORE_DENSE = (
    "vertebrae_T11",
    "vertebrae_T12",
    "vertebrae_L4",
    "vertebrae_L5",
    *(f"{muscle}_{side}" for muscle in ("autochthon", "iliopsoas") for side in ("left", "right")),
)
DENSE_ORGANS = (*(o for o in ORGANS if o not in _HOLLOW), *_MORE_DENSE)
# Where "which organ is nearest" may point to; no bones, vessels or muscles.
NEIGHBOURS = (
    "liver", "spleen", "kidney_left", "kidney_right", "pancreas", "gallbladder", "stomach", "duodenum", "colon", "small_bowel", "urinary_bladder",
    "adrenal_gland_left", "adrenal_gland_right", "heart",
)  # fmt: skip
# Contact with these decides on resection (AJCC, NCCN).
ARTERIES = ("coeliac_trunk", "celiac_trunk", "superior_mesenteric_artery", "common_hepatic_artery")
VEINS = ("superior_mesenteric_vein", "portal_vein_and_splenic_vein")
_WORDS = {
    "autochthon_left": "left deep back muscle",
    "autochthon_right": "right deep back muscle",
    "portal_vein_and_splenic_vein": "portal and splenic vein",
    "esophagus": "oesophagus",
}


def words(structure: str) -> str:
    """A structure as it is said.

    >>> words("kidney_left"), words("vertebrae_L1"), words("lung_upper_lobe_left")
    ('left kidney', 'L1 vertebra', 'left upper lobe')
    """
    if structure in _WORDS:
        return _WORDS[structure]
    if structure.startswith("vertebrae_"):
        return f"{structure.removeprefix('vertebrae_')} vertebra"
    for side in ("left", "right"):
        if structure.endswith(f"_{side}"):
            stem = structure.removesuffix(f"_{side}").removeprefix("lung_") if "_lobe_" in structure else structure.removesuffix(f"_{side}")
            return f"{side} {stem.replace('_', ' ')}"
    return structure.replace("_", " ")
