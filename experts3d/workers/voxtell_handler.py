"""VoxTell (CVPR 2026): masks for free text, in its own environment. VOL3D_MODEL may name a local model folder; VOL3D_DEVICE is `cuda` or `cpu`.

Masks of several prompts may overlap; they are painted in the order of the targets, so the caller sends organs before their lesions.
"""

import os

import numpy as np
import torch
from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
from voxtell.inference.predictor import VoxTellPredictor

PREDICTOR = VoxTellPredictor(model_dir=os.environ.get("VOL3D_MODEL"), device=torch.device(os.environ.get("VOL3D_DEVICE", "cuda")))


def segment(scan_path, out_path, targets):
    """One prompt per target: its name in words."""
    reader = NibabelIOWithReorient()
    image, properties = reader.read_images([scan_path])
    masks = PREDICTOR.predict_single_image(image, [target.replace("_", " ") for target in targets])
    labels = np.zeros(masks.shape[1:], np.uint16)
    for number, mask in enumerate(masks, start=1):
        labels[mask > 0] = number
    reader.write_seg(labels, out_path, properties)
    return {"names": {str(number): target for number, target in enumerate(targets, start=1)}}
