"""Which label id means which structure, and which structures are made of several ids."""

VERTEBRAE = tuple([f"vertebrae_T{i}" for i in range(1, 13)] + [f"vertebrae_L{i}" for i in range(1, 6)])
RIBS = tuple(f"rib_{side}_{i}" for side in ("left", "right") for i in range(1, 13))
LOBES = ("lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right")
HEART_PARTS = ("heart_myocardium", "heart_atrium_left", "heart_ventricle_left", "heart_atrium_right", "heart_ventricle_right")

# Organs that carry lesions: the id is the parenchyma, and the organ's own name is the union of it with its lesions.
HOSTS = ("liver", "kidney_left", "kidney_right", "pancreas", "brain")

_CT = (
    "skin",
    "subcutaneous_fat",
    "skeletal_muscle",
    "torso_fat",
    *[f"{lobe}_parenchyma" for lobe in LOBES],
    "trachea",
    "bronchi",
    *HEART_PARTS,
    "pericardium",
    "aorta",
    "pulmonary_artery",
    "superior_vena_cava",
    "inferior_vena_cava",
    "portal_vein_and_splenic_vein",
    "esophagus",
    "thyroid_gland",
    "liver_parenchyma",
    "gallbladder",
    "spleen",
    "kidney_left_parenchyma",
    "kidney_right_parenchyma",
    "pancreas_parenchyma",
    "stomach",
    "duodenum",
    "small_bowel",
    "colon",
    "adrenal_gland_left",
    "adrenal_gland_right",
    "urinary_bladder",
    "prostate",
    "iliac_artery_left",
    "iliac_artery_right",
    "spinal_cord",
    "intervertebral_discs",
    *[f"{name}_bone" for name in VERTEBRAE],
    "sacrum",
    *[f"{name}_bone" for name in RIBS],
    "costal_cartilages",
    "sternum",
    "scapula_left",
    "scapula_right",
    "clavicula_left",
    "clavicula_right",
    "humerus_left",
    "humerus_right",
    "hip_left",
    "hip_right",
    "femur_left",
    "femur_right",
)
_MR = (
    "scalp",
    "skull",
    "csf",
    "grey_matter",
    "white_matter",
    "deep_grey_matter",
    "ventricles",
    "cerebellum",
    "brainstem",
    "eye_left",
    "eye_right",
    "head_soft_tissue",
    "paranasal_air",
    "oedema",
)

CT_IDS = {name: i for i, name in enumerate(_CT, start=1)}
MR_IDS = {name: i for i, name in enumerate(_MR, start=1)}
FIRST_LESION_ID = 140  # each lesion has its own id from here on, so that lesions can be told apart without components


def _ids(*names: str) -> tuple[int, ...]:
    return tuple(CT_IDS[name] for name in names)


_BONES = (
    *[f"{name}_bone" for name in (*VERTEBRAE, *RIBS)],
    "sacrum",
    "sternum",
    *[f"{bone}_{side}" for bone in ("scapula", "clavicula", "humerus", "hip", "femur") for side in ("left", "right")],
)

# Anatomy only; the ids of lesions join the unions of their hosts when a phantom is made.
CT_UNIONS: dict[str, tuple[int, ...]] = {
    "body": tuple(CT_IDS.values()),
    "lung_left": tuple(CT_IDS[f"{lobe}_parenchyma"] for lobe in LOBES if lobe.endswith("left")),
    "lung_right": tuple(CT_IDS[f"{lobe}_parenchyma"] for lobe in LOBES if lobe.endswith("right")),
    "lungs": tuple(CT_IDS[f"{lobe}_parenchyma"] for lobe in LOBES),
    **{lobe: _ids(f"{lobe}_parenchyma") for lobe in LOBES},
    "airway": _ids("trachea", "bronchi"),
    "heart": _ids(*HEART_PARTS),
    "liver": _ids("liver_parenchyma"),
    "kidney_left": _ids("kidney_left_parenchyma"),
    "kidney_right": _ids("kidney_right_parenchyma"),
    "kidneys": _ids("kidney_left_parenchyma", "kidney_right_parenchyma"),
    "pancreas": _ids("pancreas_parenchyma"),
    **{name: _ids(f"{name}_bone") for name in (*VERTEBRAE, *RIBS)},
    "spine": _ids(*[f"{name}_bone" for name in VERTEBRAE], "sacrum"),
    "ribs": _ids(*[f"{name}_bone" for name in RIBS]),
    "bone": _ids(*_BONES),
    "fat": _ids("subcutaneous_fat", "torso_fat"),
    "soft_tissue": tuple(
        CT_IDS[name]
        for name in _CT
        if name
        not in {
            *_BONES,
            "skin",
            "subcutaneous_fat",
            "torso_fat",
            "trachea",
            "bronchi",
            "costal_cartilages",
            *[f"{lobe}_parenchyma" for lobe in LOBES],
        }
    ),
}
MR_UNIONS: dict[str, tuple[int, ...]] = {
    "body": tuple(MR_IDS.values()),
    "head": tuple(MR_IDS.values()),
    "brain": tuple(MR_IDS[name] for name in ("grey_matter", "white_matter", "deep_grey_matter", "ventricles", "cerebellum", "brainstem", "oedema")),
}
