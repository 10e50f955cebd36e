"""Corpora in miniature: folders with the layout of the real ones, made of phantoms, with wrongs planted on request."""

import csv
import functools
import json
from pathlib import Path

import numpy as np

from vol3d.volume.geometry import make_affine
from vol3d.volume.phantom import Phantom, phantom_ct
from vol3d.volume.volume import Volume
from vol3d.volume.write import write_volume

SHAPE, SPACING = (40, 48, 48), (8.0, 8.0, 8.0)
REPORT_COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")
METADATA_COLUMNS = ("VolumeName", "Manufacturer", "XYSpacing", "RescaleIntercept", "RescaleSlope", "NumberofSlices", "ZSpacing")


@functools.cache
def phantom(seed: int) -> Phantom:
    return phantom_ct(seed, shape_zyx=SHAPE, spacing_mm=SPACING)


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)


def ct_rate(root: Path, *, num: int = 40, wrongs: bool = True) -> dict[str, str]:
    """CT-RATE with `num` volumes, a quarter in valid; train is v2 (HU), valid v1 (stored values, blank headers).

    Returns the planted wrongs: key -> reason under which it must be found.
    """
    num_valid = num // 4
    names = [("train", f"train_{i}_a_1") for i in range(num - num_valid)] + [("valid", f"valid_{i}_a_1") for i in range(num_valid)]
    planted: dict[str, str] = {}
    if wrongs:
        planted = {
            "train_1_a_1": "rescaled_twice",
            "train_2_a_1": "missing_report_row",
            "train_3_a_1": "damaged_file",
            "train_4_a_1": "mirrored",
            "train_5_a_1": "duplicate_across_splits",
            "train_6_a_1": "nan",
        }
    tables: dict[str, list[list[dict[str, object]]]] = {"train": [[], [], []], "valid": [[], [], []]}
    for seed, (split, name) in enumerate(names):
        made = phantom(num - num_valid if planted.get(name) == "duplicate_across_splits" else seed)
        _write(root, split, name, made, planted.get(name, ""))
        reports, labels, metadata = tables[split]
        file = f"{name}.nii.gz"
        if planted.get(name) != "missing_report_row":
            reports.append(dict(zip(REPORT_COLUMNS, (file, "Not given.", "Not given.", made.findings, made.impression), strict=True)))
        labels.append({"VolumeName": file, **made.report_labels})
        spacing = f"[{SPACING[1]}, {SPACING[2]}]"
        metadata.append(dict(zip(METADATA_COLUMNS, (file, "Phantom", spacing, -8192 if seed % 2 else -1024, 1, SHAPE[0], SPACING[0]), strict=True)))
    for split, long in (("train", "train"), ("valid", "validation")):
        reports, labels, metadata = tables[split]
        write_csv(root / f"radiology_text_reports/{long}_reports.csv", REPORT_COLUMNS, reports)
        write_csv(root / f"multi_abnormality_labels/{split}_predicted_labels.csv", tuple(labels[0]), labels)
        write_csv(root / f"metadata/{long}_metadata.csv", METADATA_COLUMNS, metadata)
    vqa = [
        {"id": "0", "image": "valid_0_a_1.nii.gz", "conversations": [{"from": "human", "value": "<image>\n<short_answer>Is there a nodule?"}]},
        {"id": "1", "conversations": []},
    ]
    (root / "vqa").mkdir()
    (root / "vqa/valid_vqa.json").write_text(json.dumps(vqa), encoding="utf-8")
    return planted


def _write(root: Path, split: str, name: str, made: Phantom, wrong: str) -> None:
    patient, study = "_".join(name.split("_")[:2]), "_".join(name.split("_")[:3])
    folder = root / "dataset" / (f"{split}_fixed" if split == "train" else split) / patient / study
    folder.mkdir(parents=True)
    array, path = made.volume.numpy(), folder / f"{name}.nii.gz"
    if split == "valid":
        _write_blank(path, array, -8192 if int(_seed(made)) % 2 else -1024)
        return
    if wrong == "rescaled_twice":
        array = array - 1024
    if wrong == "mirrored":
        array = array[:, :, ::-1]
    if wrong == "nan":
        array = array.astype(np.float32)
        array[3, 4, 5] = np.nan
        _write_raw(path, array, made.volume.affine)
        return
    write_volume(made.volume.with_array(np.ascontiguousarray(array.astype(np.int16))), path)
    if wrong == "damaged_file":
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _seed(made: Phantom) -> int:
    return made.seed


def _write_raw(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """What our writer refuses to write."""
    import nibabel

    from vol3d.volume.geometry import from_nifti

    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), from_nifti(affine)), path)


def _write_blank(path: Path, array: np.ndarray, intercept: int) -> None:
    """Stored values in LPS order, under a header without transform and with 1 mm voxels."""
    import nibabel

    lps = array[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.int32) - intercept
    image = nibabel.Nifti1Image(lps.astype(np.int16), None)
    image.header.set_qform(None, code=0)
    image.header.set_sform(None, code=0)
    nibabel.save(image, path)


def scan(shape: tuple[int, int, int] = (24, 30, 32), *, seed: int = 0, modality: str = "CT") -> Volume:
    """A small scan that readers take for what it is; another seed is another patient."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    centre = 0.5 + rng.uniform(-0.1, 0.1, 2)
    radius = rng.uniform(0.25, 0.38, 2)
    inside = ((y / shape[1] - centre[0]) / radius[0]) ** 2 + ((x / shape[2] - centre[1]) / radius[1]) ** 2 < 1
    if modality == "CT":
        array = np.where(inside, rng.normal(40, 15, shape) + 10 * z, rng.normal(-1000, 10, shape)).astype(np.int16)
        return Volume(array, make_affine((3, 2, 2), (-30, -30, -36)), "CT", "HU")
    array = np.where(inside, 300 + 20 * rng.gamma(2.0, 4.0, shape) + 5 * z, rng.gamma(1.0, 4.0, shape)).astype(np.int16)
    return Volume(array, make_affine((3, 2, 2), (-30, -30, -36)), "MR", "a.u.")
