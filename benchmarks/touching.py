"""Which structures of the label tables touch, or lie so close that a contour hardly parts them: the pairs whose colours must differ.

Written down from anatomy; tests/experts3d/test_palette.py holds the list against the contacts of a real label map. Findings are paired with
their organ, with what that organ touches, and with the other findings of that organ.
"""

import itertools
from collections.abc import Iterable

from experts3d.anatomy import is_lesion, side_of_name

Pair = tuple[str, str]

SPINE = [f"vertebrae_{part}{i}" for part, num in (("C", 7), ("T", 12), ("L", 5)) for i in range(1, num + 1)] + ["vertebrae_S1", "sacrum"]

# One line a structure: what it touches, further lines add to it. `@` stands for left and for right, on both ends alike.
_MIDLINE = """
brain: skull spinal_cord
skull: vertebrae_C1 autochthon_@ spinal_cord
esophagus: trachea aorta heart stomach liver thyroid_gland pulmonary_vein common_carotid_artery_left subclavian_artery_left lung_upper_lobe_right
esophagus: lung_lower_lobe_@ lung_upper_lobe_left
trachea: thyroid_gland aorta brachiocephalic_trunk common_carotid_artery_@ brachiocephalic_vein_@ superior_vena_cava lung_upper_lobe_@ subclavian_artery_@
thyroid_gland: common_carotid_artery_@ brachiocephalic_vein_@
heart: aorta pulmonary_vein atrial_appendage_left superior_vena_cava inferior_vena_cava liver stomach sternum costal_cartilages lung_upper_lobe_@
heart: lung_lower_lobe_@ lung_middle_lobe_right
aorta: pulmonary_vein superior_vena_cava inferior_vena_cava brachiocephalic_trunk common_carotid_artery_left subclavian_artery_left iliac_artery_@
aorta: brachiocephalic_vein_left pancreas duodenum portal_vein_and_splenic_vein small_bowel lung_upper_lobe_@ lung_lower_lobe_left atrial_appendage_left
brachiocephalic_trunk: common_carotid_artery_right subclavian_artery_right brachiocephalic_vein_@ superior_vena_cava common_carotid_artery_left
common_carotid_artery_@: subclavian_artery_@ brachiocephalic_vein_@ lung_upper_lobe_@
subclavian_artery_@: brachiocephalic_vein_@ clavicula_@ lung_upper_lobe_@
brachiocephalic_vein_left: brachiocephalic_vein_right superior_vena_cava common_carotid_artery_left
brachiocephalic_vein_@: superior_vena_cava sternum clavicula_@ lung_upper_lobe_@
superior_vena_cava: lung_upper_lobe_right pulmonary_vein
pulmonary_vein: lung_upper_lobe_@ lung_lower_lobe_@ lung_middle_lobe_right atrial_appendage_left
atrial_appendage_left: lung_upper_lobe_left
inferior_vena_cava: liver adrenal_gland_right kidney_right duodenum pancreas portal_vein_and_splenic_vein iliac_vena_@ iliac_artery_right iliopsoas_right
inferior_vena_cava: lung_lower_lobe_right small_bowel
"""
_ABDOMEN = """
liver: gallbladder stomach kidney_right colon duodenum adrenal_gland_right portal_vein_and_splenic_vein pancreas costal_cartilages spleen small_bowel
liver: lung_lower_lobe_@ lung_middle_lobe_right
spleen: stomach kidney_left pancreas colon adrenal_gland_left portal_vein_and_splenic_vein lung_lower_lobe_left costal_cartilages
stomach: pancreas duodenum colon small_bowel costal_cartilages adrenal_gland_left gallbladder kidney_left portal_vein_and_splenic_vein lung_lower_lobe_left
pancreas: duodenum portal_vein_and_splenic_vein small_bowel colon kidney_left adrenal_gland_left gallbladder
duodenum: gallbladder colon small_bowel kidney_right portal_vein_and_splenic_vein
colon: small_bowel gallbladder kidney_@ urinary_bladder prostate sacrum vertebrae_S1 iliopsoas_@ iliac_artery_@ iliac_vena_@ hip_@ costal_cartilages
small_bowel: urinary_bladder iliopsoas_@ iliac_artery_@ iliac_vena_@ sacrum gallbladder kidney_left
kidney_@: adrenal_gland_@ iliopsoas_@ autochthon_@ rib_@_11 rib_@_12
adrenal_gland_left: portal_vein_and_splenic_vein
urinary_bladder: prostate hip_@ iliac_artery_@ iliac_vena_@
prostate: hip_@
"""
_FRAME = """
iliac_artery_@: iliac_vena_@ iliopsoas_@ sacrum
iliac_vena_@: iliopsoas_@ sacrum
iliac_artery_left: iliac_artery_right
iliac_artery_right: iliac_vena_left
iliac_vena_left: iliac_vena_right
iliopsoas_@: hip_@ femur_@ sacrum
hip_@: sacrum femur_@ gluteus_maximus_@ gluteus_medius_@ gluteus_minimus_@ autochthon_@ vertebrae_L5 vertebrae_S1
hip_left: hip_right
gluteus_maximus_@: gluteus_medius_@ gluteus_minimus_@ femur_@ sacrum autochthon_@
gluteus_medius_@: gluteus_minimus_@ femur_@
gluteus_minimus_@: femur_@
autochthon_left: autochthon_right
sternum: clavicula_@ costal_cartilages rib_@_1 lung_upper_lobe_@ lung_middle_lobe_right
clavicula_@: scapula_@ rib_@_1 humerus_@
scapula_@: humerus_@
lung_upper_lobe_@: lung_lower_lobe_@ costal_cartilages
lung_middle_lobe_right: lung_upper_lobe_right lung_lower_lobe_right costal_cartilages
lung_upper_lobe_left: lung_upper_lobe_right
lung_left: lung_right
"""
# Label tables of other experts: chambers, whole lungs, tissue by threshold.
_OTHER_TABLES = """
heart_myocardium: heart_ventricle_left heart_ventricle_right heart_atrium_left
heart_ventricle_left: heart_atrium_left aorta
heart_ventricle_right: heart_atrium_right pulmonary_artery
heart_atrium_left: heart_atrium_right pulmonary_artery pulmonary_vein atrial_appendage_left
heart_atrium_right: superior_vena_cava inferior_vena_cava aorta
pulmonary_artery: aorta superior_vena_cava pulmonary_vein heart lung_upper_lobe_@ trachea
lung_@: heart aorta trachea airway
liver: lung_right hepatic_vessel
spleen: lung_left
vertebrae: intervertebral_discs spinal_cord aorta sacrum autochthon_@
face: skull brain
lung_low_attenuation_@: lung_normally_aerated_@ lung_poorly_aerated_@ lung_dense_@ airway
lung_normally_aerated_@: lung_poorly_aerated_@ lung_dense_@ airway
lung_poorly_aerated_@: lung_dense_@ airway
lung_dense_@: airway
bone: fat soft_tissue unclassified
fat: soft_tissue gas unclassified
soft_tissue: gas calcification unclassified
gas: unclassified
"""

