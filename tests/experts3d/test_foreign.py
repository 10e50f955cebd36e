"""Experts of other projects end to end through a worker, against stand-ins that have the published calling conventions and a known answer."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from experts3d.environments import PACKAGES, environment_python, has_environment, install
from experts3d.foreign import lungmask, nnunet, totalsegmentator, voxtell
from experts3d.worker import WorkerExpert
from tests.experts3d.scenes import scan_of, stored_as
from vol3d.contracts import Expert, Status
from vol3d.errors import ConfigError, ExpertError

TRUTH = np.zeros((8, 30, 40), np.uint8)
TRUTH[2:6, 5:20, 3:12], TRUTH[2:6, 5:20, 25:36], TRUTH[3:5, 10:14, 28:32] = 1, 2, 3
SCAN = scan_of(np.array([0, 100, 200, 300], np.int16)[TRUTH], (3.0, 1.0, 1.0))

TOTALSEGMENTATOR = {
    "totalsegmentator/__init__.py": "",
    "totalsegmentator/config.py": """
import json, os, pathlib
def get_totalseg_dir():
    return pathlib.Path(os.environ["TOTALSEG_HOME_DIR"])
def setup_totalseg(totalseg_id=None):
    get_totalseg_dir().mkdir(exist_ok=True)
    (get_totalseg_dir() / "config.json").write_text(json.dumps({"totalseg_id": "x", "send_usage_stats": True, "prediction_counter": 0}))
""",
    "totalsegmentator/map_to_binary.py": "class_map = {'total': {1: 'spleen', 2: 'kidney_right', 3: 'kidney_left', 5: 'liver', 24: 'kidney_cyst_right'}}",
    "totalsegmentator/python_api.py": """
import json, numpy as np, nibabel as nib
from totalsegmentator.config import get_totalseg_dir
def totalsegmentator(input, output=None, ml=False, nr_thr_resamp=1, nr_thr_saving=6, fast=False, nora_tag="None", preview=False, task="total",
                     roi_subset=None, statistics=False, radiomics=False, crop_path=None, body_seg=False, force_split=False, output_type="nifti",
                     quiet=False, verbose=False, test=0, skip_saving=False, device="gpu", license_number=None, **more):
    assert output is None and ml and skip_saving and quiet and device == "cpu" and fast and task == "total"
    assert json.loads((get_totalseg_dir() / "config.json").read_text())["send_usage_stats"] is False
    print("If you use this tool please cite")
    data = np.asarray(input.dataobj)
    ids = {"kidney_left": (100, 3), "kidney_right": (200, 2), "kidney_cyst_right": (300, 24)}
    out = np.zeros(data.shape, np.uint8)
    for name, (value, number) in ids.items():
        if roi_subset is None or name in roi_subset:
            out[data == value] = number
    return nib.Nifti1Image(out, input.affine)
""",
}
LUNGMASK = {
    "lungmask/__init__.py": """
import SimpleITK as sitk, numpy as np
class LMInferer:
    def __init__(self, modelname="R231", modelpath=None, fillmodel=None, fillmodel_path=None, force_cpu=False, batch_size=20,
                 volume_postprocessing=True, tqdm_disable=False):
        assert force_cpu and tqdm_disable and modelname in ("R231", "LTRCLobes")
    def apply(self, image):
        array = sitk.GetArrayFromImage(image)
        return np.select([array == 200, array == 300, array == 100], [1, 1, 2]).astype(np.uint8)
"""
}
READER = """
import nibabel as nib, numpy as np
class NibabelIOWithReorient:
    def read_images(self, names):
        image = nib.load(names[0])
        ras = nib.as_closest_canonical(image)
        array = np.asarray(ras.dataobj).transpose(2, 1, 0)[None].astype(np.float32)
        return array, {"affine": image.affine, "ras": ras.affine, "spacing": [float(s) for s in ras.header.get_zooms()[::-1]]}
    def write_seg(self, seg, name, properties):
        ras = nib.Nifti1Image(seg.transpose(2, 1, 0).astype(np.uint8), properties["ras"])
        start, end = nib.io_orientation(properties["ras"]), nib.io_orientation(properties["affine"])
        nib.save(ras.as_reoriented(nib.orientations.ornt_transform(start, end)), name)
"""
NNUNET = {
    "nnunetv2/__init__.py": "",
    "nnunetv2/imageio/__init__.py": "",
    "nnunetv2/imageio/nibabel_reader_writer.py": READER,
    "nnunetv2/inference/__init__.py": "",
    "nnunetv2/inference/predict_from_raw_data.py": """
import json, os, types
from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient
class nnUNetPredictor:
    def __init__(self, tile_step_size=0.5, use_gaussian=True, use_mirroring=True, perform_everything_on_device=True, device=None, verbose=False,
                 verbose_preprocessing=False, allow_tqdm=True):
        assert device.type == "cpu"
    def initialize_from_trained_model_folder(self, folder, use_folds, checkpoint_name="checkpoint_final.pth"):
        assert json.load(open(os.path.join(folder, "plans.json")))["image_reader_writer"] == "NibabelIOWithReorient"
        self.plans_manager = types.SimpleNamespace(image_reader_writer_class=NibabelIOWithReorient)
    def predict_single_npy_array(self, image, properties, previous=None, output=None, probabilities=False):
        assert image.ndim == 4 and properties["spacing"] == [3.0, 1.0, 1.0]
        return (image[0] / 100).astype(int)
