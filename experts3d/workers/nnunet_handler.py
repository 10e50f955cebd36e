"""Any trained nnU-Net v2 folder (Isensee et al., Nature Methods 2021) in nnU-Net's own environment.

VOL3D_MODEL is the folder with plans.json, dataset.json and fold_*; VOL3D_CHECKPOINT the file in each fold; VOL3D_DEVICE `cpu` or `cuda`.
The scan is read by the reader that the plans name, because another one may turn left into right.
"""

import json
import os
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

FOLDER = os.environ["VOL3D_MODEL"]
PREDICTOR = nnUNetPredictor(use_mirroring=False, device=torch.device(os.environ.get("VOL3D_DEVICE", "cpu")), allow_tqdm=False)
PREDICTOR.initialize_from_trained_model_folder(FOLDER, None, os.environ.get("VOL3D_CHECKPOINT", "checkpoint_final.pth"))


def segment(scan_path, out_path, targets):
    """Predict, and write with the same reader."""
    reader = PREDICTOR.plans_manager.image_reader_writer_class()
    image, properties = reader.read_images([scan_path])
    labels = PREDICTOR.predict_single_npy_array(image, properties, None, None, False)
    reader.write_seg(labels, out_path, properties)
    table = json.loads(Path(FOLDER, "dataset.json").read_text())["labels"]
    return {"names": {str(i): name.replace(" ", "_") for name, i in table.items() if isinstance(i, int) and i > 0}}