_FINDINGS = """
liver_tumour: liver_cyst
kidney_tumour_@: kidney_cyst_@
kidney_tumour: kidney_cyst
kidney_tumour_left: kidney_tumour_right
kidney_cyst_left: kidney_cyst_right
pleural_effusion_left: pleural_effusion_right
pericardial_effusion: pleural_effusion_@ pleural_effusion coronary_calcification
lung_nodule: lung_ground_glass_nodule consolidation emphysema pleural_effusion pleural_effusion_@ lymph_node
lung_ground_glass_nodule: consolidation emphysema pleural_effusion pleural_effusion_@
consolidation: emphysema pleural_effusion pleural_effusion_@
emphysema: pleural_effusion pleural_effusion_@
hiatal_hernia: pleural_effusion_@ pericardial_effusion aortic_calcification
lymph_node: aortic_calcification
"""
_ANY_LUNG = "lung_upper_lobe_@ lung_lower_lobe_@ lung_middle_lobe_right lung_@ lungs"
_HOMES = {
    **dict.fromkeys(("liver_tumour", "liver_cyst"), "liver"),
    **dict.fromkeys([f"kidney_{kind}{side}" for kind in ("tumour", "cyst") for side in ("", "_left", "_right")], "kidney_@"),
    "pancreas_lesion": "pancreas",
    **dict.fromkeys(("lung_nodule", "lung_ground_glass_nodule", "lung_tumour", "consolidation", "emphysema"), _ANY_LUNG),
    **dict.fromkeys(("pleural_effusion", "pleural_effusion_left", "pleural_effusion_right"), _ANY_LUNG),
    **dict.fromkeys(("pericardial_effusion", "coronary_calcification"), "heart"),
    "aortic_calcification": "aorta",
    "hiatal_hernia": "esophagus stomach",
    "lymph_node": "aorta inferior_vena_cava trachea esophagus iliac_artery_@",
    "brain_tumour": "brain",
    "colon_tumour": "colon",
}


def touching_pairs() -> list[Pair]:
    """All pairs of organs, each once, sorted.

    >>> ("aorta", "inferior_vena_cava") in touching_pairs(), ("brain", "urinary_bladder") in touching_pairs()
    (True, False)
    """
    lines = "\n".join((_MIDLINE, _ABDOMEN, _FRAME, _OTHER_TABLES)).strip().splitlines()
    written = [pair for line in lines if line for pair in _of_line(line)]
    return [pair for pair in _each_once([*written, *_along_the_spine(), *_around_ribs()]) if not any(map(is_lesion, pair))]


