"""TotalSegmentator (Wasserthal et al., Radiology: AI 2023) in its own environment. Settings come in environment variables.

VOL3D_TASK (`total`, `total_mr`), VOL3D_FAST (1: 3 mm), VOL3D_DEVICE (`cpu`, `gpu`). Its usage statistics are switched off.
"""

import json
import os

import nibabel as nib
import numpy as np
from totalsegmentator import config
from totalsegmentator.map_to_binary import class_map
from totalsegmentator.python_api import totalsegmentator

TASK = os.environ.get("VOL3D_TASK", "total")


def _keep_quiet_about_use():
    """The package reports every use to its authors unless its config file says otherwise."""
    config.setup_totalseg()
    file = config.get_totalseg_dir() / "config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"send_usage_stats": False}, indent=4))


_keep_quiet_about_use()


def segment(scan_path, out_path, targets):
    """Segment all classes of the task, or the asked ones."""
    table = dict(class_map[TASK])
    wanted = [name for name in table.values() if name in targets]
    subset = wanted if len(wanted) < len(table) else None
    found = totalsegmentator(
        nib.load(scan_path), None, ml=True, task=TASK, fast=os.environ.get("VOL3D_FAST", "1") == "1", roi_subset=subset,
        device=os.environ.get("VOL3D_DEVICE", "cpu"), quiet=True, skip_saving=True,
    )  # fmt: skip
    array = np.asarray(found.dataobj).astype(np.uint8)
    nib.save(nib.Nifti1Image(array, nib.load(scan_path).affine), out_path)
    looked_for = set(subset or table.values())
    return {"names": {str(i): name for i, name in table.items() if name in looked_for}}
