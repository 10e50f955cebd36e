"""lungmask (Hofmanninger et al., European Radiology Experimental 2020) in its own environment.

VOL3D_WEIGHTS names a file of weights; without it the package fetches its own. VOL3D_MODEL is `R231` (two lungs) or `LTRCLobes` (five lobes).
"""

import os

import SimpleITK as sitk  # noqa: N813 - the name that everybody uses
from lungmask import LMInferer

# The two models number their labels in their own way; neither numbering is TotalSegmentator's.
NAMES = {
    "R231": {"1": "lung_right", "2": "lung_left"},
    "LTRCLobes": {
        "1": "lung_upper_lobe_left", "2": "lung_lower_lobe_left", "3": "lung_upper_lobe_right", "4": "lung_middle_lobe_right",
        "5": "lung_lower_lobe_right",
    },
}  # fmt: skip
MODEL = os.environ.get("VOL3D_MODEL", "R231")
INFERER = LMInferer(
    modelname=MODEL, modelpath=os.environ.get("VOL3D_WEIGHTS"), force_cpu=os.environ.get("VOL3D_DEVICE", "cpu") == "cpu", tqdm_disable=True
)


def segment(scan_path, out_path, targets):
    """Segment both lungs, or the five lobes."""
    image = sitk.ReadImage(scan_path)
    labels = sitk.GetImageFromArray(INFERER.apply(image).astype("uint8"))
    labels.CopyInformation(image)
    sitk.WriteImage(labels, out_path)
    return {"names": NAMES[MODEL]}