def finding_pairs() -> list[Pair]:
    """Findings against their organ and what that organ touches, against other findings there, and left against right, sorted.

    >>> ("kidney_cyst_left", "kidney_cyst_right") in finding_pairs(), ("gallbladder", "liver_tumour") in finding_pairs()
    (True, True)
    """
    organs = touching_pairs()
    pairs = [pair for line in _FINDINGS.strip().splitlines() for pair in _of_line(line)]
    for finding, homes in _HOMES.items():
        for home in (
            name for word in homes.split() for name in _both_sides(word) if side_of_name(name) in (None, side_of_name(finding) or side_of_name(name))
        ):
            pairs += [(finding, home), *((finding, other) for pair in organs if home in pair for other in pair if other != home)]
    pairs += [("bone_lesion", bone) for bone in bones()]
    return _each_once(pairs)


def read_together() -> list[Pair]:
    """What most pictures show side by side, touching or not: the common organs and the two lesions of the liver, each with each."""
    organs = ("liver", "spleen", "kidney_left", "kidney_right", "pancreas", "stomach", "aorta", "inferior_vena_cava", "lung_left", "lung_right")
    return _each_once(itertools.combinations([*organs, "liver_tumour", "liver_cyst"], 2))


def bones() -> list[str]:
    """Names of single bones."""
    sided = ("humerus_@", "scapula_@", "clavicula_@", "femur_@", "hip_@", *(f"rib_@_{i}" for i in range(1, 13)))
    return [*SPINE, "sternum", "skull", "costal_cartilages", "bone", *(name for word in sided for name in _both_sides(word))]


def _along_the_spine() -> list[Pair]:
    pairs = list(itertools.pairwise(SPINE))
    for name in SPINE:
        pairs += [(name, "autochthon_left"), (name, "autochthon_right")]
    pairs += [(name, "spinal_cord") for name in SPINE[: SPINE.index("vertebrae_L2") + 1]]
    reach = {
        "esophagus": ("C6", "T11"), "trachea": ("C7", "T5"), "aorta": ("T4", "L4"), "inferior_vena_cava": ("L1", "L5"),
        "iliopsoas_left": ("T12", "S1"), "iliopsoas_right": ("T12", "S1"), "lung_upper_lobe_left": ("T1", "T6"), "lung_upper_lobe_right": ("T1", "T6"),
        "lung_lower_lobe_left": ("T5", "T12"), "lung_lower_lobe_right": ("T5", "T12"), "iliac_artery_left": ("L4", "S1"),
        "iliac_artery_right": ("L4", "S1"), "iliac_vena_left": ("L5", "S1"), "iliac_vena_right": ("L4", "S1"), "duodenum": ("L2", "L3"),
        "small_bowel": ("L3", "L5"), "thyroid_gland": ("C6", "C7"), "common_carotid_artery_left": ("C5", "T1"),
        "common_carotid_artery_right": ("C5", "T1"), "subclavian_artery_left": ("T1", "T3"), "subclavian_artery_right": ("T1", "T2"),
    }  # fmt: skip
    for name, ends in reach.items():
        first, last = (SPINE.index(f"vertebrae_{end}") for end in ends)
        pairs += [(name, level) for level in SPINE[first : last + 1]]
    return pairs


def _around_ribs() -> list[Pair]:
    pairs = []
    for side in ("left", "right"):
        ribs = {i: f"rib_{side}_{i}" for i in range(1, 13)}
        pairs += itertools.pairwise(ribs.values())
        for i, rib in ribs.items():
            pairs += [(rib, f"vertebrae_T{i}"), (rib, f"autochthon_{side}")]
            pairs += [(rib, f"vertebrae_T{i - 1}")] if 2 <= i <= 10 else []
            pairs += [(rib, "costal_cartilages")] if i <= 11 else []
            pairs += [(rib, f"scapula_{side}")] if 2 <= i <= 8 else []
            pairs += [(rib, f"lung_upper_lobe_{side}")] if i <= 7 else []
            pairs += [(rib, f"lung_lower_lobe_{side}")] if i >= 4 else []
            pairs += [(rib, f"lung_{side}")]
        pairs += [(ribs[1], f"subclavian_artery_{side}"), (ribs[1], f"brachiocephalic_vein_{side}")]
    pairs += [(f"rib_right_{i}", "liver") for i in range(6, 13)] + [(f"rib_right_{i}", "lung_middle_lobe_right") for i in range(4, 8)]
    pairs += [(f"rib_left_{i}", "spleen") for i in range(8, 13)] + [(f"rib_left_{i}", "stomach") for i in range(6, 10)]
    return [*pairs, ("rib_left_10", "colon"), ("rib_left_11", "colon"), ("rib_right_10", "colon"), ("rib_right_11", "colon")]


def _both_sides(word: str) -> list[str]:
    return [word.replace("@", side) for side in ("left", "right")] if "@" in word else [word]


def _of_line(line: str) -> list[Pair]:
    """`kidney_@: liver rib_@_11`: sides go together where both ends have one, and multiply out where one end has."""
    first, _, others = line.partition(": ")
    pairs = []
    for other in others.split():
        if "@" in first and "@" in other:
            pairs += [(first.replace("@", side), other.replace("@", side)) for side in ("left", "right")]
        else:
            pairs += [(a, b) for a in _both_sides(first) for b in _both_sides(other)]
    return pairs


def _each_once(pairs: Iterable[Pair]) -> list[Pair]:
    return sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]})