""",
}
VOXTELL = NNUNET | {
    "voxtell/__init__.py": "",
    "voxtell/inference/__init__.py": "",
    "voxtell/inference/predictor.py": """
import numpy as np
class VoxTellPredictor:
    def __init__(self, model_dir=None, device=None, text_encoding_model="Qwen/Qwen3-Embedding-4B", embedding_bank=None, use_precomputed_embeddings=True):
        pass
    def predict_single_image(self, data, text_prompts=None, text_embeddings=None, progress_callback=None):
        image = data[0]
        known = {"kidney right": image >= 200, "kidney cyst right": image == 300, "kidney left": image == 100}
        return np.stack([known.get(prompt, np.zeros(image.shape, bool)).astype(np.uint8) for prompt in text_prompts])
""",
}


def written(folder: Path, package: dict[str, str]) -> dict[str, str]:
    """A stand-in on disk, and the environment that lets a worker find it."""
    for name, text in package.items():
        path = folder / "packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"PYTHONPATH": str(folder / "packages"), "TOTALSEG_HOME_DIR": str(folder / "home")}


def check_kidneys(expert: WorkerExpert, *, cyst: bool) -> None:
    """Sides, ids and grid hold in two orientations of the file."""
    assert isinstance(expert, Expert)
    try:
        for flips, order in (((0, 0, 0), (0, 1, 2)), ((1, 0, 1), (1, 2, 0))):
            scan, truth = stored_as(SCAN, TRUTH, flips, order)
            labels = expert.segment(scan)
            assert (labels.mask("kidney_left") == (truth == 1)).all()
            assert (labels.mask("kidney_right") == (truth >= 2)).all()
            if cyst:
                assert (labels.mask("kidney_cyst_right") == (truth == 3)).all()
    finally:
        expert.close()


def test_totalsegmentator(tmp_path: Path):
    expert = totalsegmentator(python=sys.executable, environment=written(tmp_path, TOTALSEGMENTATOR))
    check_kidneys(expert, cyst=True)
    some = expert.segment(SCAN, ["kidney_left", "spleen"])
    expert.close()
    assert some.statuses == {"kidney_left": Status.FOUND, "spleen": Status.ABSENT}
    assert not (some.array[TRUTH != 1]).any()


def test_lungmask_numbers_right_before_left(tmp_path: Path):
    expert = lungmask(python=sys.executable, environment=written(tmp_path, LUNGMASK))
    labels = expert.segment(SCAN)
    expert.close()
    assert (labels.mask("lung_left") == (TRUTH == 1)).all()
    assert (labels.mask("lung_right") == (TRUTH >= 2)).all()
    assert labels.mask("lungs").sum() == (TRUTH > 0).sum()


def test_nnunet_folder(tmp_path: Path):
    model = tmp_path / "Dataset001"
    model.mkdir()
    (model / "plans.json").write_text('{"image_reader_writer": "NibabelIOWithReorient"}')
    (model / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "kidney left": 1, "kidney_right": 2, "kidney_cyst_right": 3}}))
    expert = nnunet(model=model, python=sys.executable, environment=written(tmp_path, NNUNET))
    assert expert.card.targets == ("kidney_left", "kidney_right", "kidney_cyst_right")
    check_kidneys(expert, cyst=True)
    with pytest.raises(ExpertError, match="no trained nnU-Net folder"):
        nnunet(model=tmp_path, python=sys.executable)


def test_voxtell_paints_lesions_over_organs(tmp_path: Path):
    expert = voxtell(python=sys.executable, device="cpu", environment=written(tmp_path, VOXTELL))
    check_kidneys(expert, cyst=True)
    one = expert.segment(SCAN, ["kidney_right", "liver"])
    expert.close()
    assert one.statuses == {"kidney_right": Status.FOUND, "liver": Status.ABSENT}


def test_a_package_that_is_missing_is_said(tmp_path: Path):
    expert = totalsegmentator(python=sys.executable, environment={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(ExpertError, match=r"does not start in its environment.*totalsegmentator"):
        expert.segment(SCAN)


def test_environments_are_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path))
    assert not has_environment("lungmask")
    with pytest.raises(ExpertError, match="vol3d experts install lungmask"):
        lungmask()
    with pytest.raises(ConfigError, match="no environment to install"):
        install("threshold_ct")
    assert set(PACKAGES) == {"totalsegmentator", "lungmask", "nnunet", "voxtell"}


def test_an_environment_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path))
    with pytest.raises(ExpertError, match="could not be made"):
        install("lungmask", packages=("--no-index", "lungmask==0.2.22"))
    assert not environment_python("lungmask").parents[1].exists()
